// What a card or a row shows of a device: its name, its picture and three fields.
import { displayName } from "./device-name.js";
import { createElement, find, flashClass, setAttributes, setText } from "./dom.js";
import { mainFields } from "./fields.js";
import { flashChange } from "./flash.js";
import { showPicture } from "./picture.js";
import { cut, formatBrief, formatValue, splitUnit } from "./words.js";

/** @import { Device } from "./board.js" */
/** @import { Gallery } from "./gallery.js" */

const FIELDS = 3;
const LONGEST_VALUE = 200;
const PICTURE_MOVES_FOR = 4000;

/**
 * @param {HTMLElement} element
 * @param {Device} device
 * @param {boolean} isKnown Whether the device was in the list before: then its changes flash.
 * @param {string[]} wantedFields
 * @param {Gallery} gallery
 */
export function drawCard(element, device, isKnown, wantedFields, gallery) {
  const link = find("a", element);
  const sky = find(".sky", element);
  setText(link, displayName(device));
  link.title = device.device;
  showPicture(sky, device, gallery);
  if (isKnown) flashClass(sky, "new", PICTURE_MOVES_FOR);
  const names = mainFields(device.state, wantedFields);
  const rows = /** @type {HTMLElement[]} */ ([...find(".fields", element).children]);
  for (let place = 0; place < FIELDS; place++) {
    if (names[place]) showField(rows[place], device, names[place], isKnown);
    else rows[place].replaceChildren();
  }
}

/**
 * What a card or a row shows of a device, as text for a search.
 * @param {Device} device
 * @param {string[]} wantedFields
 */
export function describeCard(device, wantedFields) {
  const names = mainFields(device.state, wantedFields).slice(0, FIELDS);
  const values = names.map((name) => formatValue(name, device.state?.[name]));
  return [displayName(device), ...values].join("\n");
}

/**
 * @param {HTMLElement} row
 * @param {Device} device
 * @param {string} name
 * @param {boolean} isKnown
 */
function showField(row, device, name, isKnown) {
  const value = device.state?.[name];
  const text = cut(formatBrief(name, value), LONGEST_VALUE);
  if (row.children.length < 2) row.replaceChildren(createElement("dt"), createElement("dd"));
  const isSameField = row.dataset.field === name;
  row.dataset.field = name;
  const [label, data] = row.children;
  setText(label, splitUnit(name, value)[0]);
  setAttributes(data, {
    title: exactNumber(name, value),
    class: typeof value === "number" ? "number" : undefined,
  });
  if (data.textContent === text) return;
  setText(data, text);
  if (isKnown && isSameField) flashChange(row, device.changed);
}

/**
 * The `title` of a number that is shown with fewer digits than it has.
 * @param {string} name
 * @param {any} value
 */
function exactNumber(name, value) {
  const exact = typeof value === "number" ? formatValue(name, value) : undefined;
  return exact === formatBrief(name, value) ? undefined : exact;
}
