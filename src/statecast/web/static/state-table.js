// The table of a device's fields: the value, what it was, and since when.
import {
  createElement,
  enableButton,
  find,
  findAll,
  findOptional,
  setAttributes,
  setText,
} from "./dom.js";
import { flattenState } from "./fields.js";
import { flashChange } from "./flash.js";
import { getTime, setAge, showLocalTime } from "./time-element.js";
import { hintOf, tellApart } from "./whole-value.js";
import { cut, formatValue, splitUnit } from "./words.js";

/** @import { Board, Device } from "./board.js" */
/** @import { State } from "./fields.js" */

const LONG_TEXT = 240;
const LONGEST_NOTE = 40;
const NOTE_SHOWN_FOR = 6000;
const REMOVED_SHOWN_FOR = 5000;

export class StateTable {
  #table = find("#state");

  /** @param {Board} board */
  constructor(board) {
    this.board = board;
    for (const value of findAll("bdi[title]", this.#table)) showLocalTime(value);
    for (const button of findAll("button", this.#table)) {
      enableButton(button, () => showWhole(button));
    }
  }

  /**
   * @param {Device} device
   * @param {State | null | undefined} before Its state before.
   */
  update(device, before) {
    const fields = flattenState(device.state);
    const old = flattenState(before);
    const rows = this.#rows();
    /** @type {HTMLElement | undefined} */
    let previous;
    for (const [path, value] of fields) {
      const row = rows.get(path) ?? createRow(path, value);
      if (!row.isConnected) this.#insert(row, previous);
      previous = row;
      row.classList.remove("struck");
      if (isSame(old.get(path), value)) continue;
      const note = old.has(path) ? tellApart(path, old.get(path), value)[0] : undefined;
      this.#change(row, path, value, note, device.changed);
    }
    for (const [path, row] of rows) {
      if (!fields.has(path)) strike(row);
    }
  }

  /** Called with every frame: each row shows how long ago it changed. */
  tick() {
    for (const element of findAll("time", this.#table)) {
      const at = getTime(element);
      if (at !== undefined) setAge(element, at, this.board.now());
    }
  }

  #rows() {
    const rows = /** @type {HTMLElement[]} */ ([...this.#table.children]);
    return new Map(rows.map((row) => [row.dataset.field ?? "", row]));
  }

  /**
   * @param {HTMLElement} row
   * @param {HTMLElement | undefined} previous
   */
  #insert(row, previous) {
    if (previous) previous.after(row);
    else this.#table.prepend(row);
  }

  /**
   * @param {HTMLElement} row
   * @param {string} path
   * @param {any} value
   * @param {string | undefined} oldText
   * @param {number} at
   */
  #change(row, path, value, oldText, at) {
    const cell = find("dd", row);
    const text = formatValue(path, value);
    const place = find("bdi", row);
    setText(place, text);
    setAttributes(place, { title: hintOf(value) });
    const isLong = text.length > LONG_TEXT;
    cell.classList.toggle("long", isLong);
    if (isLong && !findOptional("button", cell)) {
      cell.append(createShowAll());
    }
    setAge(find("time", row), at, this.board.now());
    flashChange(row, at);
    findOptional("i", row)?.remove();
    if (oldText !== undefined) showNote(cell, ` was ${cut(oldText, LONGEST_NOTE)}`);
  }
}

/**
 * @param {any} one
 * @param {any} other
 */
function isSame(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/**
 * @param {string} path
 * @param {any} value
 */
function createRow(path, value) {
  const [label] = splitUnit(path, value);
  return createElement(
    "div",
    { "data-field": path },
    createElement("dt", { title: path }, label),
    createElement("dd", {}, createElement("bdi", { dir: "auto" })),
    createElement("dd", {}, createElement("time")),
  );
}

/**
 * @param {HTMLElement} value
 * @param {string} text
 */
function showNote(value, text) {
  const note = createElement("i", {}, text);
  value.append(note);
  setTimeout(() => note.remove(), NOTE_SHOWN_FOR);
}

/**
 * A removed field is struck through before it goes.
 * @param {HTMLElement} row
 */
function strike(row) {
  row.classList.add("struck");
  setTimeout(() => {
    if (row.classList.contains("struck")) row.remove();
  }, REMOVED_SHOWN_FOR);
}

function createShowAll() {
  const button = createElement("button", { type: "button" }, "Show all");
  button.addEventListener("click", () => showWhole(button));
  return button;
}

/** @param {HTMLElement} button */
function showWhole(button) {
  button.closest("dd")?.classList.remove("long");
  button.remove();
}
