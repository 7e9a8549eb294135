// What of a state is bound to the parts of a picture. `data-set="width=battery:percent"` in a
// template means: the attribute `width` is what the binding `percent` makes of the field
// `battery`; `$` is the deciding field. No code knows clouds.
import { formatFigure, IN_GAUGE } from "./figure.js";
import { getOwn } from "./own.js";
import { answerOf, isImage, isYes } from "./picture-rules.js";
import { sparklineBounds, sparklinePoints } from "./sparkline.js";
import tables from "./tables.js";
import { cut, formatNumber, formatValue, splitUnit, withUnit } from "./words.js";

/** @import { State } from "./fields.js" */
/** @import { Icon } from "./picture-rules.js" */

/**
 * What a picture is drawn from.
 * @typedef {object} Scene
 * @property {State} state
 * @property {string} [field] The deciding field.
 * @property {Icon} icon
 * @property {number[]} past The last values of the deciding field, the present one at the end.
 */
/** @typedef {(value: any, field: string, scene: Scene) => string | undefined} Binding */

const APP = new URL("..", import.meta.url);
/** The path of the app, without a slash at its end. Tests load this module from a disk. */
const ROOT = APP.protocol === "file:" ? "" : APP.pathname.slice(0, -1);
const LONGEST_WORD = 64;
const LONGEST_CAPTION = 60;
const LOW_BATTERY = 15;
const LONGEST_FIGURE = 7;
const COLOR = new RegExp(`^(?:${tables.color_pattern})$`, "i");

/**
 * The text that a binding gives; undefined removes its attribute.
 * @param {Scene} scene
 * @param {string} source Like `battery:percent`.
 */
export function evaluateBinding(scene, source) {
  const [name, binding] = source.split(":");
  const field = name === "$" ? scene.field : name;
  const value = field === undefined ? undefined : getOwn(scene.state, field);
  return BINDINGS[binding]?.(value, field ?? "", scene);
}

/** @param {any} value */
function word(value) {
  if (value === null || value === undefined || typeof value === "object") return undefined;
  return formatValue("", value).toLowerCase().slice(0, LONGEST_WORD);
}

/** @param {any} value */
function share(value) {
  return typeof value === "number" ? Math.min(100, Math.max(0, value)) : undefined;
}

/** Enough for a drawing. @param {number} value */
function fourDigits(value) {
  return Number(value.toPrecision(4));
}

/** Longer figures are written smaller. @param {number} value */
function isLong(value) {
  return formatFigure(value).length > LONGEST_FIGURE;
}

/** @type {Record<string, Binding>} */
const BINDINGS = {
  word,
  yes: (value) => (isYes(value) ? "" : undefined),
  low: (value) => (typeof value === "number" && value < LOW_BATTERY ? "" : undefined),
  color: (value) => (isColor(value) ? value : undefined),
  image: (value) => (isImage(value) ? imageAddress(value) : undefined),
  percent(value) {
    const part = share(value);
    return part === undefined ? undefined : `${fourDigits(part)}%`;
  },
  dash(value) {
    const part = share(value);
    return part === undefined ? undefined : `${fourDigits(part)} 100`;
  },
  figure: (value) => (typeof value === "number" ? formatFigure(value) : undefined),
  long: (value) => (typeof value === "number" && isLong(value) ? "" : undefined),
  exact(value, field) {
    const isRounded = typeof value === "number" && formatFigure(value) !== formatNumber(value);
    return isRounded ? formatValue(field, value) : undefined;
  },
  reading(value, field) {
    if (typeof value !== "number") return undefined;
    return withUnit(field, value, formatFigure(value, IN_GAUGE));
  },
  unit: (value, field) => splitUnit(field, value)[1],
  spoken(value, field) {
    const text = word(value);
    if (!text) return undefined;
    const [label, unit] = splitUnit(field, value);
    return `${label} ${text}${unit === "%" ? " percent" : ""}`;
  },
  icon: (_value, _field, scene) => `#i-${drawingOf(scene)}`,
  sort: (_value, _field, { icon }) => (icon.fields.length ? icon.name : undefined),
  is: (_value, _field, scene) => answer(scene),
  says: (value, field, scene) => describeIcon(value, field, scene),
  bounds: (_value, _field, { past }) => sparklineBounds(past),
  spark: (_value, _field, { past }) => sparklinePoints(past),
};

/** @param {Scene} scene */
function answer({ icon, field, state }) {
  return answerOf(icon, field, field === undefined ? undefined : getOwn(state, field));
}

/**
 * The drawing of an icon; without an answer that of no, which CSS dashes.
 * @param {Scene} scene
 */
function drawingOf(scene) {
  const { name, fields } = scene.icon;
  return fields.length ? `${name}-${answer(scene) ?? "no"}` : name;
}

/**
 * The word under an icon.
 * @param {any} value
 * @param {string} field
 * @param {Scene} scene
 */
function describeIcon(value, field, scene) {
  const { icon, state } = scene;
  const found = answer(scene);
  if (!found) return field && cut(formatValue(field, value), LONGEST_CAPTION);
  const brightness = getOwn(state, "brightness");
  const isDimmed = icon.name === "light" && found === "yes" && typeof brightness === "number";
  return isDimmed ? `${icon[found]} · ${formatValue("brightness", brightness)}` : icon[found];
}

/**
 * A path begins at the root of the app, wherever that is on its site.
 * @param {string} image
 */
export function imageAddress(image) {
  const isWhole = image.startsWith("data:") || image.startsWith(`${ROOT}/`);
  return isWhole ? image : ROOT + image;
}

/** @param {any} value */
function isColor(value) {
  return typeof value === "string" && COLOR.test(value) && CSS.supports("color", value);
}
