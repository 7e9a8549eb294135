// What a device is called on the page.
import { getOwn } from "./own.js";

/** @import { State } from "./fields.js" */

const LONGEST_NAME = 128;

/**
 * The name to show: the `label` of the state, if there is one.
 * @param {{ device: string, state?: State | null }} device
 */
export function displayName({ device, state }) {
  const label = getOwn(state, "label");
  return typeof label === "string" && label.trim() ? label.slice(0, LONGEST_NAME) : device;
}
