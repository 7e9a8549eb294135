// The operator's page. The server renders all of it; every few seconds the parts that changed are
// replaced by those of a new copy.
import { find, findAll, findOptional } from "./dom.js";
import { LivePage } from "./page.js";
import { getTime, setAge } from "./time-element.js";

const INTERVAL = 3000;

class OperatorPage {
  #page = new LivePage();
  #isLoading = false;
  #wasOffline = false;

  start() {
    // This page shows no states: the server is to send all of them, for the status bar.
    this.#page.board.position = undefined;
    this.#page.start({ devices: ["*"], update() {}, draw: () => this.#draw() });
    setInterval(() => this.#load(), INTERVAL);
    addEventListener("visibilitychange", () => this.#load());
  }

  #draw() {
    const { board } = this.#page;
    for (const time of findAll("time[data-age]")) {
      const at = getTime(time);
      if (at !== undefined) setAge(time, at, board.now());
    }
    find("#operator").classList.toggle("old", board.offline);
    if (board.offline) {
      // What a source does now is not known any more.
      for (const status of findAll("[data-status]")) status.dataset.mark = "unknown";
    }
    if (this.#wasOffline && !board.offline) this.#load();
    this.#wasOffline = board.offline;
  }

  /** Fetch this page again. Trusted Types forbid DOMParser; a request may make a document. */
  #load() {
    if (document.hidden || this.#isLoading || this.#page.board.offline) return;
    this.#isLoading = true;
    const request = new XMLHttpRequest();
    request.responseType = "document";
    request.addEventListener("load", () => {
      const fresh = request.responseXML && findOptional("#operator", request.responseXML);
      if (fresh && request.status === 200) replaceChanged(find("#operator"), fresh);
      this.#page.draw();
    });
    request.addEventListener("loadend", () => {
      this.#isLoading = false;
    });
    request.open("GET", location.pathname + location.search);
    request.send();
  }
}

/**
 * Replace the parts that differ. A part in which somebody is about to decide stays as it is.
 * @param {HTMLElement} shown
 * @param {HTMLElement} fresh
 */
function replaceChanged(shown, fresh) {
  const before = [...shown.children];
  const after = [...fresh.children];
  if (before.length !== after.length) {
    if (!isInUse(shown)) shown.replaceChildren(...after);
    return;
  }
  for (const [place, part] of before.entries()) {
    if (part.outerHTML !== after[place].outerHTML && !isInUse(part)) part.replaceWith(after[place]);
  }
}

/** @param {Element} part */
function isInUse(part) {
  const isOpen = part.querySelector("details[open]") !== null;
  const isSelected =
    getSelection()?.type === "Range" && part.contains(getSelection()?.anchorNode ?? null);
  return isOpen || isSelected || part.contains(document.activeElement);
}

const page = new OperatorPage();
page.start();
