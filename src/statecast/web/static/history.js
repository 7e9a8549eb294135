// The history: one line per version, with what each field was and became.
import { formatClock } from "./ages.js";
import { createElement, enableButton, find, findAll, setAttributes, setText } from "./dom.js";
import { flattenState } from "./fields.js";
import { fetchVersions } from "./history-api.js";
import { getTime, setTime, showLocalTime } from "./time-element.js";
import { hintOf, tellApart } from "./whole-value.js";
import { cut, formatNumber, formatValue, splitUnit } from "./words.js";

/** @import { Board, Device } from "./board.js" */
/** @import { Version, VersionLog } from "./version-log.js" */

const FIRST_ROWS = 8;
const PAGE_SIZE = 50;
const STEPS = 6;
const LONGEST_VALUE = 120;
const LONGEST_ID = 12;

export class History {
  #list = find("#history", document, HTMLOListElement);
  #more = find("#more-history");
  #button = find("button", this.#more);
  /** Whether the reader asked for more than the first rows. */
  #isOpen = false;

  /**
   * @param {Board} board
   * @param {VersionLog} log
   * @param {() => Device} currentDevice
   */
  constructor(board, log, currentDevice) {
    this.board = board;
    this.log = log;
    this.currentDevice = currentDevice;
    enableButton(this.#button, () => this.#showOlder());
    this.#showLocalTimes();
  }

  /** What the server wrote in UTC, in the time zone of the reader. */
  #showLocalTimes() {
    for (const row of this.#rows()) {
      const time = find("time", row);
      const at = this.log.find(Number(row.dataset.version))?.at ?? getTime(time);
      if (at !== undefined) setTime(time, at, formatClock(at, this.board.now()));
      for (const value of findAll("[title]:not(time)", row)) showLocalTime(value);
    }
  }

  #rows() {
    return /** @type {HTMLElement[]} */ ([...this.#list.children]);
  }

  /** The device changed: the newest versions come in at the top. */
  update() {
    const newest = Number(this.#rows()[0]?.dataset.version ?? 0);
    for (const version of this.log.after(newest)) {
      if (version.cause) this.#insert(this.#createRow(version, this.log.before(version)));
    }
    this.#showCount();
  }

  /**
   * Versions that were missing have come, newest first.
   * @param {Version[]} found
   */
  fill(found) {
    const rows = new Map(this.#rows().map((row) => [Number(row.dataset.version), row]));
    for (const version of found) {
      rows.set(version.version, this.#createRow(version, this.log.before(version)));
    }
    const newest = [...rows].sort(([one], [other]) => other - one).map(([, row]) => row);
    this.#list.replaceChildren(...(this.#isOpen ? newest : newest.slice(0, FIRST_ROWS)));
  }

  /**
   * The text moves down and the lines stay where they are: nothing jumps.
   * @param {HTMLElement} fresh
   */
  #insert(fresh) {
    const hasRoom = this.#list.children.length < FIRST_ROWS || this.#isOpen;
    if (hasRoom) this.#list.append(createElement("li"));
    let { version } = fresh.dataset;
    let content = [...fresh.childNodes];
    for (const row of this.#rows()) {
      const next = { version: row.dataset.version, content: [...row.childNodes] };
      row.replaceChildren(...content);
      row.dataset.version = version;
      ({ version, content } = next);
    }
  }

  #showCount() {
    const { version: count = 0 } = this.currentDevice();
    const text = this.#more.firstChild;
    if (count && text instanceof Text) {
      const words = `${formatNumber(count)} version${count > 1 ? "s" : ""}`;
      setText(text, text.data.replace(/^[\s\S]*?version(s?)/, words));
    }
    const isAllShown = this.#list.children.length < FIRST_ROWS || count <= FIRST_ROWS;
    if (!isAllShown) this.#button.hidden = false;
  }

  async #showOlder() {
    const oldest = Number(this.#rows().at(-1)?.dataset.version);
    const { device } = this.currentDevice();
    const older = await fetchVersions(device, PAGE_SIZE + 1, oldest || undefined);
    const shown = older.slice(0, PAGE_SIZE);
    this.#list.append(
      ...shown.map((version, place) => this.#createRow(version, older.slice(place + 1))),
    );
    this.#isOpen = true;
    setText(this.#button, "Show more");
    this.#button.hidden = older.length <= PAGE_SIZE;
  }

  /**
   * @param {Version} version
   * @param {Version[]} older What came before it, the newest first.
   */
  #createRow({ at, version, change, cause, isLate }, older) {
    const time = createElement("time");
    setTime(time, at, formatClock(at, this.board.now()));
    return createElement(
      "li",
      { "data-version": version },
      time,
      " ",
      createElement("span", {}, `v${version}`),
      " ",
      createElement("span", { class: "change" }, ...createSteps(change, older).flatMap(spaced)),
      " ",
      createElement("code", {}, describeCause(cause) + (isLate ? " · arrived later" : "")),
    );
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
  const { source, id, by } = cause;
  const shortId = id.length > LONGEST_ID ? `${id.slice(0, 5)}…${id.slice(-4)}` : id;
  return `${by === "user" ? "page" : source} · ${shortId}`;
}
