// The place of a device in the list: by name, and in a list of rows in the group of its prefix.
import { cloneTemplate, find, setText } from "./dom.js";
import { groupOf } from "./list.js";

/**
 * Make the element of a device that is not in the list yet.
 * @param {string} name
 * @param {HTMLElement} list
 * @param {boolean} isCards
 * @param {string} frontPage
 */
export function place(name, list, isCards, frontPage) {
  const element = cloneTemplate(isCards ? "template#card" : "template#row");
  element.dataset.device = name;
  find("a", element, HTMLAnchorElement).href = `${frontPage}devices/${name}`;
  const parent = isCards ? list : rowsOf(groupOf(name), list);
  parent.insertBefore(element, firstAfter(parent, "device", name));
  return element;
}

/**
 * By group, and in it by name.
 * @param {{ name: string }} one
 * @param {{ name: string }} other
 */
export function compareItems({ name: one }, { name: other }) {
  const [first, second] = [groupOf(one), groupOf(other)];
  if (first !== second) return first < second ? -1 : 1;
  return one < other ? -1 : 1;
}

/**
 * The rows of a group, which is made if it is the first of its name.
 * @param {string} name
 * @param {HTMLElement} list
 */
function rowsOf(name, list) {
  const next = firstAfter(list, "group", name);
  const last = /** @type {HTMLElement | null} */ (
    next ? next.previousElementSibling : list.lastElementChild
  );
  if (last && last.dataset.group === name) return find("ul", last);
  const group = cloneTemplate("template#group");
  group.dataset.group = name;
  setText(find("span", group), name || "others");
  list.insertBefore(group, next);
  return find("ul", group);
}

/**
 * The first child whose name comes after another. New names often come in their order, so the end
 * is looked at first; before it the place is found by halving.
 * @param {HTMLElement} list
 * @param {"device" | "group"} kind
 * @param {string} name
 */
function firstAfter(list, kind, name) {
  const { children } = list;
  const nameAt = (/** @type {number} */ at) =>
    /** @type {HTMLElement} */ (children[at]).dataset[kind] ?? "";
  let low = 0;
  let high = children.length;
  if (!high || nameAt(high - 1) <= name) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (nameAt(middle) > name) high = middle;
    else low = middle + 1;
  }
  return children[low] ?? null;
}
