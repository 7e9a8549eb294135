// A word has one color, for every reader and at every load; two words of a lane never share one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { colorWords } from "../../src/statecast/web/static/word-color.js";

const WORDS = ["on", "off", "idle", "busy", "error", "ok", "charging", "home", "away", "ajar"];

/** @param {Map<string, object>} colors */
const texts = (colors) => [...colors].map(([word, color]) => `${word} ${JSON.stringify(color)}`);

test("a mood has the color of its sky, wherever it comes", () => {
  for (const mood of ["calm", "happy", "sleepy", "sad", "angry"]) {
    assert.deepEqual(colorWords([mood]).get(mood), { class: `mood ${mood}` });
  }
  assert.deepEqual(colorWords(["busy", "Happy"]).get("Happy"), { class: "mood happy" });
});

test("the order of arrival does not matter, nor what else was seen", () => {
  const all = colorWords(WORDS);
  assert.deepEqual(texts(colorWords([...WORDS].reverse())), texts(all));
  const alone = WORDS.map((word) => [word, colorWords([word]).get(word)]);
  const kept = alone.filter(
    ([word, color]) => JSON.stringify(all.get(word)) === JSON.stringify(color),
  );
  assert.ok(kept.length >= WORDS.length - 1, texts(all).join("\n"));
});

test("two words never share a color, as long as there are colors", () => {
  const many = Array.from({ length: 48 }, (_, place) => `word-${place}`);
  const colors = [...colorWords(many).values()].map((color) => JSON.stringify(color));
  assert.equal(new Set(colors).size, 48);
  assert.equal(colorWords([...many, "one more"]).size, 49);
});
