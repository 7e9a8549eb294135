// The history: one line per version, with what each field was and became, and one per command.
import { formatClock } from "./ages.js";
import { describeGiven, describeOutcome } from "./command-words.js";
import { createElement, enableButton, find, findAll, setAttributes, setText } from "./dom.js";
import { flattenState } from "./fields.js";
import { mergeByTime } from "./history-rows.js";
import { getTime, setTime, showLocalTime } from "./time-element.js";
import { hintOf, tellApart } from "./whole-value.js";
import { cut, formatNumber, formatValue, splitUnit } from "./words.js";

/** @import { Board, Device } from "./board.js" */
/** @import { KnownCommand } from "./command-log.js" */
/** @import { Row } from "./history-rows.js" */
/** @import { OlderHistory } from "./older-history.js" */
/** @import { Version, VersionLog } from "./version-log.js" */

const FIRST_ROWS = 8;
const STEPS = 6;
const LONGEST_VALUE = 120;
const LONGEST_ID = 12;

export class History {
  #list = find("#history", document, HTMLOListElement);
  #more = find("#more-history");
  #button = find("button", this.#more);
  /** @type {Map<number, Row>} */
  #versions = new Map();
  /** @type {Map<string, Row>} */
  #commands = new Map();
  #newest = 0;
  /** What lies before the rows, once the reader asked. @type {OlderHistory | undefined} */
  #older;

