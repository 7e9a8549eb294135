// What is said of commands. Rule: a fact is only what the device said; everything else is a wish
// that waits, or a doubt. No DOM; the server writes the same in web/command_words.py.
import { formatAge, formatClock, formatDuration } from "./ages.js";
import { cut } from "./words.js";

/** @import { KnownCommand } from "./command-log.js" */

/** Characters. */
const LONGEST_ARGUMENTS = 120;

/**
 * A sentence whose first words stand out.
 * @typedef {object} Line
 * @property {string} word
 * @property {string} rest
 * @property {boolean} [isRefusal]
 */

/**
 * @typedef {object} Sending
 * @property {number} since
 * @property {string} [trouble] Why it is sent again.
 */

/**
 * What the lines under the buttons are made of.
 * @typedef {object} Situation
 * @property {string} label The name of the device for people.
 * @property {number} now By the server's clock.
 * @property {KnownCommand[]} open Those without an end, the oldest first.
 * @property {KnownCommand} [newest] The one that came to its end last.
 * @property {number} [took] ms from a click on this page until this page learned of that end.
 * @property {Sending} [sending] The oldest click that the server has not answered.
 * @property {Line} [failure] Why a click became no command.
 * @property {number} [offlineAt] Offline: until when the page knew what is true.
 */

/**
 * "180 ms", "1.8 s", "14 min"; what is left of a unit is cut off.
 * @param {number} ms
 */
export function formatDelay(ms) {
  const length = Math.max(0, ms);
  if (length < 1000) return `${Math.trunc(length)} ms`;
  return length < 10_000
    ? `${(Math.trunc(length / 100) / 10).toFixed(1)} s`
    : formatDuration(length);
}

/**
 * The label of a command's button. Only a hug is felt; other commands have names of their own.
 * @param {string} name
 * @param {string} label
 */
export function buttonLabel(name, label) {
  return name === "hug" ? `Hug ${label}` : capitalize(name);
}

/**
 * Why a click became no command, as far as this page knows.
 * @param {string} sentence
 * @param {boolean} isRefused Whether the server said no; otherwise it did not take it in time.
 * @returns {Line}
 */
export function describeFailure(sentence, isRefused) {
  const word = isRefused ? "Not sent" : "Gave up sending";
  return { word, rest: `: ${sentence}`, isRefusal: true };
}

/**
 * What became of a command, as the history says it.
 * @param {KnownCommand} command
 * @param {number} now
 * @returns {Line}
 */
export function describeOutcome(command, now) {
  const { name, status, reason, created, expires, delivered, ended } = command;
  if (status === "waiting") return { word: "waiting", rest: "" };
  if (status === "delivered") return { word: "delivered", rest: ", no answer yet" };
  if (status === "done") {
    const word = name === "hug" ? "felt" : "done";
    return { word, rest: ` ${formatDelay((ended ?? now) - created)} later` };
  }
  if (status === "refused") return { word: "refused", rest: reason ? `: ${reason}` : "" };
  if (status === "expired") {
    return { word: "not delivered", rest: `, gave up after ${formatDelay(expires - created)}` };
  }
  const at = formatClock(delivered ?? created, now);
  return { word: `delivered ${at}`, rest: ", no answer: it may have happened" };
}

/**
 * With which arguments a command was given, and by whom.
 * @param {KnownCommand} command
 */
export function describeGiven({ arguments: given = {}, by }) {
  const text = Object.keys(given).length ? ` ${cut(JSON.stringify(given), LONGEST_ARGUMENTS)}` : "";
  return by ? `${text} by ${by}` : text;
}

/**
 * The two lines under the buttons: what waits, and what became of the last one. An older result
 * gives way to a command that waits; the history has it.
 * @param {Situation} situation
 * @returns {Line[]}
 */
export function describeCommands(situation) {
  const { open, newest, failure } = situation;
  const isNews = newest && (!open.length || (newest.ended ?? 0) >= open[0].created);
  const result = failure ?? (isNews ? describeResult(newest, situation) : undefined);
  const waiting = describeWaiting(situation);
  return [waiting, result].filter((line) => line !== undefined);
}

/**
 * @param {Situation} situation
 * @returns {Line | undefined}
 */
function describeWaiting({ label, now, open, sending, offlineAt }) {
  if (!open.length) return sending && describeSending(sending, now);
  const [first, ...others] = open;
  const age = others.length
    ? ` ${open.length} commands, the first for ${formatDuration(now - first.created)}`
    : describeAge(now - first.created);
  const isDelivered = open.every(({ status }) => status === "delivered");
  const subject = others.length ? "" : prefix(first);
  if (offlineAt !== undefined) {
    const rest = ` for ${label} at ${formatClock(offlineAt, now)}`;
    return begin(subject, "was waiting", rest);
  }
  return isDelivered
    ? begin(subject, "delivered", `, waiting for ${label}…${age}`)
    : begin(subject, "waiting", ` for ${label}…${age}`);
}

/**
 * The age of what just began would only flicker.
 * @param {number} ms
 */
function describeAge(ms) {
  return ms < 1000 ? "" : ` ${formatDuration(ms)}`;
}

/**
 * @param {Sending} sending
 * @param {number} now
 * @returns {Line}
 */
function describeSending({ since, trouble }, now) {
  const age = formatDuration(now - since);
  return { word: "Sending…", rest: trouble ? ` for ${age}. ${trouble}` : "" };
}

/**
 * @param {KnownCommand} command
 * @param {Situation} situation
 * @returns {Line}
 */
function describeResult(command, { label, now, took }) {
  const { status, by, ended } = command;
  const { word, rest } = describeOutcome(command, now);
  if (status === "refused") {
    return { ...begin(prefix(command), `${label} refused`, rest || "."), isRefusal: true };
  }
  if (status !== "done") return begin(prefix(command), word, rest);
  if (took !== undefined) {
    return begin(prefix(command), word, `, ${formatDelay(took)} after your click`);
  }
  const person = by ? `, by ${by}` : "";
  return begin(prefix(command), word, `, ${formatAge(ended ?? now, now)}${person}`);
}

/**
 * Which command a line is about; a hug needs no name.
 * @param {KnownCommand} command
 */
function prefix({ name }) {
  return name === "hug" ? "" : `${capitalize(name)}: `;
}

/**
 * @param {string} subject
 * @param {string} word
 * @param {string} rest
 * @returns {Line}
 */
function begin(subject, word, rest) {
  return { word: subject ? subject + word : capitalize(word), rest };
}

/** @param {string} text */
function capitalize(text) {
  const [first = "", ...others] = text;
  return first.toUpperCase() + others.join("");
}
