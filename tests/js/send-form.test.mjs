// What a person types into the form that sends a change.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFields, shellWords } from "../../src/statecast/web/static/send-form.js";

test("values are JSON where they can be, and text otherwise", () => {
  const fields = parseFields('on=true level=4.5 note="two words" mood=happy gone=null empty=');
  assert.deepEqual(
    { ...fields },
    { on: true, level: 4.5, note: "two words", mood: "happy", gone: null, empty: "" },
  );
});

test("names are data, and what is no field is left out", () => {
  assert.deepEqual(Object.keys(parseFields("__proto__=1 = words")), ["__proto__"]);
});

test("the command has the fields as words for a shell", () => {
  const cases = [
    ["on=true level=4.5", "on=true level=4.5"],
    ['note="two words" x=1', `'note="two words"' x=1`],
    ["a=$HOME b=`id` c=it's", `'a=$HOME' 'b=\`id\`' 'c=it'"'"'s'`],
    ["empty= no field", "empty="],
    ["", ""],
  ];
  for (const [line, words] of cases) assert.equal(shellWords(line), words);
});
