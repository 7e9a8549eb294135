// The status bar: devices, queue and this page, in the order in which the data flows. Before them,
// if there is any, what was set aside and what is wrong.
import { find, findAll, setAttributes, setText } from "./dom.js";
import { formatDuration } from "./ages.js";

/** @import { Board } from "./board.js" */
/** @import { Summary, Trouble } from "./summary.js" */

/** Shorter interruptions are not mentioned. */
const BLIP = 1000;

/** A smaller one would be told as “0.0 s behind”. In seconds. */
const SMALLEST_LAG = 0.05;

/** @typedef {"live" | "late" | "away" | "lost" | "unknown" | "gone"} Mark */
/** @typedef {{ mark: Mark, text: string }} Fact */

/** @type {Fact} */
const UNKNOWN = { mark: "unknown", text: "unknown" };

/** The part of the bar that a narrow window shows in words. @type {Record<Trouble, string>} */
const WORST_PART = { lost: "page", wrong: "aside", away: "queue", late: "devices", live: "page" };

/**
 * @param {Summary} summary
 * @param {Board} board
 */
export function showStatusBar(summary, board) {
  const aside = describeAside(summary, board);
  /** @type {Record<string, Fact>} */
  const facts = {
    aside: aside ?? UNKNOWN,
    devices: describeDevices(summary),
    queue: describeQueue(summary, board),
    page: describePage(summary),
  };
  const isAsideWorst = aside && summary.trouble === "live";
  const worst = isAsideWorst ? "aside" : WORST_PART[summary.trouble];
  for (const item of findAll("#status-bar li")) {
    const part = item.dataset.hop ?? "";
    const { mark, text } = facts[part];
    setAttributes(item, { "data-mark": mark, class: part === worst ? "worst" : undefined });
    const words = find("span", item);
    setText(words, text);
    // A narrow window cuts long words.
    words.title = text;
    if (part === "aside") showAside(item, Boolean(aside), board);
  }
}

/**
 * The badge leads to the reason.
 * @param {HTMLElement} item
 * @param {boolean} isNeeded
 * @param {Board} board
 */
function showAside(item, isNeeded, board) {
  const link = find("a", item, HTMLAnchorElement);
  const sentences = describedProblems(board).map(({ sentence }) => sentence);
  item.hidden = !isNeeded;
  link.hash = sentences.length ? "problems" : "quarantine";
  find("span", item).title = sentences.join("\n") || "Messages that could not be read or applied";
}

/** The mark of the queue tells already that it is away. @param {Board} board */
function describedProblems({ problems }) {
  return problems.filter(({ kind }) => kind !== "source-away");
}

/**
 * What was set aside, and what is wrong on the server.
 * @param {Summary} summary
 * @param {Board} board
 * @returns {Fact | undefined}
 */
export function describeAside({ offline, problem }, board) {
  const problems = describedProblems(board);
  const words = [];
  if (problems.length === 1) words.push(problems[0].kind.replaceAll("-", " "));
  if (problems.length > 1) words.push(`${problems.length} problems`);
  if (board.quarantined) words.push(`${board.quarantined.toLocaleString()} set aside`);
  if (!words.length) return undefined;
  if (offline) return { mark: "unknown", text: words.join(", ") };
  return { mark: problem ? "away" : "late", text: words.join(", ") };
}

/**
 * @param {Summary} summary
 * @returns {Fact}
 */
export function describeDevices({ offline, counts, total, known }) {
  const { silent = 0, away = 0, live = 0, gone = 0 } = counts;
  if (offline) return UNKNOWN;
  if (silent) return { mark: "late", text: total > 1 ? `${silent} of ${total} silent` : "silent" };
  if (away) return { mark: "unknown", text: `${away} unknown` };
  if (live) return { mark: "live", text: total > 1 ? `${live} live` : "live" };
  if (gone) return { mark: "gone", text: "removed" };
  if (total) return { mark: "unknown", text: "no deadline" };
  return { mark: "unknown", text: known ? `${known.toLocaleString()} known` : "none yet" };
}

/**
 * @param {Summary} summary
 * @param {Board} board
 * @returns {Fact}
 */
export function describeQueue({ offline, queue, awayFor, total, known }, board) {
  const sources = [...board.sources.values()];
  if (offline) return UNKNOWN;
  if (queue) return { mark: "away", text: describeAway(queue, awayFor, board) };
  if (!sources.length) return { mark: "unknown", text: "none" };
  const isEmpty = sources.every(({ waiting }) => waiting === 0);
  if (!total && !known && isEmpty) return { mark: "live", text: "connected, empty" };
  // An idle queue has no lag: nothing is behind.
  const lag = Math.max(...sources.map(({ lag }) => lag ?? 0));
  return { mark: "live", text: lag < SMALLEST_LAG ? "up to date" : describeLag(lag) };
}

/**
 * @param {string} queue
 * @param {number} awayFor
 * @param {Board} board
 */
function describeAway(queue, awayFor, board) {
  const name = board.sources.size > 1 ? `“${queue}” ` : "";
  const what = board.isBlocked(queue) ? "waits for the store" : "away";
  return `${name}${what} ${formatDuration(awayFor)}`;
}

/** @param {number} lag In seconds. */
function describeLag(lag) {
  return `${lag < 60 ? `${lag.toFixed(1)} s` : formatDuration(lag * 1000)} behind`;
}

/**
 * @param {Summary} summary
 * @returns {Fact}
 */
function describePage({ failed, offline, offlineFor }) {
  if (failed) return { mark: "lost", text: "stopped" };
  if (offline) return { mark: "lost", text: `offline for ${formatDuration(offlineFor)}` };
  if (offlineFor > BLIP) return { mark: "lost", text: "reconnecting…" };
  return { mark: "live", text: "live" };
}
