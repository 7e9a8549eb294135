// Pictures of a value: loaded and decoded before they are shown, in one frame with the text.

/** After this time the text is shown without its picture. */
const LONGEST_WAIT = 100;
/** A device may send any number of different words. */
const FEWEST_KEPT = 64;

/**
 * @typedef {object} Loaded
 * @property {"loading" | "ready" | "failed"} state
 * @property {HTMLImageElement} image Kept, so that the browser does not load it again.
 * @property {number} since
 */

/**
 * The address of the picture of a value; undefined if the value makes none. The value is one piece
 * of a path: it leads to no other folder and to no other server.
 * @param {string} pattern Like `/static/{}.png`.
 * @param {any} value
 * @param {string} base The address of the page.
 */
export function pictureAddress(pattern, value, base) {
  if (!["string", "number", "boolean"].includes(typeof value)) return undefined;
  const piece = encodePiece(String(value));
  if (piece === undefined) return undefined;
  try {
    const { href, origin } = new URL(pattern.replaceAll("{}", piece), base);
    const intended = new URL(pattern.replaceAll("{}", "x"), base).origin;
    return origin === intended ? href : undefined;
  } catch {
    return undefined;
  }
}

/** @param {string} text */
function encodePiece(text) {
  if (!text || text === "." || text === "..") return undefined;
  try {
    return encodeURIComponent(text);
  } catch {
    return undefined; // half of a surrogate pair
  }
}

export class Pictures {
  /** By address; the one used last is at the end. @type {Map<string, Loaded>} */
  #loaded = new Map();

  /** How many are kept: all of the page, or each drawing would load some again. */
  #most = FEWEST_KEPT;

  /** @param {() => void} onChange Called when a picture was decoded, or cannot be. */
  constructor(onChange) {
    this.onChange = onChange;
  }

  /** @param {number} count The elements of the page that may show a picture. */
  keepFor(count) {
    this.#most = Math.max(FEWEST_KEPT, 2 * count);
  }

  /** Try those again that could not be loaded: the connection may have been gone. */
  forgetFailed() {
    for (const [address, { state }] of this.#loaded) {
      if (state === "failed") this.#loaded.delete(address);
    }
  }

  /**
   * Whether the text may be shown already: the picture is there, failed, or takes too long.
   * @param {string} address
   */
  mayShow(address) {
    const { state, since } = this.#find(address);
    return state !== "loading" || performance.now() - since >= LONGEST_WAIT;
  }

  /**
   * @param {HTMLImageElement} element
   * @param {string | undefined} address
   * @param {string | undefined} fallback An address of the page's author.
   */
  show(element, address, fallback) {
    const isReady = address !== undefined && this.#find(address).state === "ready";
    const shown = isReady ? address : fallback;
    element.decoding = "sync";
    if (shown === undefined)
      element.removeAttribute("src"); // the browser shows the alt text
    else if (element.getAttribute("src") !== shown) element.src = shown;
  }

  /**
   * @param {string} address
   * @returns {Loaded}
   */
  #find(address) {
    const loaded = this.#loaded.get(address) ?? this.#load(address);
    this.#loaded.delete(address);
    this.#loaded.set(address, loaded);
    for (const oldest of this.#loaded.keys()) {
      if (this.#loaded.size <= this.#most) break;
      this.#loaded.delete(oldest);
    }
    return loaded;
  }

  /**
   * @param {string} address
   * @returns {Loaded}
   */
  #load(address) {
    const image = new Image();
    image.src = address;
    /** @type {Loaded} */
    const loaded = { state: "loading", image, since: performance.now() };
    image.decode().then(
      () => this.#settle(loaded, "ready"),
      () => this.#settle(loaded, "failed"),
    );
    setTimeout(this.onChange, LONGEST_WAIT);
    return loaded;
  }

  /**
   * @param {Loaded} loaded
   * @param {"ready" | "failed"} state
   */
  #settle(loaded, state) {
    loaded.state = state;
    this.onChange();
  }
}
