// Where an element may show a value: `data-to`. Values come from devices and may be hostile, so
// each target takes only what cannot run code, load something foreign or restyle the page.
import { nearestName } from "./nearest-name.js";
import tables from "./tables.js";

/**
 * Writes a value to an element. `value` is undefined without one; `text` is as people read it, and
 * `plain` as programs do. Returns a sentence if the value is refused.
 * @typedef {(element: any, shown: Shown) => string | void} Target
 */
/**
 * @typedef {object} Shown
 * @property {any} value
 * @property {string} text
 * @property {string} plain
 * @property {string} field The name of the field.
 */

const BOOLEANS = [
  ...["hidden", "disabled", "checked", "open", "selected", "readonly", "required", "inert"],
];
/** Attributes that hold a text for people. */
const TEXTS = ["title", "alt", "placeholder", "aria-label", "aria-description", "aria-valuetext"];
/** What an attribute decides that this script reads itself. */
const OUR_OWN = /^data-(?:live|field|to|format|pictures|fallback|fresh|first-states)(?:-|$)/;
/** Elements whose text is code, or is not shown. */
const NO_TEXT = ["script", "style", "template", "iframe", "noscript", "object", "embed"];
const MEDIA = ["img", "audio", "video", "source", "track"];
const LINKS = ["a", "area"];
const LINK_SCHEMES = ["http:", "https:", "mailto:", "tel:"];
const IMAGE_DATA = /^data:image\/(?:png|jpeg|gif|webp|avif|svg\+xml)[;,]/i;
// A colour, a number, or a word: no function that loads something, no end of the declaration.
const CSS_COLOR = /^(?:#[\da-f]{3,8}|(?:rgb|hsl)a?\([\d.,%/ +-]{1,60}\))$/i;
const CSS_NUMBER = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?%?$/i;
const CSS_WORD = /^-?[a-z_][\w-]{0,60}$/i;
const CSS_VALUES = [CSS_COLOR, CSS_NUMBER, CSS_WORD];
const LONGEST_CLASS = 64;

/**
 * The value as programs read it: 1234.5, true, happy.
 * @param {any} value
 */
export function plainText(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Whether a value counts as yes for `hidden`, `checked` and the like.
 * @param {any} value
 */
export function isOn(value) {
  if (typeof value === "number") return value !== 0;
  return tables.yes_values.includes(typeof value === "string" ? value.toLowerCase() : value);
}

/**
 * One class, `mood-happy`. It begins with the field, so that no value can name another class.
 * @param {string} field
 * @param {string} plain
 */
export function className(field, plain) {
  return `${field}-${plain}`.replace(/[^\p{L}\p{N}_-]/gu, "-").slice(0, LONGEST_CLASS);
}

/**
 * Why an address is not set; undefined if it may be.
 * @param {"href" | "src"} attribute
 * @param {string} address
 * @param {string} base The address of the page.
 */
export function refuseAddress(attribute, address, base) {
  let url;
  try {
    url = new URL(address, base);
  } catch {
    return "it is no address";
  }
  if (attribute === "href") {
    return LINK_SCHEMES.includes(url.protocol) ? undefined : "links of its kind run code";
  }
  if (IMAGE_DATA.test(address) || url.origin === new URL(base).origin) return undefined;
  return "it is not of this site";
}

/**
 * @param {any} value
 * @param {string} plain
 * @returns {string | undefined} undefined if the value is refused.
 */
export function cssValue(value, plain) {
  if (typeof value === "boolean") return value ? "1" : "0";
  return CSS_VALUES.some((pattern) => pattern.test(plain)) ? plain : undefined;
}

/** Setting what is there already would end a selection. @type {Target} */
function writeText(element, { text }) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {any} element */
function isEdited(element) {
  return element.ownerDocument.activeElement === element;
}

/** What a person edits is left alone until they leave it. @type {Target} */
function writeValue(element, { plain }) {
  const hasProperty = ["input", "select", "textarea"].includes(element.localName);
  if (!hasProperty) setAttribute(element, "value", plain);
  else if (!isEdited(element) && element.value !== plain) element.value = plain;
}

/** The class that this script gave an element. @type {WeakMap<Element, Map<string, string>>} */
const given = new WeakMap();

/** @type {Target} */
function writeClass(element, { value, plain, field }) {
  const classes = given.get(element) ?? new Map();
  const next = value === undefined ? undefined : className(field, plain);
  const before = classes.get(field);
  if (before === next) return;
  if (before) element.classList.remove(before);
  if (next) element.classList.add(next);
  given.set(element, classes.set(field, next));
}

/**
 * Equal text is left alone: setting it would make the browser work.
 * @param {any} element
 * @param {string} name
 * @param {string} text
 */
export function setAttribute(element, name, text) {
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** @param {string} name @returns {Target} */
function textTarget(name) {
  return (element, { text }) => setAttribute(element, name, text);
}

/** @param {string} name @returns {Target} */
function plainTarget(name) {
  return (element, { plain }) => setAttribute(element, name, plain);
}

/** @param {string} name @param {boolean} isInverted @returns {Target} */
function booleanTarget(name, isInverted) {
  return (element, { value }) => {
    const on = isOn(value) !== isInverted;
    // After a click the attribute decides nothing any more.
    if (name === "checked" || name === "selected") {
      if (!isEdited(element) && element[name] !== on) element[name] = on;
    } else if (element.hasAttribute(name) !== on) element.toggleAttribute(name, on);
  };
}

/** @param {"href" | "src"} name @returns {Target} */
function addressTarget(name) {
  return (element, { plain }) => {
    const refused = plain && refuseAddress(name, plain, element.baseURI);
    if (!plain || refused) element.removeAttribute(name);
    else setAttribute(element, name, plain);
    return refused || undefined;
  };
}

/** @param {string} name @returns {Target} */
function cssTarget(name) {
  return (element, { value, plain }) => {
    const text = value === undefined ? undefined : cssValue(value, plain);
    if (text === undefined) element.style.removeProperty(name);
    else if (element.style.getPropertyValue(name) !== text) element.style.setProperty(name, text);
    return value !== undefined && text === undefined
      ? "it is no number, word or colour"
      : undefined;
  };
}

/**
 * The target of a name in `data-to`, or a sentence that says why there is none.
 * @param {string} localName Of the element.
 * @param {string} name
 * @returns {Target | string}
 */
export function targetOf(localName, name) {
  const whole = name.startsWith("!") ? name.slice(1) : name;
  if (BOOLEANS.includes(whole)) return booleanTarget(whole, whole !== name);
  if (name === "text") {
    return NO_TEXT.includes(localName) ? `the text of <${localName}> is not set` : writeText;
  }
  if (name === "value") return writeValue;
  if (name === "class") return writeClass;
  if (name === "href" || name === "src") {
    const elements = name === "href" ? LINKS : MEDIA;
    if (elements.includes(localName)) return addressTarget(name);
    return `${name} is set on ${elements.map((one) => `<${one}>`).join(", ")} only`;
  }
  if (/^--[\w-]+$/.test(name)) return cssTarget(name);
  if (TEXTS.includes(name)) return textTarget(name);
  if (/^aria-[a-z]+$/.test(name)) return plainTarget(name);
  if (/^data-[\w-]+$/.test(name) && !OUR_OWN.test(name)) return textTarget(name);
  return refusal(name);
}

/** @param {string} name */
function refusal(name) {
  if (/^on/i.test(name)) return "event handlers run code and are never set";
  if (name === "style") return "set a custom property like --level instead";
  if (name === "srcdoc") return "it is a whole page and is never set";
  const near = nearestName(name, TARGET_NAMES);
  return near ? `it is unknown; did you mean “${near}”?` : "it is unknown";
}

/**
 * @param {Element} element
 * @param {string} to
 * @param {(sentence: string) => void} complain
 */
export function parseTargets(element, to, complain) {
  /** @type {Target[]} */
  const targets = [];
  for (const name of to.split(/\s+/).filter(Boolean)) {
    const target = targetOf(element.localName, name);
    if (typeof target === "string") complain(`data-to="${name}" is not set: ${target}.`);
    else targets.push(target);
  }
  return targets;
}

/** The targets by name, for the documents' test. */
export const TARGET_NAMES = ["text", "value", "class", "href", "src", ...BOOLEANS, ...TEXTS];
