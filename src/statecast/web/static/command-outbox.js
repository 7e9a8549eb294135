// Commands on their way to the server. Each is sent until the server has answered, and is one
// command however often it was sent.

/** @import { Command, CommandOptions } from "./command-types.js" */

/**
 * One attempt to send: the command, or why not. Without `isFinal` it is sent again.
 * @typedef {{ command?: Command, sentence?: string, isFinal?: boolean, delay?: number }} Answer
 */

const DEVICES = new URL("../api/devices/", import.meta.url).href;
/** Milliseconds until the second attempt at the latest; doubled with each one. */
const FIRST_DELAY = 250;
const LONGEST_DELAY = 2000;
/** An open request that brings nothing for so long is dead, whatever TCP reports. */
const SILENCE_LIMIT = 10_000;
const UNREACHABLE = "The server cannot be reached; it may have the command or not.";

export class CommandOutbox {
  /** The last command of each device, so that they leave in the order of the calls. */
  #last = /** @type {Map<string, Promise<unknown>>} */ (new Map());

  /** @param {string} [devices] The address of the devices in REST. */
  constructor(devices = DEVICES) {
    this.devices = devices;
  }

  /**
   * Ask something of a device. The commands of one device are sent one after another.
   * @param {string} device
   * @param {string} name
   * @param {Record<string, unknown>} [given] The arguments.
   * @param {CommandOptions} [options]
   * @returns {Promise<Command>} The command, once the server has it. Rejected with a sentence if
   *   the server refuses it (its `cause` is then "refused"), or could not take it before it
   *   expired.
   */
  send(device, name, given = {}, { expires = 60, by, key = newKey(), onTrouble } = {}) {
    const deadline = Date.now() + expires * 1000;
    const attempt = () => {
      const left = Math.max((deadline - Date.now()) / 1000, 0.001);
      return this.#post(device, key, { name, arguments: given, by, expires: left });
    };
    const before = this.#last.get(device) ?? Promise.resolve();
    const sent = before.then(() => untilAnswered(attempt, deadline, onTrouble));
    this.#last.set(
      device,
      sent.catch(() => {}),
    );
    return sent;
  }

  /**
   * @param {string} device
   * @param {string} key
   * @param {object} body
   * @returns {Promise<Answer>}
   */
  async #post(device, key, body) {
    try {
      const response = await fetch(new URL(`${device}/commands`, this.devices), {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": key },
        body: JSON.stringify(body),
        keepalive: true, // a person may click and leave
        signal: AbortSignal.timeout(SILENCE_LIMIT),
      });
      const found = await response.json().catch(() => undefined);
      if (!response.ok) return readRefusal(response, found?.detail);
      return found ? { command: found } : { sentence: UNREACHABLE };
    } catch {
      return { sentence: UNREACHABLE };
    }
  }
}

/**
 * @param {() => Promise<Answer>} attempt
 * @param {number} deadline
 * @param {((sentence: string) => void) | undefined} onTrouble
 * @returns {Promise<Command>}
 */
async function untilAnswered(attempt, deadline, onTrouble) {
  let longest = FIRST_DELAY;
  let sentence = UNREACHABLE;
  while (Date.now() < deadline) {
    const answer = await attempt();
    if (answer.command) return answer.command;
    sentence = answer.sentence ?? sentence;
    if (answer.isFinal) throw new Error(sentence, { cause: "refused" });
    onTrouble?.(sentence);
    await pause(answer.delay ?? Math.random() * longest);
    longest = Math.min(LONGEST_DELAY, longest * 2);
  }
  throw new Error(sentence);
}

/**
 * A device with too many open commands, and a server in trouble, take it later.
 * @param {Response} response
 * @param {string} [detail]
 * @returns {Answer}
 */
function readRefusal({ status, headers }, detail) {
  const sentence = detail ?? `The server answered ${status}.`;
  const isFinal = status !== 429 && status < 500;
  const seconds = Number(headers.get("Retry-After"));
  return { sentence, isFinal, delay: seconds > 0 ? seconds * 1000 : undefined };
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** `crypto.randomUUID` is missing where a phone opens the page by http. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
