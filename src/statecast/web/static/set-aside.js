// The sentence about messages in quarantine that may be about this page. The server writes it; when
// their number changes, it is fetched again.
import { findOptional } from "./dom.js";

/** @import { Board } from "./board.js" */

const PAUSE = 3000;

export class SetAside {
  #isLoading = false;

  /**
   * Called with every frame.
   * @param {Board} board
   */
  update({ quarantined, offline }) {
    const shown = findOptional("[data-set-aside]");
    if (!shown || quarantined === undefined || offline || document.hidden) return;
    if (this.#isLoading || Number(shown.dataset.setAside) === quarantined) return;
    this.#isLoading = true;
    this.#load(shown);
    setTimeout(() => {
      this.#isLoading = false;
    }, PAUSE);
  }

  /**
   * Trusted Types forbid DOMParser; a request may make a document.
   * @param {HTMLElement} shown
   */
  #load(shown) {
    const request = new XMLHttpRequest();
    request.responseType = "document";
    request.addEventListener("load", () => {
      const { responseXML } = request;
      const fresh = responseXML ? findOptional("[data-set-aside]", responseXML) : undefined;
      if (fresh) shown.replaceWith(fresh);
    });
    request.open("GET", location.href);
    request.send();
  }
}
