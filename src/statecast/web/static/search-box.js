// The search box in the head of the page: on the list it filters, elsewhere Enter opens the list.
import { find, findOptional } from "./dom.js";

/** From so many devices on a search is useful. */
const USEFUL_FROM = 8;

export class SearchBox {
  #box = find("#find");
  #input = find("#search", document, HTMLInputElement);
  /** @type {(() => void) | undefined} */
  #listener;

  /** @param {string} root The address of the front page. */
  constructor(root) {
    this.root = root;
    this.#input.addEventListener("input", () => this.#listener?.());
    this.#input.addEventListener("keydown", ({ key }) => this.#press(key));
    addEventListener("keydown", (event) => this.#handleShortcut(event));
    if (matchMedia("(hover)").matches) this.#input.placeholder += ` (${shortcutName()})`;
  }

  /** The search box of the page, if it has one. @param {string} root */
  static find(root) {
    return findOptional("#find") ? new SearchBox(root) : undefined;
  }

  get text() {
    return this.#input.value;
  }

  clear() {
    this.#input.value = "";
  }

  /**
   * Without a listener Enter opens the list with the search.
   * @param {() => void} listener
   */
  onInput(listener) {
    this.#listener = listener;
  }

  /** @param {number} devices */
  showIfUseful(devices) {
    if (devices >= USEFUL_FROM) this.#box.hidden = false;
  }

  /** @param {string} key */
  #press(key) {
    if (key === "Enter" && !this.#listener) {
      location.href = `${this.root}?q=${encodeURIComponent(this.text)}`;
    }
    if (key !== "Escape") return;
    this.clear();
    this.#listener?.();
  }

  /** @param {KeyboardEvent} event */
  #handleShortcut(event) {
    const isShortcut = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (!isShortcut || this.#box.hidden) return;
    event.preventDefault();
    this.#input.focus();
    this.#input.select();
  }
}

function shortcutName() {
  return /^(Mac|iP)/.test(navigator.platform) ? "⌘ K" : "Ctrl K";
}
