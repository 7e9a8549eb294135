// A <time>: its words may be an age, its attributes say the exact time.
import { setAttributes, setText } from "./dom.js";
import { formatAge, formatMoment, timeOf } from "./ages.js";

/** @type {WeakMap<Element, number>} The time of each element, in milliseconds since 1970. */
const times = new WeakMap();

/**
 * @param {Element} element
 * @param {number} at
 * @param {string} text
 */
export function setTime(element, at, text) {
  setText(element, text);
  if (times.get(element) === at) return;
  times.set(element, at);
  const date = new Date(at);
  setAttributes(element, { datetime: date.toISOString(), title: date.toLocaleString() });
}

/**
 * @param {Element} element
 * @param {number} at
 * @param {number} now
 */
export function setAge(element, at, now) {
  setTime(element, at, formatAge(at, now));
}

/**
 * The time of an element, also of one that the HTML came with; undefined if it has none.
 * @param {Element} element
 * @returns {number | undefined}
 */
export function getTime(element) {
  const parsed = Date.parse(element.getAttribute("datetime") ?? "");
  return times.get(element) ?? (Number.isNaN(parsed) ? undefined : parsed);
}

/**
 * A value that the server wrote in UTC, in the time zone of the reader.
 * @param {HTMLElement} element Its `title` is the value as it was sent.
 */
export function showLocalTime(element) {
  const at = timeOf(element.title);
  if (at !== undefined) setText(element, formatMoment(at));
}
