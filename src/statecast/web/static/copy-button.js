// Buttons that copy the text of an element.
import { enableButton, find, findAll, setText } from "./dom.js";

const SHOWN_FOR = 3000;

export function enableCopying() {
  for (const button of findAll("[data-copy]")) {
    enableButton(button, () => copy(button));
  }
}

/**
 * Over plain HTTP there is no `navigator.clipboard`; and a selection shows what is copied.
 * @param {HTMLElement} button
 */
function copy(button) {
  getSelection()?.selectAllChildren(find(`#${button.dataset.copy}`));
  setText(button, document.execCommand("copy") ? "Copied" : "Selected");
  setTimeout(() => setText(button, "Copy"), SHOWN_FOR);
}
