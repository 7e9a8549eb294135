// What of a state is bound to the parts of a picture. `data-set="width=battery:percent"` in a
// template means: the attribute `width` is what the binding `percent` makes of the field
// `battery`; `$` is the deciding field. No code knows clouds.
import { formatFigure, IN_GAUGE } from "./figure.js";
import { getOwn } from "./own.js";
import { chooseIcon, describeIcon, isImage, isYes } from "./picture-rules.js";
import { sparklineBounds, sparklinePoints } from "./sparkline.js";
import tables from "./tables.js";
import { formatNumber, formatValue, splitUnit, withUnit } from "./words.js";

/** @import { State } from "./fields.js" */

/**
 * What a picture is drawn from.
 * @typedef {object} Scene
 * @property {State} state
 * @property {string} [field] The deciding field.
 * @property {number[]} past The last values of the deciding field, the present one at the end.
 */
/** @typedef {(value: any, field: string, scene: Scene) => string | undefined} Binding */

const LONGEST_WORD = 64;
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
  image: (value) => (isImage(value) ? value : undefined),
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
  icon: (_value, field, { state }) => `#i-${chooseIcon(state, field || undefined).name}`,
  says: (_value, field, { state }) => describeIcon(state, field || undefined),
  bounds: (_value, _field, { past }) => sparklineBounds(past),
  spark: (_value, _field, { past }) => sparklinePoints(past),
};

/** @param {any} value */
function isColor(value) {
  return typeof value === "string" && COLOR.test(value) && CSS.supports("color", value);
}
