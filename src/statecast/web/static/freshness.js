// The line under a device's name: its mark, the word, and since when.
import { find, findOptional, setText } from "./dom.js";
import { setTime } from "./time-element.js";
import { formatAge, formatClock, formatDuration, isLate } from "./ages.js";

/** @import { Board, Device, Verdict } from "./board.js" */

/**
 * Show how fresh a device is; what may be old is drawn so.
 * @param {HTMLElement} root A card, a row or the article of a device.
 * @param {Device} device
 * @param {Board} board
 * @returns {Verdict["key"]}
 */
export function showFreshness(root, device, board) {
  const verdict = board.verdict(device);
  const line = find(".fresh", root);
  const mark = find("b", line);
  const intro = findOptional(".wide", line);
  root.classList.toggle("old", verdict.old);
  root.classList.toggle("gone", verdict.key === "gone");
  mark.dataset.mark = verdict.mark;
  setText(mark, verdict.word);
  if (intro) setText(intro, introduction(verdict.key, isLate(device.changed, device.arrived)));
  setTime(find("time", line), verdict.since, timeWords(verdict, board.now()));
  return verdict.key;
}

/**
 * @param {Verdict["key"]} key
 * @param {boolean} hasArrivedLater
 */
function introduction(key, hasArrivedLater) {
  if (key === "live") return hasArrivedLater ? "a late change of " : "changed ";
  return key === "silent" ? "for " : "";
}

/**
 * @param {Verdict} verdict
 * @param {number} now
 */
function timeWords({ key, since }, now) {
  if (key === "away" || key === "silent") return formatDuration(now - since);
  if (key === "lost" || key === "gone") return formatClock(since, now);
  return formatAge(since, now);
}
