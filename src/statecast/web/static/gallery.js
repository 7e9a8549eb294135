// The gallery: pictures that were not in use when the page was made, and images that are slow.
import { find, findAll, findOptional } from "./dom.js";

/** Text does not wait for an image; after this time the icon stands in. */
const IMAGE_PATIENCE = 100;

/** @typedef {"none" | "loading" | "loaded"} GalleryState */

export class Gallery {
  /** @type {GalleryState} */
  #state = "none";

  /**
   * @param {string} root The address of the front page.
   * @param {() => void} onLoad
   */
  constructor(root, onLoad) {
    this.root = root;
    this.onLoad = onLoad;
  }

  /** Fetch all pictures, once. */
  load() {
    if (this.#state !== "none") return;
    this.#state = "loading";
    // Trusted Types forbid DOMParser; a request may make a document of its answer.
    const request = new XMLHttpRequest();
    request.responseType = "document";
    request.addEventListener("load", () => {
      if (request.responseXML) addPictures(request.responseXML);
      this.#state = "loaded";
      this.onLoad();
    });
    request.open("GET", `${this.root}pictures`);
    request.send();
  }
}

/** @param {Document} source */
function addPictures(source) {
  const sprite = find("#sprite", document, SVGSVGElement);
  const place = find("#pictures");
  const drawings = findAll("#sprite > [id]", source);
  sprite.append(...drawings.filter(({ id }) => !sprite.querySelector(`[id="${id}"]`)));
  for (const template of findAll("[data-picture]", place)) template.remove();
  place.prepend(...findAll("template", source));
  const style = source.querySelector("#gallery-style");
  if (style && !findOptional("#gallery-style", document, HTMLLinkElement)) {
    document.head.append(style);
  }
}

/**
 * The icon stands in for an image that is not there soon, or never comes.
 * @param {HTMLImageElement} image
 */
export async function watchImage(image) {
  const note = findOptional("[data-note=missing]");
  /** @param {boolean} isMissing */
  const show = (isMissing) => image.classList.toggle("missing", isMissing);
  const timer = setTimeout(show, IMAGE_PATIENCE, true);
  try {
    await image.decode();
    show(false);
    if (note) note.hidden = true;
  } catch {
    show(true);
    // It may have been replaced meanwhile.
    if (note) note.hidden = !image.isConnected;
  } finally {
    clearTimeout(timer);
  }
}

/** Watch the images that the HTML came with. */
export function watchImages() {
  for (const image of findAll(".sky > img")) {
    if (image instanceof HTMLImageElement) watchImage(image);
  }
}
