// Live fields on a page of your own, by attributes alone:
//   <script type="module" src="/statecast/bind.js"></script>
//   <b data-live="pillow.mood"></b>
//   <img data-live="pillow.mood" data-pictures="/static/{}.png" alt="">
// Elements that are added later are found. `data-fresh` says how current an element is, and
// `data-live-state` of <html> how current the page is. docs/how-to/own-page.md has all attributes.
import { BINDING_ATTRIBUTES, readBinding, valueAt } from "./binding.js";
import { Pictures, pictureAddress } from "./binding-picture.js";
import { plainText, setAttribute } from "./binding-target.js";
import { readFirstStates, useFirstStates } from "./first-states.js";
import { nearestName } from "./nearest-name.js";
import { markPage, showStaleness } from "./staleness.js";
import { connect, formatValue } from "./statecast.js";

/** @import { Binding } from "./binding.js" */
/** @import { Shown } from "./binding-target.js" */
/** @import { Connection } from "./statecast.js" */
/** @import { Options } from "./connection.js" */

const SECOND = 1000;
const SELECTOR = "[data-live]";
const LONGEST_NOTE = 300;

class BoundPage {
  /** @type {Connection | undefined} */
  live;

  /** @type {Map<Element, Binding>} */
  #bindings = new Map();
  /** What the console has been told about; elements are of the page. @type {Set<unknown>} */
  #notes = new Set();
  #pictures = new Pictures(() => this.#showSoon());
  #observer = new MutationObserver((records) => this.#follow(records));
  #isDue = false;
  /** Whether the server has answered since the page was opened. */
  #wasSynced = false;

  /** @param {Options} [options] */
  constructor(options) {
    this.options = options;
  }

