// What a person types into the form that sends a change.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFields } from "../../src/statecast/web/static/send-form.js";

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
