// The `health` event of protocol 2: what changed since the one before; see docs/wire.md.

/** @typedef {Record<string, any>} Report */

/**
 * The whole report: an event that has it, or the one before with what changed. Undefined if that
 * one is not here.
 * @param {Report | undefined} before
 * @param {Report} event
 * @returns {Report | undefined}
 */
export function wholeReport(before, { changed, ...event }) {
  if (!changed) return event;
  if (!before) return undefined;
  const { sources, totals, ...rest } = changed;
  return {
    ...before,
    ...event,
    ...rest,
    sources: merged(before.sources, sources),
    totals: merged(before.totals, totals),
  };
}

/**
 * What there was of each source, with the members that changed; null: the source is gone.
 * @param {Record<string, Report> | undefined} before
 * @param {Record<string, Report | null> | undefined} changed
 */
function merged(before, changed) {
  const sources = { ...before };
  for (const [name, members] of Object.entries(changed ?? {})) {
    if (members) sources[name] = { ...sources[name], ...members };
    else delete sources[name];
  }
  return sources;
}