  /** @param {ParentNode & Node} root */
  add(root) {
    this.#readAll(root);
    this.#observer.observe(root, {
      subtree: true,
      childList: true,
      attributeFilter: BINDING_ATTRIBUTES,
    });
    if (this.#bindings.size) this.#watch();
  }

  connect() {
    return (this.live ??= this.#open());
  }

  #open() {
    const devices = this.#devices();
    const live = connect({ ...this.options, devices });
    const first = readFirstStates();
    if (first) useFirstStates(live.board, first, devices);
    for (const event of ["states", "seen", "health", "link"]) live.on(event, () => this.#show());
    live.on("link", () => this.#pictures.forgetFailed());
    live.on("refused", (sentence) => this.#note(`the server refused the devices: ${sentence}`));
    setInterval(() => this.#show(), SECOND);
    showStaleness();
    return live;
  }

  #devices() {
    return [...new Set(Array.from(this.#bindings.values(), ({ device }) => device))];
  }

  #watch() {
    const live = this.connect();
    const devices = this.#devices();
    if (devices.some((device) => !live.devices.includes(device))) live.watch(devices);
    this.#show();
  }

  /** @param {ParentNode & Node} root */
  #readAll(root) {
    if (root instanceof Element && root.matches(SELECTOR)) this.#read(root);
    for (const element of root.querySelectorAll(SELECTOR)) this.#read(element);
  }

  /** @param {Element} element */
  #read(element) {
    const name = element.getAttribute("data-live");
    const complain = (/** @type {string} */ sentence) =>
      this.#note(`data-live="${name}": ${sentence}`);
    this.#bindings.set(element, readBinding(element, complain));
  }

  /** @param {MutationRecord[]} records */
  #follow(records) {
    const before = this.#bindings.size;
    let isChanged = false;
    for (const { type, target, addedNodes } of records) {
      const elements = type === "attributes" ? [target] : addedNodes;
      for (const element of elements) {
        if (!(element instanceof Element) || !element.isConnected) continue;
        if (type === "attributes" && !element.matches(SELECTOR)) this.#bindings.delete(element);
        this.#readAll(element);
        isChanged = true;
      }
    }
    if (isChanged && (this.#bindings.size || before)) this.#watch();
  }

  #showSoon() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#show();
    });
  }

  #show() {
    this.#wasSynced ||= this.live?.synced ?? false;
    for (const element of this.#bindings.keys()) {
      if (!element.isConnected) this.#bindings.delete(element);
    }
    this.#pictures.keepFor(this.#bindings.size);
    const waiting = this.#devicesThatWait();
    const all = [...this.#bindings.values()];
    for (const binding of all) this.#showOne(binding, waiting.has(binding.device));
    markPage(all.map(({ device }) => this.#freshness(device)));
  }

  /** The devices whose picture is being decoded: their text is shown together with it. */
  #devicesThatWait() {
    /** @type {Set<string>} */
    const waiting = new Set();
    for (const binding of this.#bindings.values()) {
      const address = this.#pictureOf(binding);
      if (address && !this.#pictures.mayShow(address)) waiting.add(binding.device);
    }
    return waiting;
  }

  /** @param {Binding} binding */
  #pictureOf({ element, device, path, pictures }) {
    if (!pictures) return undefined;
    const value = valueAt(this.live?.board.devices.get(device)?.state, path);
    return pictureAddress(pictures, value, element.baseURI);
  }

  /**
   * Before the first answer nothing is live, whatever the HTML shows.
   * @param {string} name
   */
  #freshness(name) {
    const board = this.live?.board;
    if (!board || board.offline) return "lost";
    if (!this.#wasSynced) return "waiting";
    const device = board.devices.get(name);
    return device ? board.verdict(device).key : "none";
  }

  /**
   * @param {Binding} binding
   * @param {boolean} isWaiting
   */
  #showOne(binding, isWaiting) {
    const { element, device: name, path } = binding;
    setAttribute(element, "data-fresh", this.#freshness(name));
    const device = this.live?.board.devices.get(name);
    // Before the first answer it is not known whether there is such a device.
    if (isWaiting || !path.length || !(device || this.#wasSynced)) return;
    const value = valueAt(device?.state, path);
    if (this.live?.synced && value === undefined) this.#noteMissing(binding);
    try {
      this.#write(binding, value ?? undefined);
    } catch (error) {
      setAttribute(element, "data-fresh", "failed");
      this.#note(`${name}.${path.join(".")} could not be shown: ${error}`, element);
    }
  }

  /**
   * @param {Binding} binding
   * @param {any} value
   */
  #write(binding, value) {
    const { element, path, pictures, targets, fallback, device } = binding;
    const shown = this.#textsOf(binding, value);
    for (const target of targets) {
      const refused = target(element, shown);
      if (refused) this.#note(`a value of ${device}.${path.join(".")} is not set: ${refused}.`);
    }
    if (pictures && element instanceof HTMLImageElement) {
      this.#pictures.show(element, this.#pictureOf(binding), fallback);
      if (!element.hasAttribute("alt")) element.alt = shown.text;
    }
  }

  /**
   * @param {Binding} binding
   * @param {any} value
   * @returns {Shown}
   */
  #textsOf({ element, path, format, fallback, pictures }, value) {
    const field = path[path.length - 1];
    const missing = pictures ? "" : (fallback ?? "");
    if (value === undefined) return { value, field, text: missing, plain: missing };
    const language = element.closest("[lang]")?.getAttribute("lang") ?? undefined;
    const formatted = format?.(value, language, this.live?.board.now() ?? Date.now());
    const text = formatted ?? formatValue(field, value);
    return { value, field, text, plain: formatted ?? plainText(value) };
  }

  /**
   * A mistyped name in `data-live` is said, with the one that was probably meant.
   * @param {Binding} binding
   */
  #noteMissing({ element, device: name, path }) {
    const { board } = /** @type {Connection} */ (this.live);
    const device = board.devices.get(name);
    if (!device) {
      const near = nearestName(name, board.devices.keys());
      this.#note(`there is no device "${name}" now.${meant(near)}`, element);
      return;
    }
    const parent = valueAt(device.state, path.slice(0, -1));
    const fields = parent && typeof parent === "object" ? Object.keys(parent) : [];
    const near = nearestName(path[path.length - 1], fields);
    this.#note(`"${name}" has no field "${path.join(".")}" now.${meant(near)}`, element);
  }

  /**
   * Say something once.
   * @param {string} sentence
   * @param {unknown} [about] For sentences with words of a device, which could fill the console.
   */
  #note(sentence, about = sentence) {
    if (this.#notes.has(about)) return;
    this.#notes.add(about);
    console.warn(`Statecast: ${sentence.slice(0, LONGEST_NOTE)}`);
  }
}

/** @param {string | undefined} name */
function meant(name) {
  return name === undefined ? "" : ` Did you mean "${name}"?`;
}

/** @type {BoundPage | undefined} */
let shared;

/**
 * Keep every `[data-live]` under `root` up to date, those that are added later too. The document
 * is bound by itself; a shadow root must be given. All share one connection, unless `options` ask
 * for one of its own.
 * @param {ParentNode & Node} [root]
 * @param {Options} [options]
 * @returns {Connection}
 */
export function bind(root = document, options) {
  const page = options ? new BoundPage(options) : (shared ??= new BoundPage());
  page.add(root);
  return page.connect();
}

// Without an element there is no connection yet; the page may add one.
if (globalThis.document) {
  shared = new BoundPage();
  shared.add(document);
}
