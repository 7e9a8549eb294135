// The versions of a device that the server remembers.

import { isLate } from "./ages.js";

/** @import { Version } from "./version-log.js" */

const DEVICES = new URL("../api/devices/", import.meta.url);

/**
 * Versions before one, the newest first; none if they cannot be had now.
 * @param {string} device
 * @param {number} limit
 * @param {number | undefined} before
 * @returns {Promise<Version[]>}
 */
export async function fetchVersions(device, limit, before) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (before) query.set("before", String(before));
  try {
    const response = await fetch(new URL(`${device}/history?${query}`, DEVICES));
    if (!response.ok) return [];
    const { history } = await response.json();
    return history.map(readRow);
  } catch {
    return [];
  }
}

/**
 * @param {[string, number, any, any, string]} row
 * @returns {Version}
 */
function readRow([happened, version, change, cause, arrived]) {
  const at = Date.parse(happened);
  return { at, version, change, cause, isLate: isLate(at, Date.parse(arrived)) };
}
