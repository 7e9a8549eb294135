// How values and units are written for people, in the languages of the browser.
// `web/formatting.py` writes the same in English for the first HTML.
import { formatMoment, timeOf } from "./ages.js";
import tables from "./tables.js";

const NO_BREAK_SPACE = "\u00a0";
const UNITS = new Map(Object.entries(tables.units));

const DATA = new RegExp(`^${tables.data_pattern}`, "i");

// Intl objects are expensive to make, so each is made once.

/** @param {Intl.NumberFormatOptions} options */
function numberFormat(options) {
  return new Intl.NumberFormat([], options);
}

/** All digits: two different numbers are two different texts. */
const EXACT = {
  plain: numberFormat({ maximumSignificantDigits: 21 }),
  extreme: numberFormat({ maximumSignificantDigits: 17, notation: "scientific" }),
};

/**
 * A number with all of its digits.
 * @param {number} value
 */
export function formatNumber(value) {
  const size = Math.abs(value);
  const isPlain = Number.isSafeInteger(value) || (size < 1e15 && size >= 1e-6);
  // "-0" would say that zeros differ.
  return (isPlain ? EXACT.plain : EXACT.extreme).format(value || 0);
}

/**
 * The field name to show, and the unit: `temperature_c` of a number is `["temperature", "°C"]`.
 * @param {string} name
 * @param {unknown} value
 * @returns {[label: string, unit: string]}
 */
export function splitUnit(name, value) {
  if (typeof value !== "number") return [name, ""];
  if (tables.percent_fields.includes(name)) return [name, value >= 0 && value <= 100 ? "%" : ""];
  const end = name.lastIndexOf("_");
  const unit = end > 0 ? UNITS.get(name.slice(end + 1)) : undefined;
  return unit ? [name.slice(0, end), unit] : [name, ""];
}

/**
 * The value of a field with its unit. Numbers are exact: pictures alone round them.
 * @param {string} name
 * @param {any} value
 * @returns {string}
 */
export function formatValue(name, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return withUnit(name, value, formatNumber(value));
  if (typeof value === "string") return formatText(value);
  if (Array.isArray(value)) return formatList(value);
  if (value && typeof value === "object") {
    return `{${formatCount(Object.keys(value).length, "field")}}`;
  }
  return "";
}

/**
 * A value in a list. Of a number 15 digits: what was sent with up to 15 stays what it is. The other
 * digits of 22.099999999999998 are noise of binary arithmetic, and have no room.
 * @param {string} name
 * @param {any} value
 */
export function formatBrief(name, value) {
  const isFraction = typeof value === "number" && !Number.isInteger(value);
  return formatValue(name, isFraction ? Number(value.toPrecision(15)) : value);
}

/**
 * @param {string} name
 * @param {number} value
 * @param {string} digits
 */
export function withUnit(name, value, digits) {
  const [, unit] = splitUnit(name, value);
  return digits + (unit && NO_BREAK_SPACE + unit);
}

/** @param {string} text */
function formatText(text) {
  const data = DATA.exec(text);
  if (data) return describeData(data, text.slice(data[0].length));
  const at = timeOf(text);
  if (at !== undefined) return formatMoment(at);
  return text || "“”";
}

/**
 * `image, 12 KB` for a `data:` address, whose base64 says nothing to people.
 * @param {RegExpExecArray} head
 * @param {string} body
 */
function describeData([, sort, base64], body) {
  const padding = /=*$/.exec(body)?.[0].length ?? 0;
  const length = base64 ? Math.floor(((body.length - padding) * 3) / 4) : body.length;
  const size = length < 1000 ? `${length} bytes` : `${formatNumber(Math.round(length / 1000))} KB`;
  return `${sort.toLowerCase()}, ${size}`;
}

/**
 * Up to three plain items are written out, more are counted.
 * @param {any[]} items
 */
function formatList(items) {
  const isShort = items.length > 0 && items.length <= 3;
  if (isShort && !items.some((item) => item && typeof item === "object")) {
    return items.map((item) => formatValue("", item)).join(", ");
  }
  return `[${formatCount(items.length, "item")}]`;
}

/**
 * @param {number} count
 * @param {string} noun
 */
function formatCount(count, noun) {
  return `${formatNumber(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * A text that says that it was cut.
 * @param {string} text
 * @param {number} length
 */
export function cut(text, length) {
  const letters = text.length > length ? [...text] : [];
  return letters.length > length ? `${letters.slice(0, length - 1).join("")}…` : text;
}
