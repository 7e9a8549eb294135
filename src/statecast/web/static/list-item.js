// One device in a list: a card or a row, with its picture, three fields and its freshness.
import { createElement, find, findAll, flashClass, setText } from "./dom.js";
import { displayName, mainFields } from "./fields.js";
import { flashChange } from "./flash.js";
import { showFreshness } from "./freshness.js";
import { formatValue, splitUnit } from "./words.js";

/** @import { Board, Device, Verdict } from "./board.js" */

/** Draws the picture of a device. @typedef {(sky: HTMLElement, device: Device) => void} Painter */

const FIELDS = 3;
const LONGEST_VALUE = 200;
const PICTURE_MOVES_FOR = 4000;

export class DeviceItem {
  /** The verdict that was last known while online. @type {Verdict["key"] | undefined} */
  key;
  /** The device as it was removed, while the item still shows that. @type {Device | undefined} */
  removed;
  /** What a search looks through, until it changes. @type {string | undefined} */
  #words;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /**
   * @param {Device} device
   * @param {string[]} wantedFields
   * @param {Painter} paint
   * @param {boolean} isKnown Whether the device was in the list before: then its changes flash.
   */
  show(device, wantedFields, paint, isKnown) {
    const link = find("a", this.element);
    const sky = find(".sky", this.element);
    setText(link, displayName(device));
    link.title = device.device;
    paint(sky, device);
    if (isKnown) flashClass(sky, "new", PICTURE_MOVES_FOR);
    const names = mainFields(device.state, wantedFields);
    const rows = /** @type {HTMLElement[]} */ ([...find(".fields", this.element).children]);
    for (let place = 0; place < FIELDS; place++) {
      if (names[place]) showField(rows[place], device, names[place], isKnown);
      else rows[place].replaceChildren();
    }
    this.#words = undefined;
  }

  /**
   * @param {Device} device
   * @param {Board} board
   */
  showFreshness(device, board) {
    return showFreshness(this.element, device, board);
  }

  /**
   * Whether the name, the label or a shown value contains a text in lower case.
   * @param {string} query
   */
  matches(query) {
    this.#words ??= this.#readWords();
    return this.#words.includes(query);
  }

  #readWords() {
    const texts = findAll("a, dd", this.element).map(({ textContent }) => textContent);
    return [this.element.dataset.device, ...texts].join("\n").toLowerCase();
  }
}

/**
 * @param {HTMLElement} row
 * @param {Device} device
 * @param {string} name
 * @param {boolean} isKnown
 */
function showField(row, device, name, isKnown) {
  const value = device.state?.[name];
  const text = formatValue(name, value).slice(0, LONGEST_VALUE);
  if (row.children.length < 2) row.replaceChildren(createElement("dt"), createElement("dd"));
  const isSameField = row.dataset.field === name;
  row.dataset.field = name;
  const [label, data] = row.children;
  setText(label, splitUnit(name, value)[0]);
  if (data.textContent === text) return;
  setText(data, text);
  if (isKnown && isSameField) flashChange(row, device.changed);
}
