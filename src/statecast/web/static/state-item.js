// The entries of a `states` event: a device in full, or a patch of what is here; see docs/wire.md.

/** @import { Cause, Device, PatchItem, StateItem } from "./board-types.js" */

/**
 * @param {StateItem} item
 * @returns {Device}
 */
export function deviceFromWire({ changed_at, arrived_at, seen_at, silent_after, ...item }) {
  return {
    ...item,
    changed: Date.parse(changed_at),
    arrived: Date.parse(arrived_at ?? changed_at),
    seen: seen_at ? Date.parse(seen_at) : undefined,
    silentAfter: silent_after ?? undefined,
  };
}

/**
 * A device with a patch merged into it; undefined if the patch is of another version.
 * @param {Device | undefined} before
 * @param {PatchItem} item
 * @returns {Device | undefined}
 */
export function mergeItem(before, { from, patch, cause, delay = 0, ...item }) {
  if (!before?.state || before.version !== from) return undefined;
  const merged = /** @type {Cause} */ (applyPatch(before.cause, cause));
  const state = applyPatch(before.state, patch);
  const { changed_at: seen_at } = item;
  const device = deviceFromWire({ seen_at, source: merged.source, ...item, state, cause: merged });
  return { ...device, arrived: device.changed + delay };
}

/** @param {unknown} value */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * An object with a merge patch (RFC 7396) merged into it. Neither is changed, because what was
 * before may still be drawn. Names are data: none reaches a prototype.
 * @param {any} target
 * @param {Record<string, any>} patch
 * @returns {Record<string, any>}
 */
export function applyPatch(target, patch) {
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, isObject(value) ? applyPatch(merged.get(name), value) : value);
  }
  return Object.fromEntries(merged);
}
