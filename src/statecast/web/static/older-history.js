// The past that the page does not show yet, a part at a time.
import { fetchCommands, fetchVersions } from "./history-api.js";
import { mergeByTime } from "./history-rows.js";

/** @import { KnownCommand } from "./command-log.js" */
/** @import { Version } from "./version-log.js" */

/** Commands are fetched in parts of this size; versions have one more, for what was before. */
const PART = 50;

/**
 * @typedef {{ at: number, version?: Version, older: Version[], command?: KnownCommand }} OlderRow
 */

export class OlderHistory {
  /** What was fetched and not taken, the newest first. @type {Version[]} */
  #versions = [];
  /** @type {KnownCommand[]} */
  #commands = [];
  #hasVersions = true;
  #hasCommands = true;
  /** @type {number | undefined} */
  #nextCommands;

  /**
   * @param {string} device
   * @param {number | undefined} oldest The oldest version that is shown.
   * @param {(id: string) => boolean} isShown Whether a command is shown.
   */
  constructor(device, oldest, isShown) {
    this.device = device;
    this.oldest = oldest;
    this.isShown = isShown;
  }

  /** Whether there may be more to take. */
  get hasMore() {
    const { length } = [...this.#versions, ...this.#commands];
    return length > 0 || this.#hasVersions || this.#hasCommands;
  }

  /** @returns {Promise<OlderRow[]>} The next rows, the newest first. */
  async take() {
    await Promise.all([this.#fetchVersions(), this.#fetchCommands()]);
    /** @type {OlderRow[]} */
    const versions = this.#versions.map((version, place) => {
      return { at: version.at, version, older: this.#versions.slice(place + 1) };
    });
    const commands = this.#commands.map((command) => {
      return { at: command.created, command, older: [] };
    });
    const rows = mergeByTime(versions, commands).slice(0, PART);
    const taken = rows.filter(({ version }) => version).length;
    this.#versions.splice(0, taken);
    this.#commands.splice(0, rows.length - taken);
    return rows;
  }

  async #fetchVersions() {
    if (!this.#hasVersions || this.#versions.length > PART) return;
    const found = await fetchVersions(this.device, PART + 1, this.oldest);
    this.#hasVersions = found.length > PART;
    this.#versions.push(...found);
    this.oldest = found.at(-1)?.version;
  }

  async #fetchCommands() {
    while (this.#hasCommands && this.#commands.length < PART) {
      const { commands, next } = await fetchCommands(this.device, PART, this.#nextCommands);
      this.#nextCommands = next ?? undefined;
      this.#hasCommands = next !== null;
      this.#commands.push(...commands.filter(({ id }) => !this.isShown(id)));
    }
  }
}
