// The sign that a field changed: a flash, and for a field that never rests a steady bar.
import { flashClass } from "./dom.js";

const FLASH = 1600;
const BAR = 6000;
/** At most one flash in this time. */
const PAUSE = 1000;
/** More than three changes in this time make the bar. */
const WINDOW = 5000;
const MANY = 3;

/** @type {WeakMap<Element, number[]>} When each field changed last, newest at the end. */
const changes = new WeakMap();

/**
 * @param {Element} row The row of the field.
 * @param {number} at When it changed.
 */
export function flashChange(row, at) {
  const recent = (changes.get(row) ?? []).filter((before) => before > at - WINDOW);
  changes.set(row, [...recent.slice(-MANY), at]);
  const last = recent.at(-1);
  if (recent.length >= MANY) flashClass(row, "bar", BAR);
  else if (last === undefined || at - last >= PAUSE) flashClass(row, "flash", FLASH);
}
