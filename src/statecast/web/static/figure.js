// Numbers inside a picture: exact where they fit. The field beside the picture has all digits.
// `web/figures.py` writes the same.
import { formatNumber } from "./words.js";

/** Letters that fit, and the significant digits of a longer number. */
export const LARGE = { room: 12, digits: 6 };
export const IN_GAUGE = { room: 5, digits: 4 };

/** @typedef {Intl.NumberFormatOptions["notation"]} Notation */

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/**
 * @param {number} value
 * @param {number} maximumSignificantDigits
 * @param {Notation} notation
 */
function round(value, maximumSignificantDigits, notation) {
  const key = `${maximumSignificantDigits} ${notation}`;
  const format =
    formats.get(key) ?? new Intl.NumberFormat([], { maximumSignificantDigits, notation });
  formats.set(key, format);
  return format.format(value);
}

/**
 * A number for a picture. Its integer part is never rounded below a billion; from there on a
 * letter or an exponent says that it is.
 * @param {number} value
 * @param {typeof LARGE} [size]
 */
export function formatFigure(value, { room, digits } = LARGE) {
  const exact = formatNumber(value);
  const magnitude = Math.abs(value);
  if (exact.length <= room) return exact;
  if (magnitude >= 1e15 || magnitude < 1e-6) return round(value, digits, "scientific");
  if (magnitude >= 1e9) return round(value, digits, "compact");
  const integerDigits = Math.floor(Math.log10(magnitude)) + 1;
  return round(value, Math.max(digits, integerDigits), "standard");
}
