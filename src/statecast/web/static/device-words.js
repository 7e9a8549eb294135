// A device in a few words: for the title of its page and for screen readers.
import { mainFields, orderFields } from "./fields.js";
import { evaluateBinding } from "./picture-bindings.js";
import { choosePicture } from "./picture-rules.js";
import { cut, formatValue } from "./words.js";

/** @import { Device } from "./board.js" */

const LONGEST_TITLE = 40;

/**
 * What an icon says, so that a lamp is off and not no; else the value of the first main field.
 * @param {Device} device
 * @param {string[]} wantedFields
 */
export function mainWord({ device, state }, wantedFields) {
  if (!state) return "";
  const { picture, ...choice } = choosePicture(state, device);
  if (picture.name === "icon") {
    return evaluateBinding({ state, ...choice, past: [] }, "$:says") ?? "";
  }
  // An empty text says nothing; the picture shows what comes after it.
  const field = mainFields(state, wantedFields).find((name) => state[name] !== "");
  return field === undefined ? "" : cut(formatValue(field, state[field]), LONGEST_TITLE);
}

/**
 * What is announced of a device: words and yes/no, no numbers. Empty if there is nothing to say.
 * @param {Device} device
 * @param {string[]} [wantedFields] All fields count if left out.
 */
export function describeDevice({ state }, wantedFields) {
  if (!state) return "removed";
  const names = wantedFields ? mainFields(state, wantedFields) : orderFields(state);
  return names
    .filter((name) => typeof state[name] !== "number")
    .map((name) => formatValue(name, state[name]))
    .join(", ");
}
