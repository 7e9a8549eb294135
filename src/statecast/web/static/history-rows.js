// The order of the history: versions and commands by time.

/**
 * A row of the history: a version, or a command.
 * @typedef {object} Row
 * @property {number} at When the version happened, or the command was given.
 * @property {number} [version]
 * @property {string} [command] The id of the command.
 * @property {(Node | string)[]} content
 */

/**
 * Versions stay in their order: one that arrived late happened before the one below it, and stands
 * where it arrived. Both lists and the result begin with the newest.
 * @template {{ at: number }} T
 * @param {T[]} versions
 * @param {T[]} commands
 * @returns {T[]}
 */
export function mergeByTime(versions, commands) {
  let newest = 0;
  const times = versions.map(({ at }) => at).reverse();
  const reached = times.map((at) => (newest = Math.max(newest, at))).reverse();
  const merged = [];
  const waiting = [...commands];
  for (const [place, version] of versions.entries()) {
    while (waiting.length && waiting[0].at > reached[place]) merged.push(...waiting.splice(0, 1));
    merged.push(version);
  }
  return [...merged, ...waiting];
}
