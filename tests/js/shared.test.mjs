// The page script and the server answer alike: the table of cases is shared with
// tests/unit/test_shared_tables.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { flattenState, mainFields, orderFields } from "../../src/statecast/web/static/fields.js";
import { evaluateBinding } from "../../src/statecast/web/static/picture-bindings.js";
import { choosePicture } from "../../src/statecast/web/static/picture-rules.js";
import { formatValue } from "../../src/statecast/web/static/words.js";

const samples = new URL("./words_and_pictures.json", import.meta.url);
const { values, states, bindings } = JSON.parse(readFileSync(samples, "utf8"));

for (const { name, value, card, exact } of values) {
  test(`${name} ${JSON.stringify(value).slice(0, 40)} is written alike`, () => {
    assert.equal(formatValue(name, value), card);
    assert.equal(formatValue(name, value, true), exact);
  });
}

for (const { state, ...expected } of states) {
  test(`${JSON.stringify(state)} is shown alike`, () => {
    const { picture, field } = choosePicture(state);
    const scene = { state, field, past: [] };
    const results = Object.entries(bindings).map(([name, source]) => [
      name,
      evaluateBinding(scene, source),
    ]);
    const given = results.filter(([, result]) => result !== undefined);
    assert.deepEqual(
      {
        picture: picture.name,
        field: field ?? null,
        order: orderFields(state),
        main: mainFields(state, []),
        rows: [...flattenState(state).keys()],
        bindings: Object.fromEntries(given),
      },
      expected,
    );
  });
}
