// The page script and the server answer alike: the table of cases is shared with
// tests/unit/test_shared_tables.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { timeOf } from "../../src/statecast/web/static/ages.js";
import { describeOutcome } from "../../src/statecast/web/static/command-words.js";
import { formatFigure, IN_GAUGE } from "../../src/statecast/web/static/figure.js";
import { flattenState, mainFields, orderFields } from "../../src/statecast/web/static/fields.js";
import { evaluateBinding } from "../../src/statecast/web/static/picture-bindings.js";
import { choosePicture } from "../../src/statecast/web/static/picture-rules.js";
import { hintOf, tellApart } from "../../src/statecast/web/static/whole-value.js";
import { formatBrief, formatValue } from "../../src/statecast/web/static/words.js";

const samples = new URL("./words_and_pictures.json", import.meta.url);
const { commands, values, times, brief, figures, apart, states, bindings } = JSON.parse(
  readFileSync(samples, "utf8"),
);

for (const { word, rest, ended, expires = 60_000, ...said } of commands) {
  test(`a command that is ${word}${rest} is told alike`, () => {
    const command = { id: "a", name: "hug", by: null, reason: null, change: 1, ...said };
    const times = { created: 0, expires, ended };
    assert.deepEqual(describeOutcome({ ...command, ...times }, 200_000_000), { word, rest });
  });
}

for (const { name, value, text } of values) {
  test(`${name} ${JSON.stringify(value).slice(0, 40)} is written alike`, () => {
    assert.equal(formatValue(name, value), text);
  });
}

for (const { text, ms } of times) {
  test(`${text} is recognised alike`, () => {
    assert.equal(timeOf(text) ?? null, ms);
    assert.equal(hintOf(text), ms === null ? undefined : text);
    if (ms !== null) assert.match(formatValue("x", text), /2026.*:02:11/);
  });
}

for (const [value, text] of brief) {
  test(`${value} is written alike in a list`, () => assert.equal(formatBrief("x", value), text));
}

for (const [value, large, inGauge] of figures) {
  test(`the figure ${value} is written alike`, () => {
    assert.equal(formatFigure(value), large);
    assert.equal(formatFigure(value, IN_GAUGE), inGauge);
  });
}

for (const { name, was, now, texts } of apart) {
  test(`${texts[0].slice(0, 30)} and ${texts[1].slice(0, 30)} are told apart alike`, () => {
    assert.deepEqual(tellApart(name, was, now), texts);
  });
}

for (const { state, device, ...expected } of states) {
  test(`${JSON.stringify(state)} of ${device ?? "any device"} is shown alike`, () => {
    const { picture, field, icon } = choosePicture(state, device);
    const scene = { state, field, icon, past: [] };
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
