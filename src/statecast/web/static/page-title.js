// The title and the icon of the window: seen also when another tab is in front.
import { find, setAttributes } from "./dom.js";
import { formatClock } from "./ages.js";

/** @import { Board } from "./board.js" */
/** @import { Summary, Trouble } from "./summary.js" */

/** The title changes at most once in this time. */
const PAUSE = 1000;
/** @type {Record<Trouble, string>} */
const ICON_COLORS = {
  live: "0a5bc4",
  late: "8a5200",
  away: "8a5200",
  wrong: "8a5200",
  lost: "b4232c",
};

export class PageTitle {
  #icon = find("#icon", document, HTMLLinkElement);
  #shownAt = 0;
  /** The title of the first HTML, and the name of the site after its dash. */
  #first = "";
  #site = document.title;

  constructor() {
    const [, first, site] = /^(.*) — (.*?)$/.exec(document.title) ?? [];
    if (site === undefined) return;
    this.#first = first;
    this.#site = site;
  }

  /**
   * @param {Summary} summary
   * @param {Board} board
   * @param {[words: string, name: string]} [title]
   */
  show(summary, board, [words, name] = [this.#first, this.#first]) {
    if (board.clock() - this.#shownAt < PAUSE) return;
    this.#shownAt = board.clock();
    const warning = describeWarning(summary, board, name);
    document.title = warning || `${words} — ${this.#site}`;
    this.#showIcon(summary.trouble);
  }

  /** @param {Trouble} trouble */
  #showIcon(trouble) {
    const fill = trouble === "lost" ? "none" : "currentColor";
    const href = this.#icon.href.replace(
      /(color='%23)\w+(' fill=')\w+/,
      `$1${ICON_COLORS[trouble]}$2${fill}`,
    );
    setAttributes(this.#icon, { href });
  }
}

/**
 * @param {Summary} summary
 * @param {Board} board
 * @param {string} name
 */
function describeWarning({ trouble, total, counts, problem, queue }, board, name) {
  if (trouble === "lost") {
    const since = formatClock(board.lastReceivedAt, board.now()).slice(0, 5);
    return `⚠ No connection since ${since}`;
  }
  if (trouble === "away") return board.isBlocked(queue) ? "⚠ Store blocked" : "⚠ Queue away";
  if (trouble === "wrong") return `⚠ ${problem?.kind.replaceAll("-", " ")} · ${name}`;
  if (trouble !== "late") return "";
  return `⚠ ${total > 1 ? `${counts.silent} silent` : "silent"} · ${name}`;
}
