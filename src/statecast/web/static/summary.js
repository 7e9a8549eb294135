// The state of everything in a few facts: how many devices are well, and the widest trouble.

/** @import { Board, Device, Verdict } from "./board.js" */
/** @import { Problem } from "./board-types.js" */

/**
 * The widest trouble: the page is offline or stopped, the store fails, a queue is away, something
 * else is wrong, a device is silent.
 * @typedef {"lost" | "wrong" | "away" | "late" | "live"} Trouble
 */

/**
 * @typedef {object} Summary
 * @property {Trouble} trouble
 * @property {boolean} failed Whether the script of the page failed.
 * @property {boolean} offline
 * @property {number} offlineFor How long there has been no connection, in milliseconds.
 * @property {string | undefined} queue The first source that is away.
 * @property {number} awayFor For how long, in milliseconds.
 * @property {Problem | undefined} problem The worst of what is wrong on the server.
 * @property {number} total
 * @property {number} known How many devices there are, where the page does not watch them all.
 * @property {Partial<Record<Verdict["key"], number>>} counts
 */

/**
 * @param {Board} board
 * @param {Device[]} devices
 * @param {boolean} failed
 * @param {number} [known]
 * @returns {Summary}
 */
export function summarize(board, devices, failed, known = 0) {
  const { offline, disconnectedSince } = board;
  const counts = countVerdicts(board, devices);
  const queue = [...board.sources.keys()].find((name) => board.awaySince(name) !== undefined);
  const awaySince = board.awaySince(queue);
  const problem = worstProblem(board);
  return {
    trouble: widestTrouble(failed || offline, problem, queue !== undefined, counts.silent ?? 0),
    problem,
    known,
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
 * The status of the queue tells already that a source is away. The store comes first: it may be the
 * reason.
 * @param {Board} board
 */
function worstProblem({ problems }) {
  const wrong = problems.filter(
    ({ kind, severity }) => severity === "wrong" && kind !== "source-away",
  );
  return wrong.find(({ subject }) => subject === "store") ?? wrong[0];
}

/**
 * @param {boolean} lost
 * @param {Problem | undefined} problem
 * @param {boolean} away
 * @param {number} silent
 * @returns {Trouble}
 */
function widestTrouble(lost, problem, away, silent) {
  if (lost) return "lost";
  if (problem?.subject === "store") return "wrong";
  if (away) return "away";
  if (problem) return "wrong";
  return silent ? "late" : "live";
}
