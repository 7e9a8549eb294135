// Live fields on a page of your own, by attributes alone:
//   <script type="module" src="/statecast/bind.js"></script>
//   <b data-live="pillow.mood"></b>
//   <svg data-live="pillow.mood" data-to="data-mood"></svg>
// `data-fresh` says how far an element can be believed.
import { connect, formatValue, getOwn } from "./statecast.js";

/** @import { Board, Connection } from "./statecast.js" */
/** @import { Options } from "./connection.js" */

/** Attributes that cannot run code. */
const SAFE_ATTRIBUTE = /^(data-[\w-]+|aria-label|title|value)$/;

/**
 * An element and what it shows.
 * @typedef {object} Binding
 * @property {Element} element
 * @property {string} attribute Where to write; empty for the text.
 * @property {string} device
 * @property {string[]} path The field and the names inside of it; empty for none.
 */

/**
 * @param {Element} element
 * @returns {Binding}
 */
function readBinding(element) {
  const name = element.getAttribute("data-live") ?? "";
  const field = element.getAttribute("data-field");
  const attribute = element.getAttribute("data-to") ?? "";
  if (field !== null) return { element, attribute, device: name, path: [field] };
  // Device names may hold dots: the field begins at the first dot after the last slash.
  const [, device, path] = /^((?:.*\/)?[^.]*)\.?(.*)$/.exec(name) ?? [, name, ""];
  return { element, attribute, device: device ?? name, path: path ? path.split(".") : [] };
}

/**
 * @param {Binding} binding
 * @param {Board} board
 */
function show({ element, attribute, device: name, path }, board) {
  const device = board.devices.get(name);
  const missing = board.offline ? "lost" : "none";
  element.setAttribute("data-fresh", device ? board.verdict(device).key : missing);
  // Before the first answer it is not known whether there is such a device.
  const known = device !== undefined || board.disconnectedSince === undefined;
  if (!path.length || !known) return;
  const value = path.reduce(
    (object, part) => (typeof object === "object" ? getOwn(object, part) : undefined),
    /** @type {any} */ (device?.state),
  );
  const text = formatValue(path[path.length - 1], value);
  if (attribute) {
    if (SAFE_ATTRIBUTE.test(attribute)) element.setAttribute(attribute, text);
  } else if (element.textContent !== text) {
    element.textContent = text;
  }
}

/**
 * Keep every `[data-live]` under `root` up to date.
 * @param {ParentNode} [root]
 * @param {Options} [options]
 * @returns {Connection}
 */
export function bind(root = document, options) {
  const bindings = Array.from(root.querySelectorAll("[data-live]"), readBinding);
  const devices = [...new Set(bindings.map(({ device }) => device))];
  const live = connect({ ...options, devices });
  const showAll = () => {
    for (const binding of bindings) show(binding, live.board);
  };
  for (const event of ["states", "seen", "health", "link"]) live.on(event, showAll);
  setInterval(showAll, 1000);
  return live;
}

if (globalThis.document?.querySelector("[data-live]")) bind();
