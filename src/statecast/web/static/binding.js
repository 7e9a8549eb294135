// What an element of a page shows: `data-live`, `data-field`, `data-to`, `data-format`.
import { getOwn } from "./own.js";
import { parseFormat } from "./binding-format.js";
import { parseTargets } from "./binding-target.js";

/** @import { Format } from "./binding-format.js" */
/** @import { Target } from "./binding-target.js" */

/** The attributes that decide what an element shows. */
export const BINDING_ATTRIBUTES = [
  "data-live",
  "data-field",
  "data-to",
  "data-format",
  "data-pictures",
  "data-fallback",
];

/**
 * @typedef {object} Binding
 * @property {Element} element
 * @property {string} device
 * @property {string[]} path The field and the names inside of it; empty for none.
 * @property {Target[]} targets Where the value goes.
 * @property {Format} [format]
 * @property {string} [pictures] The address of a picture, with `{}` for the value.
 * @property {string} [fallback] What to show without a value or a picture.
 */

/**
 * Device names may hold dots: the field begins at the first dot after the last slash. `data-field`
 * holds the name of a field as it is or, after a slash, a JSON pointer (RFC 6901).
 * @param {string} name
 * @param {string | null} [field]
 * @returns {{ device: string, path: string[] }}
 */
export function parseName(name, field) {
  if (field?.startsWith("/")) {
    const parts = field.slice(1).split("/");
    const path = parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
    return { device: name, path };
  }
  if (field) return { device: name, path: [field] };
  const [, device, path] = /^((?:.*\/)?[^.]*)\.?(.*)$/s.exec(name) ?? [, name, ""];
  return { device: device ?? name, path: path ? path.split(".") : [] };
}

/**
 * @param {any} state
 * @param {readonly string[]} path
 * @returns {any} undefined without such a value.
 */
export function valueAt(state, path) {
  return path.reduce(
    (object, part) => (typeof object === "object" ? getOwn(object, part) : undefined),
    state,
  );
}

/**
 * @param {Element} element
 * @param {(sentence: string) => void} complain Receives what is wrong with the attributes.
 * @returns {Binding}
 */
export function readBinding(element, complain) {
  /** @param {string} name */
  const attribute = (name) => element.getAttribute(name) ?? undefined;
  const name = attribute("data-live") ?? "";
  const { device, path } = parseName(name.trim(), attribute("data-field"));
  const pictures = readPictures(element, complain);
  const to = attribute("data-to") ?? (pictures ? "" : "text");
  const isWhole = !path.length && (to !== "text" || pictures);
  if (isWhole) complain(`it names no field: write "${name || "device"}.field".`);
  return {
    element,
    device,
    path,
    pictures: isWhole ? undefined : pictures,
    targets: path.length ? parseTargets(element, to, complain) : [],
    format: parseFormat(attribute("data-format"), complain),
    fallback: attribute("data-fallback"),
  };
}

/**
 * @param {Element} element
 * @param {(sentence: string) => void} complain
 */
function readPictures(element, complain) {
  const pictures = element.getAttribute("data-pictures");
  if (pictures === null) return undefined;
  if (element.localName !== "img") complain("data-pictures is for <img> elements.");
  else if (!pictures.includes("{}")) complain('data-pictures needs a "{}" for the value.');
  else if (element.hasAttribute("srcset")) complain("data-pictures does not work with srcset.");
  else return pictures;
  return undefined;
}
