// The line of the last values of a number. The points are the values as they are; CSS turns the
// picture upside up.

const LENGTH = 40;
/** SVG counts in single precision. */
const WIDEST = 1e37;

/** @type {WeakMap<Element, number[]>} The values of each line, the newest at the end. */
const pasts = new WeakMap();

/**
 * Add the newest value to a line, and return its values. The server wrote the first ones.
 * @param {Element} line
 * @param {unknown} latest
 */
export function rememberValue(line, latest) {
  const past = pasts.get(line) ?? readPoints(line);
  const isNew = typeof latest === "number" && past.at(-1) !== latest;
  const values = isNew ? [...past, latest].slice(-LENGTH) : past;
  pasts.set(line, values);
  return values;
}

/**
 * The points are `x y` pairs; the first and the last one close the area under the line.
 * @param {Element} line
 */
function readPoints(line) {
  const numbers = (line.getAttribute("points") ?? "").split(" ");
  const heights = numbers.filter((_, place) => place % 2).slice(1, -1);
  return heights.map(Number);
}

/** @param {number[]} values */
function extent(values) {
  if (!values.length) return { low: -0.5, spread: 1 };
  const low = Math.max(Math.min(...values), -WIDEST);
  const high = Math.min(Math.max(...values), WIDEST);
  // A flat line is drawn in the middle.
  return high > low ? { low, spread: high - low } : { low: low - 0.5, spread: 1 };
}

/** Enough for a drawing. @param {number} value */
function sixDigits(value) {
  return Number(value.toPrecision(6));
}

/**
 * The view box: a short past fills the picture too.
 * @param {number[]} values
 */
export function sparklineBounds(values) {
  const { low, spread } = extent(values);
  const width = Math.max(1, values.length - 1);
  return `${LENGTH - 1 - width} ${sixDigits(low)} ${width} ${sixDigits(spread)}`;
}

/** @param {number[]} values */
export function sparklinePoints(values) {
  if (values.length < 2) return undefined;
  const { low, spread } = extent(values);
  const first = LENGTH - values.length;
  const floor = sixDigits(low - spread);
  const line = values.map((value, place) => `${first + place} ${sixDigits(value)}`).join(" ");
  return `${first - 1} ${floor} ${line} ${LENGTH} ${floor}`;
}
