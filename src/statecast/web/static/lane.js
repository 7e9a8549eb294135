// The lanes of a timeline. Words and yes/no are bands, numbers are a line. Coordinates are
// percentages, and nested <svg> elements clip, so that no text is ever stretched.
import { createSvgElement } from "./dom.js";
import tables from "./tables.js";
import { colorWords } from "./word-color.js";
import { formatNumber, formatValue, splitUnit } from "./words.js";

/** @import { Color } from "./word-color.js" */

/**
 * What the lanes show: from when until when, and how many pixels wide.
 * @typedef {{ from: number, to: number, range: number, width: number }} Scale
 */
/** @typedef {{ from: number, to: number, value: any }} Segment */
/**
 * @typedef {object} Lane
 * @property {string} field
 * @property {number} height
 * @property {(segments: Segment[], scale: Scale, y: number) => SVGElement[]} draw
 */

const PIXELS_PER_LETTER = 8;
const PADDING = 14;
/** In pixels. */
const THINNEST_BAND = 3;
/** The box of a line: its height, and the part of it that the line uses. */
const LINE_BOX = { width: 1000, height: 58, low: 54, rise: 50, middle: 29 };

/**
 * @param {string} field
 * @param {unknown} value
 * @param {number} y
 */
function drawLabel(field, value, y) {
  const [label] = splitUnit(field, value);
  return createSvgElement("text", { class: "lane", y: y + 14 }, label);
}

/** A field of words or yes/no. @implements {Lane} */
export class BandLane {
  height = tables.timeline.band_height;
  /** All words that the lane has shown. @type {Set<string>} */
  #words = new Set();

  /** @param {string} field */
  constructor(field) {
    this.field = field;
  }

  /**
   * @param {Segment[]} segments
   * @param {Scale} scale
   * @param {number} y
   */
  draw(segments, scale, y) {
    const parts = [drawLabel(this.field, segments.at(-1)?.value, y)];
    for (const { value } of segments) if (typeof value === "string") this.#words.add(value);
    const colors = colorWords(this.#words);
    for (const segment of segments) {
      const pixels = ((segment.to - segment.from) / scale.range) * scale.width;
      const isInvisible = pixels < 0.5 && segment.to < scale.to;
      const color = colors.get(segment.value) ?? { class: segment.value ? "yes" : "off" };
      if (!isInvisible) parts.push(this.#drawBand(segment, scale, y, color, pixels));
    }
    return parts;
  }

  /**
   * @param {Segment} segment
   * @param {Scale} scale
   * @param {number} y
   * @param {Color} color
   * @param {number} pixels
   */
  #drawBand({ from, value }, scale, y, color, pixels) {
    const text = formatValue(this.field, value);
    const rect = createSvgElement("rect", { width: "100%", height: 26, rx: 4, ...color });
    // A band of the last seconds of a day would be too narrow to be seen.
    const shown = Math.max(pixels, THINNEST_BAND) / scale.width;
    const begin = Math.min((from - scale.from) / scale.range, 1 - shown);
    const band = createSvgElement(
      "svg",
      {
        x: `${(begin * 100).toFixed(3)}%`,
        y: y + 20,
        width: `${(shown * 100).toFixed(3)}%`,
        height: 26,
      },
      rect,
    );
    if (pixels > text.length * PIXELS_PER_LETTER + PADDING) {
      band.append(createSvgElement("text", { class: "value", x: 8, y: 18 }, text));
    }
    return band;
  }
}

/** A field of numbers. @implements {Lane} */
export class LineLane {
  height = tables.timeline.number_height;

  /** @param {string} field */
  constructor(field) {
    this.field = field;
  }

  /**
   * @param {Segment[]} segments
   * @param {Scale} scale
   * @param {number} y
   */
  draw(segments, scale, y) {
    const last = segments.at(-1)?.value;
    const parts = [drawLabel(this.field, last, y)];
    if (typeof last !== "number") return parts;
    const numbers = segments.filter(({ value }) => Number.isFinite(value));
    const values = numbers.map(({ value }) => value);
    const low = Math.min(...values);
    const high = Math.max(...values);
    const begin = low < high ? `${formatNumber(low)} – ` : "";
    parts.push(
      this.#drawLine(numbers, scale, y, low, high),
      createSvgElement(
        "text",
        { class: "range", x: "100%", y: y + 14 },
        begin + formatValue(this.field, high),
      ),
    );
    return parts;
  }

  /**
   * @param {Segment[]} segments
   * @param {Scale} scale
   * @param {number} y
   * @param {number} low
   * @param {number} high
   */
  #drawLine(segments, scale, y, low, high) {
    const { width, height } = LINE_BOX;
    const left = (/** @type {number} */ at) =>
      (((at - scale.from) / scale.range) * width).toFixed(1);
    const steps = segments.map(({ from, to, value }, place) => {
      const command = place ? "L" : "M";
      return `${command}${left(from)} ${levelOf(value, low, high)}H${left(to)}`;
    });
    const line = steps.join("");
    const area = `${line}V${height}H${left(segments[0].from)}Z`;
    return createSvgElement(
      "svg",
      {
        y: y + 18,
        width: "100%",
        height,
        viewBox: `0 0 ${width} ${height}`,
        preserveAspectRatio: "none",
      },
      createSvgElement("path", { class: "area", d: area }),
      createSvgElement("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }),
    );
  }
}

/**
 * Where a value stands in the box of its line.
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
function levelOf(value, low, high) {
  const share = (value - low) / (high - low);
  return (low < high ? LINE_BOX.low - share * LINE_BOX.rise : LINE_BOX.middle).toFixed(1);
}
