// The picture of a device: a copy of a template, whose parts are bound to the state.
import { find, findAll, findOptional, setAttributes, setText } from "./dom.js";
import { displayName } from "./device-name.js";
import { watchImage } from "./gallery.js";
import { evaluateBinding, imageAddress } from "./picture-bindings.js";
import { choosePicture } from "./picture-rules.js";
import { rememberValue } from "./sparkline.js";
import { getOwn } from "./own.js";

/** @import { Device } from "./board.js" */
/** @import { Gallery } from "./gallery.js" */
/** @import { Scene } from "./picture-bindings.js" */
/** @import { Icon, Picture } from "./picture-rules.js" */

/** A part of a template, as `attribute=field:binding`; the attribute `text` is its text. */
const BINDING = /([^\s=]+)=(\S+)/g;

/**
 * Draw the picture of a device. Returns false while its template is still being fetched.
 * @param {HTMLElement} sky The element that holds the picture.
 * @param {Device} device
 * @param {Gallery} gallery
 */
export function showPicture(sky, device, gallery) {
  const state = device.state ?? {};
  const { picture, field, icon } = choosePicture(state, device.device);
  const template = findTemplate(picture, icon);
  if (!template) {
    gallery.load();
    return false;
  }
  const isNewImage =
    picture.name === "image" && imageOf(sky) !== imageAddress(getOwn(state, "image"));
  // An old image must not stand beside new text while the new one loads.
  if (isNewImage || sky.dataset.picture !== picture.name) {
    sky.replaceChildren(document.importNode(template.content, true));
    sky.dataset.picture = picture.name;
  }
  const line = findOptional("polyline", sky, SVGElement);
  const past = line && field ? rememberValue(line, getOwn(state, field)) : [];
  const scene = { state, field, icon, past };
  bindParts(template, sky, scene);
  if (isNewImage) watchImage(find("img", sky, HTMLImageElement));
  if (sky.role === "img") {
    setAttributes(sky, { "aria-label": describePicture(picture, device, scene) });
  }
  return true;
}

/** @param {HTMLElement} sky */
function imageOf(sky) {
  return sky.querySelector("img")?.getAttribute("src") ?? undefined;
}

/**
 * The template of a picture; undefined if the page does not have it, or not the icon in it.
 * @param {Picture} picture
 * @param {Icon} icon
 */
function findTemplate({ name }, icon) {
  const selector = `template[data-picture="${name}"]`;
  const template = findOptional(selector, document, HTMLTemplateElement);
  if (!template?.content.firstElementChild) return undefined;
  const drawing = icon.fields.length ? `${icon.name}-no` : icon.name;
  const isMissing = name === "icon" && !document.querySelector(`#sprite > #i-${drawing}`);
  return isMissing ? undefined : template;
}

/**
 * The parts of a picture and of its template correspond, one by one.
 * @param {HTMLTemplateElement} template
 * @param {HTMLElement} sky
 * @param {Scene} scene
 */
function bindParts(template, sky, scene) {
  const parts = findAll("*", sky);
  findAll("*", template.content).forEach((blank, place) => {
    const part = parts[place];
    for (const [, target, source] of (blank.dataset.set ?? "").matchAll(BINDING)) {
      const result = evaluateBinding(scene, source);
      if (target === "text") setText(part, result ?? "");
      else setAttributes(part, { [target]: result });
    }
    part.removeAttribute("data-set");
  });
}

/**
 * What a screen reader says: `Cloud pillow: hugged, battery 82 percent`.
 * @param {Picture} picture
 * @param {Device} device
 * @param {Scene} scene
 */
export function describePicture({ name, alt }, device, scene) {
  const title = `${name[0].toUpperCase()}${name.slice(1)} ${displayName(device)}`;
  const facts = alt.map((choices) => describeFirst(choices, scene)).filter(Boolean);
  return facts.length ? `${title}: ${facts.join(", ")}` : title;
}

/**
 * @param {string[]} choices
 * @param {Scene} scene
 */
function describeFirst(choices, scene) {
  for (const source of choices) {
    const result = evaluateBinding(scene, source);
    if (result !== undefined) return result || source.split(/\$?:/)[0];
  }
  return "";
}
