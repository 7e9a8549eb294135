// Pages without a device: the empty page and that of an unknown device turn live when it comes;
// the operator's page and pages of errors only show the status bar.
import { remember } from "./browser-storage.js";
import { findOptional } from "./dom.js";
import { LivePage } from "./page.js";
import { SearchBox } from "./search-box.js";

/** @import { Device } from "./board.js" */

class WaitingPage {
  #page = new LivePage();
  #isEmpty = this.#page.data.page === "empty";
  /** The device that this page waits for. */
  #missing = findOptional("[data-missing]")?.dataset.missing;

  start() {
    SearchBox.find(this.#page.root);
    // This page shows no states: the server is to send all of them.
    this.#page.board.position = undefined;
    const isPossible = this.#missing !== undefined && findOptional("#command") !== undefined;
    this.#page.start({
      devices: [isPossible && this.#missing ? this.#missing : "*"],
      update: (device) => this.#update(device),
      draw() {},
    });
  }

  /** @param {Device} device */
  #update({ device, state }) {
    if (!state || (!this.#isEmpty && device !== this.#missing)) return;
    remember("sessionStorage", `First device: ${device}.`);
    location.reload();
  }
}

const page = new WaitingPage();
page.start();
