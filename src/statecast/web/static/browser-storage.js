// What a browser remembers of the page. Some browsers are set to remember nothing.

const KEY = "statecast";

/** @typedef {"localStorage" | "sessionStorage"} Kind */

/**
 * @param {Kind} kind
 * @param {string} text
 */
export function remember(kind, text) {
  try {
    globalThis[kind].setItem(KEY, text);
  } catch {
    // It is a convenience only.
  }
}

/** @param {Kind} kind */
export function recall(kind) {
  try {
    return globalThis[kind].getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
