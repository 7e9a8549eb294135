// All of a value, where its usual text names only its kind or its size.
// `web/formatting.py` and `web/differences.py` write the same.
import { timeOf } from "./ages.js";
import { cut, formatValue } from "./words.js";

const LONGEST_HINT = 500;
const LONGEST = 120;
/** Letters that are kept before the first difference of two long texts. */
const LEAD = 20;

/**
 * Lists and objects are written out, texts are quoted.
 * @param {any} value
 * @returns {string}
 */
export function wholeValue(value) {
  if (typeof value === "string") return `“${value}”`;
  if (Array.isArray(value)) return `[${value.map(wholeValue).join(", ")}]`;
  if (value && typeof value === "object") {
    const parts = Object.entries(value).map(([name, part]) => `${name}: ${wholeValue(part)}`);
    return `{${parts.join(", ")}}`;
  }
  return value === null || value === undefined ? "nothing" : formatValue("", value);
}

/**
 * The `title` of a value whose text says it in other words: an exact time, all of a list.
 * @param {any} value
 * @returns {string | undefined}
 */
export function hintOf(value) {
  if (typeof value === "string") return timeOf(value) === undefined ? undefined : value;
  return value && typeof value === "object" ? cut(wholeValue(value), LONGEST_HINT) : undefined;
}

/**
 * What a field was and became, as two texts. Two different values never have the same text: those
 * that are equally named (two lists of five items, `"yes"` and true) are written out.
 * @param {string} name
 * @param {any} was
 * @param {any} now
 * @returns {[was: string, now: string]}
 */
export function tellApart(name, was, now) {
  let texts = [formatValue(name, was), formatValue(name, now)];
  if (texts[0] === texts[1]) texts = [wholeValue(was), wholeValue(now)];
  const [old, fresh] = texts.map((text) => [...text]);
  return [cutWindow(old, fresh), cutWindow(fresh, old)];
}

/**
 * A part of a long text that begins shortly before it differs from another one.
 * @param {string[]} letters
 * @param {string[]} others
 */
function cutWindow(letters, others) {
  if (letters.length <= LONGEST) return letters.join("");
  let same = 0;
  while (same < letters.length && letters[same] === others[same]) same++;
  const start = same > LONGEST - LEAD ? same - LEAD : 0;
  return (start > 0 ? "…" : "") + cut(letters.slice(start).join(""), LONGEST);
}
