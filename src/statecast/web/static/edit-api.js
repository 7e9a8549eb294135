// Edits of a person: they are committed at once, past the queue.

const DEVICES = new URL("../api/devices/", import.meta.url);
const UNREACHABLE = "The server cannot be reached.";

/** @typedef {{ version?: number, error?: string }} Edited */

/**
 * Merge fields into the state of a device.
 * @param {string} device
 * @param {object} state
 * @returns {Promise<Edited>} The version that it is now, or a sentence that says why it was not
 *   changed.
 */
export async function editState(device, state) {
  const body = JSON.stringify(state);
  const headers = { "Content-Type": "application/json" };
  try {
    const response = await fetch(new URL(device, DEVICES), { method: "PATCH", headers, body });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return { version: answer.version };
    return { error: answer.detail ?? UNREACHABLE };
  } catch {
    return { error: UNREACHABLE };
  }
}
