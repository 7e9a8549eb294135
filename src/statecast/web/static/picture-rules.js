// Which picture a state gets: rules without DOM. The tables are shared with
// `web/picture_rules.py`, which says in which order they decide.
import { isDescribing, orderFields } from "./fields.js";
import { getOwn } from "./own.js";
import tables from "./tables.js";
import { splitUnit } from "./words.js";

/** @import { State } from "./fields.js" */

/**
 * @typedef {object} Picture
 * @property {string} name
 * @property {string[][]} alt What the picture says: of each list the first that is true.
 */
/**
 * A line icon with two drawings, one per answer to its question; the box asks nothing.
 * @typedef {object} Icon
 * @property {string} name
 * @property {string} yes The word of each answer.
 * @property {string} no
 * @property {string[]} fields The fields that it can draw, without their units.
 */
/**
 * What a device may be called, by itself or by its name, and what it then shows.
 * @typedef {object} Kind
 * @property {string[]} names
 * @property {string} picture
 * @property {string[]} fields The fields that decide, without their units; the first that fits.
 * @property {Icon} icon
 */
/**
 * Some fields, or all with an ending, of which one must meet a predicate.
 * @typedef {{ picture: string, is: string, fields?: string[], suffix?: string }} Rule
 */
/** @typedef {{ picture: Picture, field?: string, icon: Icon }} Choice */

/** @type {Map<string, Picture>} */
const PICTURES = new Map(tables.pictures.map((picture) => [picture.name, picture]));
/** @type {Icon} */
const BOX = { name: "box", yes: "", no: "", fields: [] };
/** @type {Kind[]} */
const KINDS = tables.kinds.map(({ icon, ...kind }) => ({
  ...kind,
  icon: icon ? { ...icon, fields: kind.fields } : BOX,
}));
const ICONS = KINDS.map(({ icon }) => icon);
/** @type {Rule[]} */
const RULES = tables.picture_rules;
const KIND_BY_NAME = new Map(KINDS.flatMap((kind) => kind.names.map((name) => [name, kind])));
/** What the deciding field of a kind must be, by its picture. @type {Map<string, string>} */
const KIND_PREDICATES = new Map(Object.entries(tables.kind_predicates));
/** @type {Map<string, string>} */
const TELLING_FIELDS = new Map(Object.entries(tables.telling_fields));
const IMAGE_ADDRESS = new RegExp(`^(?:${tables.image_pattern})$`);

/** @type {Record<string, (value: any) => boolean>} */
const PREDICATES = {
  plain: (value) => value !== null && value !== undefined && typeof value !== "object",
  number: (value) => typeof value === "number",
  share: (value) => typeof value === "number" && value >= 0 && value <= 100,
  yes_no: (value) => typeof value === "boolean",
  truth: (value) => ICONS.some((icon) => answerOf(icon, icon.fields[0], value)),
  word: (value) => typeof value === "string",
};

/**
 * Only images of this origin, or inside of the value: others would learn who looks.
 * @param {unknown} value
 */
export function isImage(value) {
  return typeof value === "string" && IMAGE_ADDRESS.test(value);
}

/**
 * Whether the state names an image that is not shown.
 * @param {State} state
 */
export function isForeignImage(state) {
  const image = getOwn(state, "image");
  return typeof image === "string" && image !== "" && !isImage(image);
}

/** @param {any} value */
export function isYes(value) {
  return tables.yes_values.includes(value);
}

/**
 * The answer of a field to the question of an icon; undefined if it gives none.
 * @param {Icon} icon
 * @param {string | undefined} field
 * @param {any} value
 * @returns {"yes" | "no" | undefined}
 */
export function answerOf(icon, field, value) {
  if (field === undefined || !icon.fields.includes(field)) return undefined;
  const text = typeof value === "string" ? value.toLowerCase() : value;
  if (isYes(text) || text === icon.yes) return "yes";
  return tables.no_values.includes(text) || text === icon.no ? "no" : undefined;
}

