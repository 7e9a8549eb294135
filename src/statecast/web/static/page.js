// A live page: its board, its connection, and the frame in which everything is drawn at once.
//
// All that tells of trouble is imported here: a page whose server goes away just after it loaded
// can load nothing more.
import { Announcer } from "./announcer.js";
import { Board } from "./board.js";
import { connect } from "./connection.js";
import { enableCopying } from "./copy-button.js";
import { findAll } from "./dom.js";
import { Notice } from "./notice.js";
import { PageTitle } from "./page-title.js";
import { preparePrinting } from "./print.js";
import { SetAside } from "./set-aside.js";
import { showStatusBar } from "./status-bar.js";
import { summarize } from "./summary.js";

/** @import { Connection } from "./connection.js" */
/** @import { Device } from "./board.js" */
/** @import { Summary } from "./summary.js" */

/** A hidden page has no frames. */
const HIDDEN_FRAME = 500;
const FEWER_RIGHTS = "Your rights have changed: you may not see all of this any more.";
const TICK = 1000;

/**
 * What a kind of page shows of its own.
 * @typedef {object} View
 * @property {string[]} devices What to watch.
 * @property {(device: Device) => void} update A device changed.
 * @property {() => void} draw Draw everything that changed.
 * @property {() => [words: string, name: string] | undefined} [title] For the title of the
 *   window: what is to be said when all is well, and the name beside a warning.
 * @property {() => Device[]} [present] The devices that count; all of the board if left out.
 */

export class LivePage {
  /** The token of a share link that is shown in a page of another site; see share-page.js. */
  static token = "";
  /** What the server wrote about this page. */
  data = document.body.dataset;
  board = new Board();
  /** The fields that the server's setting names for cards. @type {string[]} */
  wantedFields = JSON.parse(this.data.card ?? "[]");
  /** Whether the script failed: then nothing on the page can be believed. */
  failed = false;
  /** Why the server refused the watch list. */
  refusal = "";

  /** @type {View | undefined} */
  view;
  /** @type {Connection | undefined} */
  connection;

  /** The announcements for screen readers. */
  announcer = new Announcer();
  #notice = new Notice();
  #title = new PageTitle();
  #setAside = new SetAside();
  #isDrawn = false;
  #isFrameDue = false;

  constructor() {
    const { now, epoch, offset, scope } = this.data;
    this.board.clockSkew = Number(now) - Date.now();
    if (epoch) this.board.startFrom({ epoch, offset: Number(offset), scope });
    for (const event of ["error", "unhandledrejection"]) {
      addEventListener(event, () => this.#fail());
    }
  }

  /** The version of the server that this page came from. */
  get release() {
    return this.data.release ?? "";
  }

  /** The address of the front page. */
  get root() {
    return this.data.root ?? "/";
  }

  /**
   * Put a device on the board as the HTML shows it, before its first update.
   * @param {HTMLElement} element
   * @param {DOMStringMap} [usual] Facts that a list states once for all of its devices.
   * @returns {Device}
   */
  addKnownDevice(element, usual = {}) {
    const facts = element.dataset;
    const silentAfter = facts.silentAfter ?? usual.silentAfter;
    const device = {
      device: facts.device ?? "",
      offset: facts.offset === undefined ? undefined : Number(facts.offset),
      changed: Number(facts.changed),
      arrived: Number(facts.arrived) || undefined,
      seen: Number(facts.seen) || undefined,
      silentAfter: Number(silentAfter) || undefined,
      source: facts.source ?? usual.source,
    };
    this.board.addKnown(device);
    return device;
  }

  /**
   * Go live: draw after every event, and once a second for the ages.
   * @param {View} view
   */
  start(view) {
    this.view = view;
    this.connection = connect({
      devices: view.devices,
      board: this.board,
      url: this.data.live,
      token: LivePage.token,
    });
    this.connection.on("states", (changed) => {
      for (const [device] of changed) {
        view.update(device);
        if (device.gone) this.refusal ||= FEWER_RIGHTS;
      }
      this.draw();
    });
    this.connection.on("refused", (sentence) => {
      this.refusal = sentence;
    });
    this.connection.on("health", ({ version }) => this.#notice.noteRelease(version));
    this.connection.on("link", () => {
      // What the states of this connection brought stays as long as the connection.
      const isOfStates = this.refusal === FEWER_RIGHTS;
      if (this.connection?.synced !== isOfStates) this.refusal = "";
    });
    for (const event of ["seen", "health", "link", "refused"]) {
      this.connection.on(event, () => this.draw());
    }
    enableCopying();
    preparePrinting(this.board);
    setInterval(() => this.draw(), TICK);
    addEventListener("visibilitychange", () => this.draw());
    this.draw();
  }

  /** Draw everything in the next frame. */
  draw() {
    if (this.#isFrameDue) return;
    this.#isFrameDue = true;
    if (document.hidden) setTimeout(() => this.#frame(), HIDDEN_FRAME);
    else requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.#isFrameDue = false;
    const { board, view } = this;
    if (!view) return;
    // The first HTML stays as it is until the page is live, or known to be offline.
    const isConnecting = board.disconnectedSince !== undefined && !board.offline;
    if (isConnecting && !this.#isDrawn) return;
    this.#isDrawn = true;
    if (!this.failed) view.draw();
    const devices = view.present?.() ?? [...board.devices.values()];
    const summary = summarize(board, devices, this.failed, Number(this.data.devices ?? 0));
    showStatusBar(summary, board);
    this.#showTrouble(summary);
  }

  /** @param {Summary} summary */
  #showTrouble(summary) {
    this.#setAside.update(this.board);
    this.#notice.show(summary, this);
    this.#title.show(summary, this.board, this.view?.title?.());
    this.announcer.announceTrouble(summary, this.board);
  }

  #fail() {
    this.failed = true;
    for (const element of findAll("[data-device]")) element.classList.add("old");
    this.draw();
  }
}
