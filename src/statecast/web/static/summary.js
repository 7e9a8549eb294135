// The state of everything in a few facts: how many devices are well, and the widest trouble.

/** @import { Board, Device, Verdict } from "./board.js" */

/**
 * The widest trouble: the page is offline or stopped, a queue is away, a device is silent.
 * @typedef {"lost" | "away" | "late" | "live"} Trouble
 */

/**
 * @typedef {object} Summary
 * @property {Trouble} trouble
 * @property {boolean} failed Whether the script of the page failed.
 * @property {boolean} offline
 * @property {number} offlineFor How long there has been no connection, in milliseconds.
 * @property {string | undefined} queue The first source that is away.
 * @property {number} awayFor For how long, in milliseconds.
 * @property {number} total
 * @property {Partial<Record<Verdict["key"], number>>} counts
 */

/**
 * @param {Board} board
 * @param {Device[]} devices
 * @param {boolean} failed
 * @returns {Summary}
 */
export function summarize(board, devices, failed) {
  const { offline, disconnectedSince } = board;
  const counts = countVerdicts(board, devices);
  const queue = [...board.sources.keys()].find((name) => board.awaySince(name) !== undefined);
  const awaySince = board.awaySince(queue);
  return {
    trouble: widestTrouble(failed || offline, queue !== undefined, Boolean(counts.silent)),
    failed,
    offline,
    offlineFor: disconnectedSince === undefined ? 0 : board.clock() - disconnectedSince,
    queue,
    awayFor: awaySince === undefined ? 0 : board.now() - awaySince,
    total: devices.length,
    counts,
  };
}

/**
 * @param {Board} board
 * @param {Device[]} devices
 */
function countVerdicts(board, devices) {
  /** @type {Summary["counts"]} */
  const counts = {};
  for (const device of devices) {
    const { key } = board.verdict(device);
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/**
 * @param {boolean} lost
 * @param {boolean} away
 * @param {boolean} late
 * @returns {Trouble}
 */
function widestTrouble(lost, away, late) {
  if (lost) return "lost";
  if (away) return "away";
  return late ? "late" : "live";
}
