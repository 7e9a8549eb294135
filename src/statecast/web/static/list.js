// The list of devices, as cards or as rows in groups. A device never moves: its place is by name.
import { find, findAll, flashClass, setText } from "./dom.js";
import { DeviceItem } from "./list-item.js";

/** @import { Board, Device, Verdict } from "./board.js" */
/** @import { Painter } from "./list-item.js" */

/**
 * @typedef {(name: string, list: HTMLElement, isCards: boolean, frontPage: string) => HTMLElement}
 *   Place
 */

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
   * The items in the order of the list, until one comes or goes.
   * @type {DeviceItem[] | undefined}
   */
  #sorted;
  /** Draws items; it is loaded when the page is live. @type {Painter | undefined} */
  painter;
  /** Makes an element at its place; it is loaded with the painter. @type {Place | undefined} */
  place;
  /** @type {((one: DeviceItem, other: DeviceItem) => number) | undefined} */
  compare;
  /**
   * Called with how many rows may be seen, and how many match.
   * @type {((shown: number, matching: number) => void) | undefined}
   */
  onRange;
  /** What an item shows, for those that have no element. @type {(device: Device) => string} */
  describe = () => "";

  /**
   * @param {Page} page
   * @param {boolean} isCards
   */
  constructor(page, isCards) {
    this.page = page;
    this.isCards = isCards;
    this.isPartial = "partial" in this.#root.dataset;
    this.limit = Infinity;
    for (const element of findAll("[data-device]", this.#root)) {
      const name = element.dataset.device ?? "";
      this.#items.set(name, new DeviceItem(name, element));
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
    return this.isCards ? [] : /** @type {HTMLElement[]} */ ([...this.#root.children]);
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
    const item = known ?? this.#add(device, paint);
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
      item.element?.remove();
      this.#items.delete(device.device);
      this.#sorted = undefined;
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
    /** @type {Map<string, { total: number, matching: number, silent: number }>} */
    const counts = new Map();
    for (const { name, isMatching, key } of this.#items.values()) {
      const group = groupOf(name);
      const count = counts.get(group) ?? { total: 0, matching: 0, silent: 0 };
      counts.set(group, count);
      count.total++;
      if (isMatching) count.matching++;
      if (isMatching && key === "silent") count.silent++;
    }
    for (const group of this.groups) {
      const count = counts.get(group.dataset.group ?? "");
      if (!count) continue;
      const mark = find("[data-show=silent]", group);
      setText(find("[data-show=count]", group), countOf(count.matching, count.total));
      setText(mark, `${count.silent} silent`);
      mark.hidden = !count.silent || this.page.board.offline;
    }
  }

  /**
   * Show only the items that match, and of many the first. Returns how many match.
   * @param {(item: DeviceItem) => boolean} matches
   */
  filter(matches) {
    let matching = 0;
    for (const item of this.#inOrder()) {
      item.isMatching = matches(item);
      if (item.isMatching) matching++;
      const isShown = item.isMatching && matching <= this.limit;
      if (isShown && !item.element) this.#makeElement(item);
      if (item.element) item.element.hidden = !isShown;
    }
    for (const group of this.groups) {
      group.hidden = !group.querySelector("li:not([hidden])");
    }
    this.showGroupCounts();
    this.onRange?.(Math.min(matching, this.limit), matching);
    return matching;
  }

  /**
   * @param {DeviceItem} item
   * @param {string} query In lower case.
   */
  matches(item, query) {
    return item.matches(query, () => {
      const device = this.page.board.devices.get(item.name);
      return device ? this.describe(device) : "";
    });
  }

  #inOrder() {
    if (!this.compare) return this.#items.values();
    this.#sorted ??= [...this.#items.values()].sort(this.compare);
    return this.#sorted;
  }

  /**
   * @param {Device} device
   * @param {Painter} paint
   */
  #add(device, paint) {
    const item = new DeviceItem(device.device);
    this.#items.set(device.device, item);
    this.#sorted = undefined;
    // Of many devices the filter decides which of them are seen.
    if (this.isPartial) return item;
    this.#makeElement(item, paint);
    if (item.element) flashClass(item.element, "came", MARKED_NEW_FOR);
    return item;
  }

  /** @param {DeviceItem} item */
  #makeElement(item, paint = this.painter) {
    const device = this.page.board.devices.get(item.name);
    if (!device?.state || !paint) return;
    item.element = this.place?.(item.name, this.#root, this.isCards, this.page.root);
    item.show(device, paint, false);
    item.showFreshness(device, this.page.board);
  }
}

/**
 * The prefix of a name, up to its first slash.
 * @param {string} name
 */
export function groupOf(name) {
  return name.slice(0, name.indexOf("/") + 1);
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
