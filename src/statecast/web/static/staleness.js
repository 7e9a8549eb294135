// How a page of one's own shows that it is not live: `data-live-state` of <html>, and a style.

import { setAttribute } from "./binding-target.js";

/** The worst first: what the page says if one of its elements is so. */
const STATES = ["lost", "waiting", "away"];

// The rules are in a layer: each rule of the page itself is stronger.
const STYLE = `@layer statecast {
  :where([data-fresh="lost"], [data-fresh="away"], [data-fresh="silent"], [data-fresh="failed"]) {
    opacity: .5;
  }
  :where([data-fresh] [data-fresh]) {
    opacity: 1;
  }
  :where(:root)[data-live-state="lost"]::after,
  :where(:root)[data-live-state="away"]::after {
    content: var(--live-lost, "No connection. This page may be old.");
    position: fixed; inset: auto 0 0; z-index: 2147483647; padding: .5em 1em;
    background: #b4232c; color: #fff; font: 1rem/1.4 sans-serif; text-align: center;
  }
  :where(:root)[data-live-state="away"]::after {
    content: var(--live-away, "A queue cannot be read. This page may be old.");
  }
}`;

/** Add the style. A sheet that a script constructs needs no permission of a content policy. */
export function showStaleness() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}

/**
 * The state of a page whose elements have these values of `data-fresh`.
 * @param {readonly string[]} fresh
 */
export function pageState(fresh) {
  return STATES.find((state) => fresh.includes(state)) ?? "live";
}

/** @param {readonly string[]} fresh */
export function markPage(fresh) {
  const root = document.documentElement;
  if (fresh.length) setAttribute(root, "data-live-state", pageState(fresh));
  else root.removeAttribute("data-live-state");
}
