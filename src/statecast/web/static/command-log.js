// The commands of one device as this page knows them: of each the newest that the server said.
// No DOM and no network.

/** @import { Command } from "./command-types.js" */

/**
 * What this page knows of a command. Times are milliseconds since 1970, by the server's clock.
 * @typedef {object} KnownCommand
 * @property {string} id
 * @property {string} name
 * @property {Record<string, any>} [arguments]
 * @property {string | null} by The person who asked, where the application names one.
 * @property {Command["status"]} status
 * @property {string | null} reason The device's sentence about its answer.
 * @property {number} change Rises with each change of any command.
 * @property {number} created
 * @property {number} expires
 * @property {number} [delivered]
 * @property {number} [ended]
 * @property {number} [known] When this page learned of its end, by the browser's clock.
 */

/** Commands at an end that are remembered. */
const REMEMBERED = 200;
/** So long after its deadline the page asks what became of a command: it missed the event. */
const OVERDUE = 5000;

/**
 * A command as it is on the wire; of one in the HTML some members are left out.
 * @param {Omit<Command, "device" | "arguments"> & Partial<Command>} item
 * @returns {KnownCommand}
 */
export function readCommand({ created_at, expires_at, delivered_at, ended_at, ...item }) {
  return {
    ...item,
    created: Date.parse(created_at),
    expires: Date.parse(expires_at),
    delivered: delivered_at ? Date.parse(delivered_at) : undefined,
    ended: ended_at ? Date.parse(ended_at) : undefined,
  };
}

export class CommandLog {
  /** @type {Map<string, KnownCommand>} */
  #commands = new Map();

  /**
   * Take over commands in any order, also repeated ones.
   * @param {KnownCommand[]} commands
   * @param {number} [known] When they came, by the browser's clock.
   * @returns {KnownCommand[]} Those that are news.
   */
  add(commands, known) {
    const news = commands.filter(({ id, change }) => {
      const known = this.#commands.get(id);
      return !known || change > known.change || !known.arguments;
    });
    for (const command of news) this.#commands.set(command.id, { ...command, known });
    const ended = [...this.#commands.values()].filter((command) => !isOpen(command));
    ended.sort((one, other) => one.change - other.change);
    for (const { id } of ended.slice(0, -REMEMBERED)) this.#commands.delete(id);
    return news;
  }

  /** The store was set back: what it says from now on is all there is. */
  clear() {
    this.#commands.clear();
  }

  /** Those that a `commands` event or an answer said; the HTML leaves their arguments out. */
  get whole() {
    return [...this.#commands.values()].filter((command) => command.arguments);
  }

  /** Those without an end, the oldest first. */
  get open() {
    const open = [...this.#commands.values()].filter(isOpen);
    return open.sort((one, other) => one.created - other.created);
  }

  /**
   * The one that came to its end last.
   * @returns {KnownCommand | undefined}
   */
  get newestEnd() {
    const ended = [...this.#commands.values()].filter((command) => !isOpen(command));
    return ended.reduce(
      (newest, one) => (newest && newest.change > one.change ? newest : one),
      /** @type {KnownCommand | undefined} */ (undefined),
    );
  }

  /** @param {number} now */
  hasOverdue(now) {
    return this.open.some(({ expires }) => now - expires > OVERDUE);
  }
}

/** @param {KnownCommand} command */
function isOpen({ status }) {
  return status === "waiting" || status === "delivered";
}
