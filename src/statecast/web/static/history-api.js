// The versions of a device that the server remembers.

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
 * @param {[string, number, any, any]} row
 * @returns {Version}
 */
function readRow([at, version, change, cause]) {
  return { at: Date.parse(at), version, change, cause };
}
