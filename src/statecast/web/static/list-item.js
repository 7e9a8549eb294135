// One device in a list: a card or a row, with its freshness. `card.js` draws the rest.
import { findAll } from "./dom.js";
import { showFreshness } from "./freshness.js";

/** @import { Board, Device, Verdict } from "./board.js" */

/**
 * Draws a device into its item. A device that was in the list before flashes where it changed.
 * @typedef {(element: HTMLElement, device: Device, isKnown: boolean) => void} Painter
 */

export class DeviceItem {
  /**
   * Of many devices it is made when it is to be seen.
   * @type {HTMLElement | undefined}
   */
  element;
  isMatching = true;
  /** The verdict that was last known while online. @type {Verdict["key"] | undefined} */
  key;
  /** The device as it was removed, while the item still shows that. @type {Device | undefined} */
  removed;
  /** What a search looks through, until it changes. @type {string | undefined} */
  #words;

  /**
   * @param {string} name
   * @param {HTMLElement} [element]
   */
  constructor(name, element) {
    this.name = name;
    this.element = element;
  }

  /**
   * @param {Device} device
   * @param {Painter} paint
   * @param {boolean} isKnown Whether the device was in the list before: then its changes flash.
   */
  show(device, paint, isKnown) {
    if (this.element) paint(this.element, device, isKnown);
    this.#words = undefined;
  }

  /**
   * @param {Device} device
   * @param {Board} board
   */
  showFreshness(device, board) {
    return this.element ? showFreshness(this.element, device, board) : board.verdict(device).key;
  }

  /**
   * Whether the name, the label or a shown value contains a text in lower case.
   * @param {string} query
   * @param {() => string} describe What the item would show, while it has no element.
   */
  matches(query, describe) {
    this.#words ??=
      `${this.name}\n${this.element ? textOf(this.element) : describe()}`.toLowerCase();
    return this.#words.includes(query);
  }
}

/** @param {HTMLElement} element */
function textOf(element) {
  return findAll("a, dd", element)
    .map(({ textContent }) => textContent)
    .join("\n");
}
