// One device in a list: a card or a row, with its freshness. `card.js` draws the rest.
import { findAll } from "./dom.js";
import { showFreshness } from "./freshness.js";

/** @import { Board, Device, Verdict } from "./board.js" */

/**
 * Draws a device into its item. A device that was in the list before flashes where it changed.
 * @typedef {(element: HTMLElement, device: Device, isKnown: boolean) => void} Painter
 */

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
   * @param {Painter} paint
   * @param {boolean} isKnown Whether the device was in the list before: then its changes flash.
   */
  show(device, paint, isKnown) {
    paint(this.element, device, isKnown);
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
