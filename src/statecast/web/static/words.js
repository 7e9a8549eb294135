// How values, units and times are written for people, in the languages of the browser.
// `web/formatting.py` writes the same in English for the first HTML.
import tables from "./tables.js";

const NO_BREAK_SPACE = "\u00a0";
const UNITS = new Map(Object.entries(tables.units));

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// Intl objects are expensive to make, so each is made once.

/**
 * @param {number} maximumSignificantDigits
 * @param {"standard" | "compact" | "scientific"} notation
 */
function numberFormat(maximumSignificantDigits, notation = "standard") {
  return new Intl.NumberFormat([], { maximumSignificantDigits, notation });
}

const ROUNDED = {
  plain: numberFormat(4),
  large: numberFormat(4, "compact"),
  extreme: numberFormat(4, "scientific"),
};
const EXACT = {
  plain: numberFormat(21),
  large: numberFormat(21),
  extreme: numberFormat(17, "scientific"),
};

/** @param {Intl.DateTimeFormatOptions} options */
function timeFormat(options) {
  return new Intl.DateTimeFormat([], {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    ...options,
  });
}

const TIME_OF_TODAY = timeFormat({ second: "2-digit" });
const TIME_OF_OTHER_DAY = timeFormat({ day: "numeric", month: "short" });
const RELATIVE_TIME = new Intl.RelativeTimeFormat([], { style: "narrow" });

/**
 * A property of an object itself. Device and field names are data: `constructor` or `__proto__`
 * must not reach a prototype.
 * @param {any} object
 * @param {string} name
 * @returns {any}
 */
export function getOwn(object, name) {
  return object && Object.hasOwn(object, name) ? object[name] : undefined;
}

/**
 * A number with four significant digits; with `exact`, all of its digits.
 * @param {number} value
 * @param {boolean} [exact]
 */
export function formatNumber(value, exact = false) {
  const formats = exact ? EXACT : ROUNDED;
  const size = Math.abs(value);
  if (exact && Number.isSafeInteger(value)) return formats.plain.format(value);
  if (size >= 1e15 || (size > 0 && size < 1e-6)) return formats.extreme.format(value);
  return (size < 1e6 ? formats.plain : formats.large).format(value);
}

/**
 * The field name to show, and the unit: `temperature_c` of a number is `["temperature", "°C"]`.
 * @param {string} name
 * @param {unknown} value
 * @returns {[label: string, unit: string]}
 */
export function splitUnit(name, value) {
  if (typeof value !== "number") return [name, ""];
  if (tables.percent_fields.includes(name)) return [name, "%"];
  const end = name.lastIndexOf("_");
  const unit = end > 0 ? UNITS.get(name.slice(end + 1)) : undefined;
  return unit ? [name.slice(0, end), unit] : [name, ""];
}

/**
 * The value of a field with its unit; with `exact`, all digits of a number.
 * @param {string} name
 * @param {any} value
 * @param {boolean} [exact]
 * @returns {string}
 */
export function formatValue(name, value, exact = false) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === "") return "“”";
  if (typeof value === "number") {
    const [, unit] = splitUnit(name, value);
    return formatNumber(value, exact) + (unit && NO_BREAK_SPACE + unit);
  }
  if (Array.isArray(value)) return formatList(value, exact);
  if (value && typeof value === "object") {
    return `{${formatCount(Object.keys(value).length, "field")}}`;
  }
  return value ?? "";
}

/**
 * Up to three plain items are written out, more are counted.
 * @param {any[]} items
 * @param {boolean} exact
 */
function formatList(items, exact) {
  const isShort = items.length > 0 && items.length <= 3;
  if (isShort && !items.some((item) => item && typeof item === "object")) {
    return items.map((item) => formatValue("", item, exact)).join(", ");
  }
  return `[${formatCount(items.length, "item")}]`;
}

/**
 * @param {number} count
 * @param {string} noun
 */
function formatCount(count, noun) {
  return `${formatNumber(count, true)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * The largest unit that a duration fills at least once.
 * @param {number} ms
 * @returns {{ count: number, unit: Intl.RelativeTimeFormatUnit, symbol: string }}
 */
function largestUnit(ms) {
  const length = Math.max(0, ms);
  if (length < MINUTE) return { count: Math.trunc(length / SECOND), unit: "second", symbol: "s" };
  if (length < HOUR) return { count: Math.trunc(length / MINUTE), unit: "minute", symbol: "min" };
  if (length < DAY) return { count: Math.trunc(length / HOUR), unit: "hour", symbol: "h" };
  return { count: Math.trunc(length / DAY), unit: "day", symbol: "d" };
}

/**
 * "48 s", "14 min".
 * @param {number} ms
 */
export function formatDuration(ms) {
  const { count, symbol } = largestUnit(ms);
  return `${count} ${symbol}`;
}

/**
 * The time of day, with the date if it is not the day of `now`.
 * @param {number} at
 * @param {number} now
 */
export function formatClock(at, now) {
  const isToday = new Date(at).toDateString() === new Date(now).toDateString();
  return (isToday ? TIME_OF_TODAY : TIME_OF_OTHER_DAY).format(at);
}

/**
 * "3s ago", never in the future; after 30 days the date.
 * @param {number} at
 * @param {number} now
 */
export function formatAge(at, now) {
  const age = now - at;
  if (age < 2 * SECOND) return "just now";
  if (age > 30 * DAY) return formatClock(at, now);
  const { count, unit } = largestUnit(age);
  return RELATIVE_TIME.format(-count, unit);
}
