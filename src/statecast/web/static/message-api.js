// Messages that a page sends: they go into the queue like those of a device.

const ADDRESS = new URL("../api/messages", import.meta.url);

/** @typedef {{ id?: string, error?: string }} Answer */

/**
 * Send a change of a device's state.
 * @param {string} device
 * @param {object} state
 * @returns {Promise<Answer>} The id of the message, or a sentence that says why it was not sent.
 */
export async function sendState(device, state) {
  const body = JSON.stringify({ device, by: "user", state });
  const headers = { "Content-Type": "application/json" };
  try {
    const response = await fetch(ADDRESS, { method: "POST", headers, body });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return { id: answer.id };
    return { error: answer.detail ?? "The server cannot be reached." };
  } catch {
    return { error: "The server cannot be reached." };
  }
}
