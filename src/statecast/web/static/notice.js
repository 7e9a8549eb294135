// The one notice at the bottom of the window: what is wrong with all of the page, and what to do.
import { find, setText } from "./dom.js";
import { formatClock, formatDuration } from "./ages.js";

/** @import { Board } from "./board.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Summary } from "./summary.js" */

/** @typedef {"Reload" | "Try now"} Action */
/** @typedef {{ title: string, text?: string, action?: Action }} Message */

/**
 * What the notice needs of the page.
 * @typedef {{ board: Board, connection?: Connection, refusal: string, release: string }} Page
 */

export class Notice {
  #root = find("#notice");
  #title = find("b", this.#root);
  #text = find("span", this.#root);
  #details = find("a", this.#root, HTMLAnchorElement);
  #button = find("button", this.#root);
  /** @type {string | undefined} */
  #serverRelease;
  /** @type {() => void} */
  #act = () => {};

  constructor() {
    this.#button.addEventListener("click", () => this.#act());
  }

  /**
   * The version of the server as it is now.
   * @param {string} release
   */
  noteRelease(release) {
    this.#serverRelease = release;
  }

  /**
   * @param {Summary} summary
   * @param {Page} page
   */
  show(summary, page) {
    const message = this.#choose(summary, page);
    this.#root.hidden = !message;
    const isWrong = summary.trouble === "wrong";
    this.#root.dataset.mark = isWrong ? "away" : summary.trouble;
    this.#details.hash = isWrong ? "problems" : "";
    setText(this.#title, message?.title ?? "");
    setText(this.#text, message?.text ?? "");
    setText(this.#button, message?.action ?? "");
    this.#button.hidden = !message?.action;
    this.#details.hidden = Boolean(message?.action);
    this.#act = () => {
      if (message?.action === "Reload") location.reload();
      else page.connection?.retry();
    };
  }

  /**
   * The widest trouble; it covers the others.
   * @param {Summary} summary
   * @param {Page} page
   * @returns {Message | undefined}
   */
  #choose(summary, page) {
    // A page that was lost while it loaded cannot be reloaded before the server is back.
    if (summary.failed && !summary.offline) {
      return { title: "This page had an error.", action: "Reload" };
    }
    if (page.refusal) {
      return { title: "The server refused.", text: page.refusal, action: "Reload" };
    }
    if (summary.offline) return describeOffline(summary, page);
    if (summary.trouble === "wrong") return { title: summary.problem?.sentence ?? "" };
    if (summary.queue) return describeQueueAway(summary, page.board);
    if (this.#isOutdated(page)) return { title: "A newer version is ready.", action: "Reload" };
    return undefined;
  }

  /** @param {Page} page */
  #isOutdated({ release }) {
    return this.#serverRelease !== undefined && this.#serverRelease !== release;
  }
}

/**
 * @param {Summary} summary
 * @param {Page} page
 * @returns {Message}
 */
function describeOffline({ offlineFor }, { board, connection }) {
  const at = formatClock(board.lastReceivedAt, board.now());
  const wait = (connection?.retryAt ?? 0) - board.clock();
  const next = wait > 0 ? `in ${Math.ceil(wait / 1000)} s` : "now";
  return {
    title: `No connection to the server for ${formatDuration(offlineFor)}.`,
    text: `You see what was true at ${at}. Trying again ${next}.`,
    action: "Try now",
  };
}

/**
 * @param {Summary} summary
 * @param {Board} board
 * @returns {Message}
 */
function describeQueueAway({ queue, awayFor, counts }, board) {
  const { away = 0 } = counts;
  const name = board.sources.size > 1 ? ` “${queue}”` : "";
  const devices = `${away} device${away === 1 ? "" : "s"}`;
  if (board.isBlocked(queue)) {
    return {
      title: `The store has taken no messages for ${formatDuration(awayFor)}.`,
      text: `${devices} may have changed since; messages wait in the queue${name}.`,
    };
  }
  return {
    title: `The queue${name} cannot be read for ${formatDuration(awayFor)}.`,
    text: `${devices} may have changed since; their messages wait in the queue.`,
  };
}