/**
 * The picture of a state, its deciding field and its icon.
 * @param {State} state
 * @param {string} [device] Its name, which may name a kind.
 * @returns {Choice}
 */
export function choosePicture(state, device = "") {
  const image = getOwn(state, "image");
  if (isImage(image)) return choice("image", "image");
  const name = getOwn(state, "kind");
  const kind = typeof name === "string" ? KIND_BY_NAME.get(name.toLowerCase()) : undefined;
  if (kind) {
    const field = fieldOfKind(kind, state) ?? anyField(kind, name, state);
    return choice(kind.picture, field, kind.icon);
  }
  if (PREDICATES.plain(getOwn(state, "mood"))) return choice("cloud", "mood");
  for (const hint of hintedKinds(device, state)) {
    const field = fieldOfKind(hint, state);
    if (field !== undefined) return choice(hint.picture, field, hint.icon);
  }
  for (const rule of RULES) {
    const field = decidingField(rule, state);
    if (field !== undefined) return choice(rule.picture, field);
  }
  return choice("box");
}

/**
 * @param {string} name
 * @param {string} [field]
 * @param {Icon} [preferred] The icon of the kind, unless only another one can draw the field.
 * @returns {Choice}
 */
function choice(name, field, preferred = BOX) {
  const picture = /** @type {Picture} */ (PICTURES.get(name));
  const icons = [preferred, ...ICONS];
  const able = icons.find(({ fields }) => field !== undefined && fields.includes(field));
  return { picture, field, icon: able ?? preferred };
}

/**
 * Kinds that the name of the device mentions, the last word first; then by its fields.
 * @param {string} device
 * @param {State} state
 */
function hintedKinds(device, state) {
  const words = device.toLowerCase().split(/[^a-z]+/);
  const fields = Object.keys(state).sort();
  const telling = fields.map((name) => TELLING_FIELDS.get(stem(name, state)) ?? "");
  const kinds = [...words.reverse(), ...telling].map((name) => KIND_BY_NAME.get(name));
  return kinds.filter((kind) => kind !== undefined);
}

/**
 * @param {Kind} kind
 * @param {State} state
 */
function fieldOfKind({ picture, fields }, state) {
  return firstField(fields, KIND_PREDICATES.get(picture) ?? "plain", state);
}

/**
 * For a kind that the state names itself: a field of that name, or one that a rule takes.
 * @param {Kind} kind
 * @param {string} name
 * @param {State} state
 */
function anyField({ picture }, name, state) {
  if (picture === "box" || picture === "cloud") return undefined;
  if (getOwn(state, name) != null) return name;
  for (const rule of RULES) {
    const field = rule.picture === picture ? decidingField(rule, state) : undefined;
    if (field !== undefined) return field;
  }
  return undefined;
}

/**
 * @param {Rule} rule
 * @param {State} state
 */
function decidingField({ fields, suffix, is }, state) {
  if (fields || suffix === undefined) return firstField(fields ?? [], is, state);
  return orderFields(state).find(
    (name) =>
      name.endsWith(suffix) &&
      name !== suffix &&
      !isNoHero(name, state) &&
      PREDICATES[is](state[name]),
  );
}

/**
 * The first field that is called so, without its unit, and meets the predicate.
 * @param {string[]} fields
 * @param {string} is
 * @param {State} state
 */
function firstField(fields, is, state) {
  const names = orderFields(state);
  for (const field of fields) {
    const found = names.find((name) => stem(name, state) === field && PREDICATES[is](state[name]));
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Counters, uptimes, the battery and what only describes a device are no picture of it.
 * @param {string} name
 * @param {State} state
 */
function isNoHero(name, state) {
  const words = name.toLowerCase().split("_");
  return (
    tables.no_hero_fields.includes(stem(name, state)) ||
    isDescribing(name) ||
    words.some((word) => tables.no_hero_words.includes(word))
  );
}

/**
 * @param {string} name
 * @param {State} state
 */
function stem(name, state) {
  return splitUnit(name, state[name])[0];
}
