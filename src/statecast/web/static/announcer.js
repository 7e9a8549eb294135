// Announcements for screen readers. A choice in the footer says how much is announced.
import { recall, remember } from "./browser-storage.js";
import { find, setText } from "./dom.js";

/** @import { Board } from "./board.js" */
/** @import { Summary } from "./summary.js" */

/** Right after a reconnect some trouble may only seem to be there. */
const SETTLING = 5000;
/** Silent devices are announced at most once in this time. */
const SILENCE_PAUSE = 60_000;
/** A sentence that comes sooner stands behind the one before, or that one would not be read. */
const TOGETHER = 3000;

export class Announcer {
  #choice = find("#announce", document, HTMLSelectElement);
  #output = find("#say");
  /** What was announced last; a page that begins well has nothing to announce. */
  #announced = "";
  #announcedAt = 0;
  /** The last sentence, and when it came. */
  #spoken = "";
  #spokenAt = 0;

  constructor() {
    this.#choice.value = recall("localStorage") || "important";
    this.#choice.addEventListener("change", () => remember("localStorage", this.#choice.value));
    // The page before this one may have left a sentence.
    const left = recall("sessionStorage");
    if (left) this.speak(left);
    remember("sessionStorage", "");
  }

  /** Whether all fields are to be announced, not only the main ones. */
  get wantsAll() {
    return this.#choice.value === "all";
  }

  /** @param {string} text */
  speak(text) {
    if (this.#choice.value === "nothing") return;
    const now = Date.now();
    const isSoon = this.#spoken !== "" && now - this.#spokenAt < TOGETHER;
    setText(this.#output, isSoon ? `${this.#spoken} ${text}` : text);
    this.#spoken = text;
    this.#spokenAt = now;
  }

  /**
   * Announce the widest trouble once, and once that it is over.
   * @param {Summary} summary
   * @param {Board} board
   */
  announceTrouble(summary, board) {
    const text = describeTrouble(summary);
    const now = board.clock();
    const since = board.disconnectedSince;
    if (text === this.#announced) return;
    if (since !== undefined && now - since < SETTLING) return;
    if (summary.trouble === "late" && now - this.#announcedAt < SILENCE_PAUSE) return;
    this.speak(text || "Up to date again.");
    this.#announced = text;
    this.#announcedAt = now;
  }
}

/** @param {Summary} summary */
function describeTrouble({ trouble, queue, total, counts, problem }) {
  if (trouble === "lost") return "No connection to the server.";
  if (trouble === "wrong") return problem?.sentence ?? "";
  if (trouble === "away") return `The queue “${queue}” cannot be read.`;
  if (trouble !== "late") return "";
  return total > 1 ? `${counts.silent} of ${total} silent.` : "The device is silent.";
}