  /**
   * @param {Board} board
   * @param {VersionLog} log
   * @param {() => Device} currentDevice
   */
  constructor(board, log, currentDevice) {
    this.board = board;
    this.log = log;
    this.currentDevice = currentDevice;
    for (const element of findAll("li", this.#list)) this.#readRow(element);
    enableButton(this.#button, () => this.#showOlder());
  }

  /**
   * A row of the HTML; what the server wrote in UTC is shown in the time zone of the reader.
   * @param {HTMLElement} element
   */
  #readRow(element) {
    const { version, command } = element.dataset;
    const time = find("time", element);
    const at = this.log.find(Number(version))?.at ?? getTime(time) ?? 0;
    setTime(time, at, formatClock(at, this.board.now()));
    for (const value of findAll("[title]:not(time)", element)) showLocalTime(value);
    const content = [...element.childNodes];
    if (command) this.#commands.set(command, { at, command, content });
    else this.#addVersion({ at, version: Number(version), content });
  }

  /** @param {Row & { version: number }} row */
  #addVersion(row) {
    this.#versions.set(row.version, row);
    this.#newest = Math.max(this.#newest, row.version);
  }

  /** The device changed: the newest versions come in at the top. */
  update() {
    for (const version of this.log.after(this.#newest)) {
      if (version.cause) this.#addVersion(this.#versionRow(version, this.log.before(version)));
    }
    this.#draw();
  }

  /**
   * Versions that were missing have come, newest first.
   * @param {Version[]} found
   */
  fill(found) {
    for (const version of found) {
      this.#addVersion(this.#versionRow(version, this.log.before(version)));
    }
    this.#draw();
  }

  /**
   * Commands were given, or something became of them.
   * @param {KnownCommand[]} commands
   */
  updateCommands(commands) {
    for (const command of commands) this.#commands.set(command.id, this.#commandRow(command));
    this.#draw();
  }

  /** The contents move down and the lines stay where they are: nothing jumps. */
  #draw() {
    const versions = [...this.#versions.values()];
    versions.sort((one, other) => Number(other.version) - Number(one.version));
    const commands = [...this.#commands.values()].sort((one, other) => other.at - one.at);
    const rows = mergeByTime(versions, commands);
    if (!this.#older) this.#forget(rows.splice(FIRST_ROWS));
    while (this.#list.children.length < rows.length) this.#list.append(createElement("li"));
    for (const [place, { version, command, content }] of rows.entries()) {
      const element = this.#list.children[place];
      if (element.firstChild !== content[0]) element.replaceChildren(...content);
      setAttributes(element, { "data-version": version, "data-command": command });
    }
    this.#showCount();
  }

  /** @param {Row[]} rows */
  #forget(rows) {
    for (const { version, command } of rows) {
      if (version) this.#versions.delete(version);
      if (command) this.#commands.delete(command);
    }
    if (rows.length) this.#button.hidden = false;
  }

  #showCount() {
    const { version: count = 0 } = this.currentDevice();
    const text = this.#more.firstChild;
    if (count && text instanceof Text) {
      const words = `${formatNumber(count)} version${count > 1 ? "s" : ""}`;
      setText(text, text.data.replace(/^[\s\S]*?version(s?)/, words));
    }
  }

  async #showOlder() {
    const { OlderHistory } = await import("./older-history.js");
    const oldest = Math.min(...this.#versions.keys());
    const { device } = this.currentDevice();
    this.#older ??= new OlderHistory(device, Number.isFinite(oldest) ? oldest : undefined, (id) =>
      this.#commands.has(id),
    );
    for (const { version, older, command } of await this.#older.take()) {
      if (version) this.#addVersion(this.#versionRow(version, older));
      if (command) this.#commands.set(command.id, this.#commandRow(command));
    }
    this.#draw();
    setText(this.#button, "Show more");
    this.#button.hidden = !this.#older.hasMore;
  }

  /**
   * @param {Version} version
   * @param {Version[]} older What came before it, the newest first.
   */
  #versionRow({ at, version, change, cause, isLate }, older) {
    const steps = createSteps(change, older).flatMap(spaced);
    const origin = describeCause(cause) + (isLate ? " · arrived later" : "");
    return { at, version, content: this.#createRow(at, `v${version}`, steps, origin) };
  }

  /** @param {KnownCommand} command */
  #commandRow(command) {
    const { word, rest } = describeOutcome(command, this.board.now());
    const step = createElement(
      "span",
      {},
      createElement("s", {}, command.name),
      createElement("i", {}, describeGiven(command)),
      " → ",
      createElement("b", {}, word),
      createElement("i", {}, rest),
    );
    const at = command.created;
    const origin = `command · ${shorten(command.id)}`;
    return { at, command: command.id, content: this.#createRow(at, "asked", [step], origin) };
  }

  /**
   * @param {number} at
   * @param {string} kind
   * @param {(Node | string)[]} change
   * @param {string} origin
   */
  #createRow(at, kind, change, origin) {
    const time = createElement("time");
    setTime(time, at, formatClock(at, this.board.now()));
    return [
      time,
      " ",
      createElement("span", {}, kind),
      " ",
      createElement("span", { class: "change" }, ...change),
      " ",
      createElement("code", {}, origin),
    ];
  }
}

/**
 * @param {Version["change"]} change
 * @param {Version[]} older
 */
function createSteps(change, older) {
  if (!change) return [createElement("span", {}, "removed")];
  const fields = [...flattenState(change)];
  const steps = fields.slice(0, STEPS).map(([path, value]) => {
    const old = valueBefore(older, path) ?? undefined;
    const [label] = splitUnit(path, value ?? old);
    const [was, text] = describeStep(path, old, value);
    const before = was === undefined ? [] : [createValue("s", was, hintOf(old)), " → "];
    return createElement("span", {}, `${label} `, ...before, createValue("b", text, hintOf(value)));
  });
  const leftOut = fields.slice(STEPS).map(([path]) => path);
  return leftOut.length ? [...steps, createMore(leftOut)] : steps;
}

/**
 * @param {string} path
 * @param {any} old
 * @param {any} value
 * @returns {[old: string | undefined, text: string]}
 */
function describeStep(path, old, value) {
  if (old !== undefined && value !== null) return tellApart(path, old, value);
  const [was, now] = [old, value].map((one) => cut(formatValue(path, one), LONGEST_VALUE));
  return [old === undefined ? undefined : was, value === null ? "removed" : now];
}

/** @param {string[]} names The fields that changed too. */
function createMore(names) {
  return createElement("span", { title: names.join(", ") }, `and ${names.length} more`);
}

/** Words, also where the text is copied or read aloud. @param {Node} step */
function spaced(step) {
  return [step, " "];
}

/**
 * @param {"s" | "b"} tag
 * @param {string} text
 * @param {string} [title]
 */
function createValue(tag, text, title) {
  const element = createElement(tag, {}, text);
  setAttributes(element, { title });
  return element;
}

/**
 * What a dotted field was, in versions from the newest to the oldest; undefined if they do not
 * know it.
 * @param {Version[]} newestFirst
 * @param {string} path
 */
export function valueBefore(newestFirst, path) {
  for (const { change } of newestFirst) {
    const value = flattenState(change).get(path);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** @param {Version["cause"]} cause */
function describeCause(cause) {
  if (!cause) return "";
  const { source, id, by, sender } = cause;
  return `${sender || (by === "user" ? "page" : source)} · ${shorten(id)}`;
}

/** @param {string} id */
function shorten(id) {
  return id.length > LONGEST_ID ? `${id.slice(0, 5)}…${id.slice(-4)}` : id;
}
