// Which picture a state gets: rules without DOM. The table is shared with `web/pictures.py`.
import { isDescribing, orderFields } from "./fields.js";
import { getOwn } from "./own.js";
import tables from "./tables.js";
import { cut, formatValue } from "./words.js";

/** @import { State } from "./fields.js" */

/**
 * @typedef {object} Rule
 * @property {string} [field] The name of the field that decides; or
 * @property {string} [suffix] the end of its name.
 * @property {string} is The predicate that its value must meet.
 */
/**
 * A picture, and the states it is for.
 * @typedef {object} Picture
 * @property {string} name
 * @property {Rule[]} when The first rule that matches names the deciding field.
 * @property {string[]} kinds Values of the field `kind` that choose this picture.
 * @property {string[][]} alt What the picture says: of each list the first that is true.
 */
/**
 * A line icon, and the words for the yes/no that it stands for.
 * @typedef {{ name: string, kinds: string[], fields: string[], yes: string, no: string }} Icon
 */

/** @type {Picture[]} */
const PICTURES = tables.pictures;
/** @type {Icon[]} */
const ICONS = tables.icons;
const [IMAGE] = PICTURES;
const BOX = PICTURES[PICTURES.length - 1];
const BOX_ICON = ICONS[ICONS.length - 1];
const IMAGE_ADDRESS = new RegExp(`^(?:${tables.image_pattern})$`);

/** @type {Record<string, (value: any) => boolean>} */
const PREDICATES = {
  plain: (value) => value !== null && typeof value !== "object",
  number: (value) => typeof value === "number",
  yes_no: (value) => typeof value === "boolean",
  word: (value) => typeof value === "string" || typeof value === "boolean",
  image: isImage,
};

/**
 * Only images of this origin, or inside of the value: others would learn who looks.
 * @param {unknown} value
 */
export function isImage(value) {
  return typeof value === "string" && IMAGE_ADDRESS.test(value);
}

/** @param {any} value */
export function isYes(value) {
  return tables.yes_values.includes(value);
}

/**
 * The picture of a state and its deciding field: the image, then the kind, then the first rule
 * that matches.
 * @param {State} state
 * @returns {{ picture: Picture, field?: string }}
 */
export function choosePicture(state) {
  const image = decidingField(IMAGE, state);
  if (image) return { picture: IMAGE, field: image };
  const kind = getOwn(state, "kind");
  const ofKind = PICTURES.find(({ kinds }) => kinds.includes(kind));
  if (ofKind) {
    const isField = getOwn(state, kind) != null;
    return { picture: ofKind, field: isField ? kind : decidingField(ofKind, state) };
  }
  for (const picture of PICTURES) {
    const field = decidingField(picture, state);
    if (field) return { picture, field };
  }
  return { picture: BOX };
}

/**
 * @param {Picture} picture
 * @param {State} state
 * @returns {string | undefined}
 */
function decidingField({ when }, state) {
  for (const { field, suffix, is } of when) {
    const candidates = field === undefined ? fieldsEnding(suffix ?? "", state) : [field];
    const decides = candidates.find(
      (name) => Object.hasOwn(state, name) && PREDICATES[is](state[name]),
    );
    if (decides) return decides;
  }
  return undefined;
}

/**
 * @param {string} suffix
 * @param {State} state
 */
function fieldsEnding(suffix, state) {
  return orderFields(state).filter(
    (name) =>
      name.endsWith(suffix) &&
      name !== suffix &&
      !isDescribing(name) &&
      !tables.picture_ignored_fields.includes(name),
  );
}

/**
 * The icon of a state: by its kind, else by the deciding field, else the box.
 * @param {State} state
 * @param {string | undefined} field
 * @returns {Icon}
 */
export function chooseIcon(state, field) {
  const kind = getOwn(state, "kind");
  return (
    ICONS.find(({ kinds }) => kinds.includes(kind)) ??
    ICONS.find(({ fields }) => field !== undefined && fields.includes(field)) ??
    BOX_ICON
  );
}

/**
 * The words under an icon.
 * @param {State} state
 * @param {string | undefined} field
 */
export function describeIcon(state, field) {
  if (field === undefined) return "";
  const value = getOwn(state, field);
  if (typeof value !== "boolean") return cut(formatValue(field, value), 60);
  const icon = chooseIcon(state, field);
  const hasWords = icon.fields.includes(field) && icon.yes;
  const words = value ? icon.yes : icon.no;
  const text = hasWords ? words : formatValue(field, value);
  const brightness = getOwn(state, "brightness");
  const isDimmed = field === "on" && value && typeof brightness === "number";
  return isDimmed ? `${text} · ${formatValue("brightness", brightness)}` : text;
}
