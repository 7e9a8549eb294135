// The page script and the server answer alike: the table of cases is shared with
// tests/unit/test_shared_tables.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  formatAge,
  formatClock,
  formatDuration,
  timeOf,
} from "../../src/statecast/web/static/ages.js";
import { CommandLog } from "../../src/statecast/web/static/command-log.js";
import {
  buttonLabel,
  describeCommands,
  describeGiven,
  describeOutcome,
  formatDelay,
} from "../../src/statecast/web/static/command-words.js";
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

const NOW = Date.parse("2026-01-31T14:02:20Z");
const TIMES = ["created", "expires", "delivered", "ended"];

/** A command; its times in the table are relative to now. By itself a hug of 10 s ago. */
function command(said, place = 0) {
  const usual = { id: `${place}`, name: "hug", by: null, status: "waiting", reason: null };
  const one = { ...usual, change: place + 1, created: -10_000, expires: 50_000, ...said };
  const times = TIMES.filter((name) => name in one).map((name) => [name, NOW + one[name]]);
  return { ...one, ...Object.fromEntries(times) };
}

/** The text of the table, with the times of this browser. */
function withTimes(text) {
  return text
    .replace(/\{clock (-\d+)\}/g, (_, ms) => formatClock(NOW + Number(ms), NOW))
    .replace(/\{ago (-\d+)\}/g, (_, ms) => formatAge(NOW + Number(ms), NOW));
}

for (const [ms, text] of commands.durations) {
  test(`a duration of ${ms} ms changes its unit alike`, () => {
    assert.equal(formatDuration(ms), text);
    assert.equal(formatDuration(ms + 0.9), text);
  });
}

for (const [ms, text] of commands.delays) {
  test(`a delay of ${ms} ms changes its unit alike`, () => {
    assert.equal(formatDelay(ms), text);
    assert.equal(formatDelay(ms + 0.9), text);
  });
}

for (const [name, device, text] of commands.labels) {
  test(`the button of ${name} is labelled alike`, () => {
    assert.equal(buttonLabel(name, device), text);
  });
}

for (const [given, by, text] of commands.given) {
  test(`what was given with${text.slice(0, 30)} is told alike`, () => {
    assert.equal(describeGiven(command({ arguments: given, by })), text);
  });
}

for (const [said, text] of commands.outcomes) {
  test(`a command that is ${text} is told alike`, () => {
    const { word, rest } = describeOutcome(command(said), NOW);
    assert.equal(word + rest, withTimes(text));
  });
}

for (const { commands: given, html, page } of commands.lines) {
  test(`the page says ${page.join(" | ") || "nothing"} where the HTML says as much`, () => {
    const log = new CommandLog();
    log.add(given.map(command));
    const lines = describeCommands({
      label: "pillow",
      now: NOW,
      open: log.open,
      newest: log.newestEnd,
    });
    assert.deepEqual(
      lines.map(({ word, rest }) => word + rest),
      page.map(withTimes),
    );
    assert.equal(html.length, page.length);
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
