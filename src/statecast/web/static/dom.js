// The few things that the pages do with elements: find them, and set their text and attributes.

const SVG = "http://www.w3.org/2000/svg";

/** The running timer of each class that an element has for a moment. */
const flashTimers = new WeakMap();

/**
 * The first element that matches, of the type that is asked for.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [parent]
 * @param {new () => T} [type]
 * @returns {T | undefined}
 */
export function findOptional(selector, parent = document, type) {
  const element = parent.querySelector(selector);
  const wanted = type ?? HTMLElement;
  return element instanceof wanted ? /** @type {T} */ (element) : undefined;
}

/**
 * Like `findOptional`, for what is always there: an error names what is missing.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [parent]
 * @param {new () => T} [type]
 * @returns {T}
 */
export function find(selector, parent = document, type) {
  const element = findOptional(selector, parent, type);
  if (!element) throw new Error(`The page has no ${selector}.`);
  return element;
}

/**
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} [parent]
 * @returns {T[]}
 */
export function findAll(selector, parent = document) {
  return [.../** @type {NodeListOf<T>} */ (parent.querySelectorAll(selector))];
}

/**
 * Equal text is left alone: setting it would end a selection in it.
 * @param {Node} node
 * @param {string | number} text
 */
export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = String(text);
}

/**
 * Set attributes; `undefined` removes one.
 * @param {Element} element
 * @param {Record<string, string | number | boolean | undefined>} attributes
 */
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value))
      element.setAttribute(name, String(value));
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function createElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {SVGElement}
 */
export function createSvgElement(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Give an element a class for a moment: movement means change, and ends by itself.
 * @param {Element} element
 * @param {string} name
 * @param {number} ms
 */
export function flashClass(element, name, ms) {
  const timers = flashTimers.get(element) ?? new Map();
  flashTimers.set(element, timers);
  clearTimeout(timers.get(name));
  element.classList.add(name);
  timers.set(
    name,
    setTimeout(() => element.classList.remove(name), ms),
  );
}

/**
 * Like `flashClass`, and an animation that is still running begins again. That costs a layout.
 * @param {Element} element
 * @param {string} name
 * @param {number} ms
 */
export function restartClass(element, name, ms) {
  element.classList.remove(name);
  element.getBoundingClientRect();
  flashClass(element, name, ms);
}

/**
 * React to the clicks on a button. The HTML has it disabled: what is clicked before the script
 * listens would be lost.
 * @param {HTMLElement} button
 * @param {() => void} listener
 */
export function enableButton(button, listener) {
  button.addEventListener("click", listener);
  button.removeAttribute("disabled");
}

/**
 * The first element of a `<template>`, copied.
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function cloneTemplate(selector) {
  const template = find(selector, document, HTMLTemplateElement);
  const element = template.content.firstElementChild;
  if (!element) throw new Error(`The template ${selector} is empty.`);
  return /** @type {HTMLElement} */ (document.importNode(element, true));
}
