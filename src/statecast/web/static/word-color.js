// The colors of words in a timeline: the same for every reader and at every load.

/** Moods have the color of their sky; see cloud.css. */
const MOODS = ["calm", "happy", "sleepy", "sad", "angry"];
const HUES = 24;
const SLOTS = 2 * HUES;
/** From a slot that is taken to the next one: far away in hue, and through all slots. */
const STEP = 7;

/** @typedef {{ class?: string, fill?: string }} Color The attributes of a band. */

/**
 * A color for each word of one lane. It follows from the word alone, unless two words of the lane
 * would share one: then the later one in the alphabet takes the next that is free.
 * @param {Iterable<string>} words
 * @returns {Map<string, Color>}
 */
export function colorWords(words) {
  /** @type {Map<string, Color>} */
  const colors = new Map();
  const taken = new Set();
  for (const word of [...words].sort()) {
    const mood = MOODS.find((one) => one === word.toLowerCase());
    let slot = hash(word) % SLOTS;
    for (let tries = 0; tries < SLOTS && taken.has(slot); tries++) slot = (slot + STEP) % SLOTS;
    if (!mood) taken.add(slot);
    colors.set(word, mood ? { class: `mood ${mood}` } : { fill: fillOf(slot) });
  }
  return colors;
}

/**
 * FNV-1a: small, and the same in every browser.
 * @param {string} word
 */
function hash(word) {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(word)) {
    value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  }
  return (value ^ (value >>> 16)) >>> 0;
}

/**
 * Dark on a light page and light on a dark one, so that the text in it can be read.
 * @param {number} slot
 */
function fillOf(slot) {
  const hue = (slot % HUES) * (360 / HUES);
  const [light, dark] = slot < HUES ? [0.53, 0.72] : [0.41, 0.86];
  return `light-dark(oklch(${light} 0.12 ${hue}), oklch(${dark} 0.1 ${hue}))`;
}
