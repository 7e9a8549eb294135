// How a value is written where `data-format` asks for it, in the language of the page.
import { timeOf } from "./ages.js";

const SECOND = 1000;
/** @type {[unit: Intl.RelativeTimeFormatUnit, ms: number][]} */
const UNITS = [
  ["day", 86_400 * SECOND],
  ["hour", 3_600 * SECOND],
  ["minute", 60 * SECOND],
  ["second", SECOND],
];
/** Smaller numbers are seconds since 1970, larger ones milliseconds. */
const FIRST_MILLISECONDS = 1e11;
const MOST_DECIMALS = 20;
/** The last time that a browser's calendar can write. */
const LAST_TIME = 8.64e15;

/**
 * What writes a value; undefined for a value that it is not for.
 * @typedef {(value: any, language: string | undefined, now: number) => string | undefined} Format
 */

/** Intl objects are expensive to make. @type {Map<string, any>} */
const made = new Map();

/**
 * @template T
 * @param {new (language: string | undefined, options: any) => T} type
 * @param {string | undefined} language
 * @param {object} options
 * @returns {T}
 */
function intl(type, language, options) {
  const key = `${type.name} ${language} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new type(supported(language), options));
  return made.get(key);
}

/** A page may name a language that is none. @param {string | undefined} language */
function supported(language) {
  try {
    return language ? Intl.getCanonicalLocales(language)[0] : undefined;
  } catch {
    return undefined;
  }
}

/** A number, also one that a device sent as a text. @param {any} value */
export function numberOf(value) {
  const isNumeric = typeof value === "string" && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value);
  const number = isNumeric ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/**
 * A moment in ms: a text with date and time zone, or seconds or milliseconds since 1970.
 * @param {any} value
 */
export function momentOf(value) {
  if (typeof value === "string") return timeOf(value);
  const number = numberOf(value);
  if (number === undefined) return undefined;
  const ms = Math.abs(number) < FIRST_MILLISECONDS ? number * SECOND : number;
  return Math.abs(ms) <= LAST_TIME ? ms : undefined;
}

/** @param {Intl.NumberFormatOptions} options */
function numbers(options) {
  /** @type {Format} */
  const format = (value, language) => {
    const number = numberOf(value);
    if (number === undefined) return undefined;
    return intl(Intl.NumberFormat, language, options).format(number);
  };
  return format;
}

/** @param {Intl.DateTimeFormatOptions} options */
function times(options) {
  /** @type {Format} */
  const format = (value, language) => {
    const at = momentOf(value);
    if (at === undefined) return undefined;
    return intl(Intl.DateTimeFormat, language, options).format(at);
  };
  return format;
}

/** @type {Format} */
function age(value, language, now) {
  const at = momentOf(value);
  if (at === undefined) return undefined;
  const distance = at - now;
  const [unit, ms] = UNITS.find(([, size]) => Math.abs(distance) >= size) ?? UNITS[3];
  const relative = intl(Intl.RelativeTimeFormat, language, { style: "narrow", numeric: "auto" });
  return relative.format(Math.trunc(distance / ms), unit);
}

/** @type {Record<string, (decimals: Intl.NumberFormatOptions) => Format>} */
const FORMATS = {
  number: (decimals) =>
    numbers({ maximumSignificantDigits: decimals ? undefined : 15, ...decimals }),
  percent: (decimals) => numbers({ style: "unit", unit: "percent", ...decimals }),
  date: () => times({ dateStyle: "medium" }),
  time: () => times({ timeStyle: "short" }),
  datetime: () => times({ dateStyle: "medium", timeStyle: "short" }),
  age: () => age,
};

/** The formats by name, for the documents' test. */
export const FORMAT_NAMES = Object.keys(FORMATS);

/**
 * Like `number`, `number:1` with a fixed count of decimals, `percent` or `age`.
 * @param {string | undefined} text
 * @param {(sentence: string) => void} complain
 * @returns {Format | undefined}
 */
export function parseFormat(text, complain) {
  if (text === undefined) return undefined;
  const [, name, digits] = /^(\w+)(?::(\d+))?$/.exec(text.trim()) ?? [];
  const takesDigits = name === "number" || name === "percent";
  const isKnown = name !== undefined && Object.hasOwn(FORMATS, name);
  if (!isKnown || (digits && (!takesDigits || Number(digits) > MOST_DECIMALS))) {
    complain(`data-format="${text}" is unknown: use ${FORMAT_NAMES.join(", ")}, or number:1.`);
    return undefined;
  }
  const decimals = digits
    ? { minimumFractionDigits: Number(digits), maximumFractionDigits: Number(digits) }
    : {};
  return FORMATS[name](decimals);
}
