// What a command is, and what a page says about it. Types alone: no page loads this file.

/**
 * A command as REST and the event `commands` have it (docs/wire.md).
 * @typedef {object} Command
 * @property {string} id
 * @property {string} device
 * @property {string} name
 * @property {Record<string, unknown>} arguments
 * @property {string | null} by The person who asks.
 * @property {"waiting" | "delivered" | "done" | "refused" | "expired" | "unanswered"} status
 * @property {string | null} reason The device's sentence about its answer.
 * @property {number} change Of two descriptions of a command, the one with the greater is newer.
 * @property {string} created_at
 * @property {string} expires_at
 * @property {string | null} delivered_at
 * @property {string | null} ended_at
 */

/**
 * @typedef {object} CommandOptions
 * @property {number} [expires] Seconds from now until it is no longer wanted; 60 if left out.
 * @property {string} [by] The person who asks.
 * @property {string} [key] Calls with the same key are one command; a new one if left out.
 * @property {(sentence: string) => void} [onTrouble] Called with the reason when the server could
 *   not take it, before it is sent again.
 */

export {};
