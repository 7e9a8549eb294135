// The states that a page was made with, from the element that `live_script()` writes.

/** @import { Board } from "./board.js" */
/** @import { StatesEvent } from "./board-types.js" */

/**
 * A `states` event with the clock of the server that made the page.
 * @typedef {StatesEvent & { now: number, epoch: string }} FirstStates
 */

/**
 * @param {Document} [page]
 * @returns {FirstStates | undefined}
 */
export function readFirstStates(page = document) {
  const text = page.querySelector("script[data-first-states]")?.textContent;
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    console.error("Statecast: the first states of this page are not JSON; they are left out.");
    return undefined;
  }
}

/**
 * Put them on a board. It resumes from their position only if they name every device that is
 * watched: the server would not list a device that has not changed since.
 * @param {Board} board
 * @param {FirstStates} first
 * @param {readonly string[]} watched
 */
export function useFirstStates(board, first, watched) {
  const { now, ...event } = first;
  // A page from a cache is old: the difference of the clocks comes with the first beat.
  board.clockSkew = now - board.clock();
  board.startFrom({ epoch: event.epoch, offset: event.offset, scope: event.scope });
  board.applyStates(event);
  const named = new Set(event.states.map(({ device }) => device));
  if (!watched.every((device) => named.has(device))) board.position = undefined;
}
