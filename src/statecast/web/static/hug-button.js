// The hug button: a hug is pending until it comes back as the cause of an update.
import { formatDuration } from "./ages.js";
import { createElement, find, setAttributes, setText } from "./dom.js";
import { displayName } from "./device-name.js";
import { sendState } from "./message-api.js";
import { getOwn } from "./own.js";

/** @import { Announcer } from "./announcer.js" */
/** @import { Board, Device } from "./board.js" */

/** After so long the page says for how long the hug has been waiting. */
const LONG_WAIT = 10_000;

/**
 * A hug that has not come back.
 * @typedef {object} PendingHug
 * @property {string} at The time that it carries.
 * @property {number} begun When the button was pressed.
 * @property {string} [id] Its message, once it is in the queue.
 */

export class HugButton {
  #button = find("#hug");
  #label = find("span", this.#button);
  #answer = find("#answer");
  /** @type {PendingHug | undefined} */
  #pending;

  /**
   * @param {Board} board
   * @param {() => Device} currentDevice
   * @param {() => Announcer | undefined} announcer
   */
  constructor(board, currentDevice, announcer) {
    this.board = board;
    this.currentDevice = currentDevice;
    this.announcer = announcer;
    this.#button.addEventListener("click", () => this.#send());
  }

  async #send() {
    if (this.#pending) return;
    const at = new Date(this.board.now()).toISOString();
    const hug = { at, begun: performance.now() };
    this.#pending = hug;
    setAttributes(this.#button, { "aria-disabled": true });
    setText(this.#label, "Sending…");
    setText(this.#answer, "");
    const { id, error } = await sendState(this.currentDevice().device, {
      hugged: true,
      hugged_at: at,
    });
    if (error) {
      this.#settle("alert", `Not sent: ${error} Try again`);
      return;
    }
    // The update may have been faster than the answer to the request.
    if (this.#pending !== hug) return;
    this.#pending = { ...hug, id };
    setText(this.#label, "Hug is in the queue…");
    setText(this.#answer, "The picture changes when it comes back.");
  }

  /** The device changed: perhaps by this hug. */
  update() {
    const hug = this.#pending;
    if (!hug) return;
    const { cause, state } = this.currentDevice();
    const isCause = hug.id !== undefined && cause?.id === hug.id;
    if (!isCause && getOwn(state, "hugged_at") !== hug.at) return;
    const ms = Math.round(performance.now() - hug.begun);
    const title = createElement("b", {}, "Hugged.");
    this.#settle("status", title, ` ${ms} ms from your click to this picture.`);
  }

  /** Called with every frame. */
  tick() {
    if (!this.#pending?.id) return;
    const ms = performance.now() - this.#pending.begun;
    if (ms <= LONG_WAIT) return;
    const duration = formatDuration(ms);
    setText(this.#answer, `In the queue for ${duration}. The message is safe there.`);
  }

  /**
   * @param {"alert" | "status"} role
   * @param {(Node | string)[]} content
   */
  #settle(role, ...content) {
    this.#pending = undefined;
    setAttributes(this.#button, { "aria-disabled": undefined });
    setText(this.#label, `Hug ${displayName(this.currentDevice())}`);
    setAttributes(this.#answer, { role: role === "alert" ? role : undefined });
    this.#answer.replaceChildren(...content);
    if (role === "status") this.announcer()?.speak(this.#answer.textContent ?? "");
  }
}
