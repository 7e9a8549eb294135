// The status bar: devices, queue and this page, in the order in which the data flows.
import { find, findAll, setAttributes, setText } from "./dom.js";
import { formatDuration } from "./ages.js";

/** @import { Board } from "./board.js" */
/** @import { Summary, Trouble } from "./summary.js" */

/** Shorter interruptions are not mentioned. */
const BLIP = 1000;

/** @typedef {"live" | "late" | "away" | "lost" | "unknown"} Mark */
/** @typedef {{ mark: Mark, text: string }} Fact */

/** @type {Fact} */
const UNKNOWN = { mark: "unknown", text: "unknown" };

/** The part of the bar that a narrow window shows in words. @type {Record<Trouble, string>} */
const WORST_PART = { lost: "page", away: "queue", late: "devices", live: "page" };

/**
 * @param {Summary} summary
 * @param {Board} board
 */
export function showStatusBar(summary, board) {
  /** @type {Record<string, Fact>} */
  const facts = {
    devices: describeDevices(summary),
    queue: describeQueue(summary, board),
    page: describePage(summary),
  };
  for (const item of findAll("#status-bar li")) {
    const part = item.dataset.hop ?? "";
    const { mark, text } = facts[part];
    const isWorst = part === WORST_PART[summary.trouble];
    setAttributes(item, { "data-mark": mark, class: isWorst ? "worst" : undefined });
    setText(find("span", item), text);
  }
}

/**
 * @param {Summary} summary
 * @returns {Fact}
 */
function describeDevices({ offline, counts, total }) {
  const { silent = 0, away = 0, live = 0 } = counts;
  if (offline) return UNKNOWN;
  if (silent) return { mark: "late", text: total > 1 ? `${silent} of ${total} silent` : "silent" };
  if (away) return { mark: "unknown", text: `${away} unknown` };
  if (live) return { mark: "live", text: total > 1 ? `${live} live` : "live" };
  return { mark: "unknown", text: total ? "no deadline" : "none yet" };
}

/**
 * @param {Summary} summary
 * @param {Board} board
 * @returns {Fact}
 */
function describeQueue({ offline, queue, awayFor, total }, board) {
  const sources = [...board.sources.values()];
  if (offline) return UNKNOWN;
  if (queue) return { mark: "away", text: `${queue} away ${formatDuration(awayFor)}` };
  if (!sources.length) return { mark: "unknown", text: "none" };
  const isEmpty = sources.every(({ waiting }) => waiting === 0);
  if (!total && isEmpty) return { mark: "live", text: "connected, empty" };
  // An idle queue has no lag: nothing is behind.
  const lag = Math.max(...sources.map(({ lag }) => lag ?? 0));
  return { mark: "live", text: lag < 0.05 ? "connected" : `${lag.toFixed(1)} s behind` };
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
