// Which fields of a state come first, and how they are named. `web/formatting.py` orders alike.
import tables from "./tables.js";
import { splitUnit } from "./words.js";

/** @typedef {Record<string, any>} State */

const MAIN_FIELDS = 3;
/** How many names deep the objects of a state are opened. */
const DEPTH = 3;

/** The groups of fields in their order. */
const GROUP = { first: 0, other: 1, battery: 2, describing: 3 };

/**
 * Whether a field only describes its device, like `label` or `noted_at`.
 * @param {string} name
 */
export function isDescribing(name) {
  return tables.describing_fields.includes(name) || name.endsWith(tables.describing_suffix);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {[group: number, place: number]}
 */
function rankField(name, value) {
  const [label] = splitUnit(name, value);
  const place = tables.first_fields.indexOf(label);
  if (place >= 0) return [GROUP.first, place];
  if (isDescribing(name)) return [GROUP.describing, 0];
  return [label === "battery" ? GROUP.battery : GROUP.other, 0];
}

/**
 * The names of a state: the known first, then by name, the battery and descriptions last.
 * @param {State} state
 */
export function orderFields(state) {
  const ranked = Object.keys(state).map((name) => ({ name, rank: rankField(name, state[name]) }));
  ranked.sort((one, other) => {
    const [group, place] = one.rank;
    const [otherGroup, otherPlace] = other.rank;
    return group - otherGroup || place - otherPlace || (one.name < other.name ? -1 : 1);
  });
  return ranked.map(({ name }) => name);
}

/**
 * The three fields of a card; the first one also stands in the title. Fields that the server's
 * setting `card` names win, then plain ones, then objects and lists.
 * @param {State | null | undefined} state
 * @param {string[]} wanted
 */
export function mainFields(state, wanted) {
  if (!state) return [];
  const chosen = wanted.filter((name) => Object.hasOwn(state, name));
  if (chosen.length) return chosen.slice(0, MAIN_FIELDS);
  const names = orderFields(state);
  const nested = names.filter((name) => state[name] !== null && typeof state[name] === "object");
  const plain = names.filter(
    (name) => !nested.includes(name) && !isDescribing(name) && name !== "color",
  );
  return (plain.length ? plain : nested).slice(0, MAIN_FIELDS);
}

/**
 * Every field by its dotted name; objects are opened two levels deep.
 * @param {State | null | undefined} state
 * @returns {Map<string, any>}
 */
export function flattenState(state) {
  /** @type {Map<string, any>} */
  const fields = new Map();
  addFields(fields, "", state ?? {}, DEPTH);
  return fields;
}

/**
 * @param {Map<string, any>} fields
 * @param {string} path
 * @param {any} value
 * @param {number} levels
 */
function addFields(fields, path, value, levels) {
  const isObject = value && typeof value === "object" && !Array.isArray(value);
  /** @type {string[]} */
  let names = [];
  if (isObject && levels) names = path ? Object.keys(value) : orderFields(value);
  if (path && !names.length) fields.set(path, value);
  for (const name of names) {
    addFields(fields, path ? `${path}.${name}` : name, value[name], levels - 1);
  }
}
