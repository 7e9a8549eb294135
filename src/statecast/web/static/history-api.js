// The versions and commands of a device that the server remembers.

import { isLate } from "./ages.js";
import { readCommand } from "./command-log.js";

/** @import { KnownCommand } from "./command-log.js" */
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
 * Commands, the newest first; none if they cannot be had now.
 * @param {string} device
 * @param {number} limit
 * @param {number} [before] The `next` of the answer before this one.
 * @returns {Promise<{ commands: KnownCommand[], next: number | null }>}
 */
export async function fetchCommands(device, limit, before) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (before) query.set("before", String(before));
  try {
    const response = await fetch(new URL(`${device}/commands?${query}`, DEVICES));
    if (!response.ok) return { commands: [], next: null };
    const { commands, next } = await response.json();
    return { commands: commands.map(readCommand), next };
  } catch {
    return { commands: [], next: null };
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
