// Words: units, ages and names. How values are written is tested in shared.test.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatAge,
  formatClock,
  formatDuration,
  formatNumber,
  formatValue,
  getOwn,
  splitUnit,
} from "../../src/statecast/web/static/statecast.js";

const NOW = Date.UTC(2026, 0, 31, 14, 2, 11);

test("the unit leaves the name", () => {
  assert.deepEqual(splitUnit("temperature_c", 21.4), ["temperature", "°C"]);
  assert.deepEqual(splitUnit("_c", 1), ["_c", ""]);
  assert.deepEqual(splitUnit("temperature_c", "n/a"), ["temperature_c", ""]);
  assert.deepEqual(splitUnit("constructor", 1), ["constructor", ""]);
  assert.equal(formatNumber(1.7e308), "1.7E308");
});

test("ages are never negative and say their unit", () => {
  assert.equal(formatAge(NOW + 5000, NOW), "just now");
  assert.equal(formatAge(NOW - 1999, NOW), "just now");
  assert.equal(formatAge(NOW - 3000, NOW), "3s ago");
  assert.equal(formatAge(NOW - 119_000, NOW), "119s ago");
  assert.equal(formatAge(NOW - 120_000, NOW), "2m ago");
  assert.equal(formatAge(NOW - 7_300_000, NOW), "2h ago");
  assert.equal(formatAge(NOW - 3 * 86_400_000, NOW), "3d ago");
  assert.match(formatAge(NOW - 40 * 86_400_000, NOW), /Dec/);
  assert.deepEqual([48_000, 14 * 60_000, 7_200_000, 172_800_000, -5].map(formatDuration), [
    "48 s",
    "14 min",
    "2 h",
    "2 d",
    "0 s",
  ]);
  assert.match(formatClock(NOW, NOW), /^\d\d:\d\d:\d\d$/);
});

test("fields are data: no name reaches a prototype", () => {
  const state = JSON.parse('{"__proto__": {"mood": "evil"}, "toString": 1}');
  assert.equal(getOwn(state, "mood"), undefined);
  assert.equal(getOwn(state, "valueOf"), undefined);
  assert.equal(getOwn(state, "toString"), 1);
  assert.equal(getOwn(null, "x"), undefined);
  assert.equal({}.mood, undefined);
});
