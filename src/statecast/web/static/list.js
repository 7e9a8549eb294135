// The list of devices, as cards or as rows in groups. A device never moves: its place is by name.
import { cloneTemplate, find, findAll, flashClass, setText } from "./dom.js";
import { displayName } from "./device-name.js";
import { DeviceItem } from "./list-item.js";

/** @import { Board, Device, Verdict } from "./board.js" */
/** @import { Painter } from "./list-item.js" */

/** Removed devices stay for a moment, to say so. */
const REMOVED_SHOWN_FOR = 5000;
const MARKED_NEW_FOR = 8000;

/**
 * What a list needs of its page.
 * @typedef {{ board: Board, root: string, wantedFields: string[] }} Page
 */

export class DeviceList {
  #root = find("#devices");
  /** @type {Map<string, DeviceItem>} */
  #items = new Map();

  /**
   * @param {Page} page
   * @param {boolean} isCards
   */
  constructor(page, isCards) {
    this.page = page;
    this.isCards = isCards;
    for (const element of findAll("[data-device]", this.#root)) {
      this.#items.set(element.dataset.device ?? "", new DeviceItem(element));
    }
  }

  /** The facts that the list states once for all of its devices. */
  get usual() {
    return this.#root.dataset;
  }

  get size() {
    return this.#items.size;
  }

  get items() {
    return this.#items.values();
  }

  /** Groups of rows with the items that they hold. */
  get groups() {
    return findAll("[data-group]", this.#root);
  }

  /**
   * Show a device as it is now. Returns whether devices came or went.
   * @param {Device} device
   * @param {Painter} paint
   */
  update(device, paint) {
    const known = this.#items.get(device.device);
    if (!device.state) {
      if (known) this.#removeSoon(known, device);
      return known !== undefined;
    }
    const item = known ?? this.#add(device);
    const isBack = item.removed !== undefined;
    item.removed = undefined;
    item.show(device, paint, known !== undefined);
    item.showFreshness(device, this.page.board);
    return !known || isBack;
  }

  /**
   * @param {DeviceItem} item
   * @param {Device} device
   */
  #removeSoon(item, device) {
    item.removed = device;
    item.showFreshness(device, this.page.board);
    setTimeout(() => {
      if (this.page.board.devices.has(device.device)) return;
      item.element.remove();
      this.#items.delete(device.device);
    }, REMOVED_SHOWN_FOR);
  }

  /**
   * Show how fresh every device is. Returns the counts of those that are present, by verdict,
   * and whether a verdict changed.
   */
  showFreshness() {
    const { board } = this.page;
    /** @type {Partial<Record<Verdict["key"], number>>} */
    const counts = {};
    let isChanged = false;
    for (const [name, item] of this.#items) {
      const device = item.removed ?? board.devices.get(name);
      if (!device) continue;
      const key = item.showFreshness(device, board);
      // Offline the counts stay as they were: nothing newer is known.
      if (!board.offline && item.key !== key) {
        item.key = key;
        isChanged = true;
      }
      if (!item.removed && item.key) counts[item.key] = (counts[item.key] ?? 0) + 1;
    }
    return { counts, isChanged };
  }

  /** Each group says how many of its devices are shown, and how many of these are silent. */
  showGroupCounts() {
    for (const group of this.groups) {
      const items = findAll("[data-device]", group);
      const shown = items.filter(({ hidden }) => !hidden);
      const names = shown.map(({ dataset }) => dataset.device ?? "");
      const silent = names.filter((name) => this.#items.get(name)?.key === "silent").length;
      const mark = find("[data-show=silent]", group);
      setText(find("[data-show=count]", group), countOf(shown.length, items.length));
      setText(mark, `${silent} silent`);
      mark.hidden = !silent;
    }
  }

  /**
   * Show only the items that match. Returns how many these are.
   * @param {(item: DeviceItem) => boolean} matches
   */
  filter(matches) {
    let shown = 0;
    for (const item of this.#items.values()) {
      item.element.hidden = !matches(item);
      if (!item.element.hidden) shown++;
    }
    for (const group of this.groups) {
      group.hidden = !group.querySelector("li:not([hidden])");
    }
    this.showGroupCounts();
    return shown;
  }

  /** @param {Device} device */
  #add(device) {
    const name = device.device;
    const element = cloneTemplate(this.isCards ? "template#card" : "template#row");
    element.dataset.device = name;
    const link = find("a", element, HTMLAnchorElement);
    link.href = `${this.page.root}devices/${name}`;
    setText(link, displayName(device));
    const parent = this.isCards ? this.#root : this.#groupOf(name);
    const others = /** @type {HTMLElement[]} */ ([...parent.children]);
    const next = others.find(({ dataset }) => (dataset.device ?? "") > name);
    parent.insertBefore(element, next ?? null);
    flashClass(element, "came", MARKED_NEW_FOR);
    const item = new DeviceItem(element);
    this.#items.set(name, item);
    return item;
  }

  /**
   * The list of rows of a group, which is made if it is the first of its name.
   * @param {string} device
   */
  #groupOf(device) {
    const name = device.includes("/") ? device.slice(0, device.indexOf("/") + 1) : "";
    const { groups } = this;
    const known = groups.find(({ dataset }) => dataset.group === name);
    if (known) return find("ul", known);
    const group = cloneTemplate("template#group");
    group.dataset.group = name;
    setText(find("span", group), name || "others");
    const next = groups.find(({ dataset }) => (dataset.group ?? "") > name);
    this.#root.insertBefore(group, next ?? null);
    return find("ul", group);
  }
}

/**
 * "40", or "3 of 40" where not all are shown.
 * @param {number} shown
 * @param {number} total
 */
export function countOf(shown, total) {
  const all = total.toLocaleString();
  return shown === total ? all : `${shown.toLocaleString()} of ${all}`;
}
