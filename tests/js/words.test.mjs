// Words: the browser says in its languages what formatting.py says in English.
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

// The same table as in tests/unit/test_pages.py: name, value, on a card, on the device's page.
for (const [name, value, card, whole] of [
  ["battery", 82, "82\u00a0%", "82\u00a0%"],
  ["temperature_c", 21.4, "21.4\u00a0°C", "21.4\u00a0°C"],
  ["power_kw", 1.28, "1.28\u00a0kW", "1.28\u00a0kW"],
  ["hugs", 0, "0", "0"],
  ["x", 123456.789, "123,500", "123,456.789"],
  ["x", 1234567, "1.235M", "1,234,567"],
  ["x", 999999.6, "1,000,000", "999,999.6"],
  ["x", 2 ** 53 - 1, "9.007E15", "9,007,199,254,740,991"],
  ["x", -(2 ** 53 - 1), "-9.007E15", "-9,007,199,254,740,991"],
  ["x", 1e-9, "1E-9", "1E-9"],
  ["x", 0.1, "0.1", "0.1"],
  ["x", true, "yes", "yes"],
  ["x", "", "“”", "“”"],
  ["x", { a: 1 }, "{1 field}", "{1 field}"],
  ["x", [1, "b", true], "1, b, yes", "1, b, yes"],
  ["x", [], "[0 items]", "[0 items]"],
  ["x", Array(1204).fill(0), "[1,204 items]", "[1,204 items]"],
  ["temperature_c", "warm", "warm", "warm"],
  ["x", null, "", ""],
])
  test(`${name} ${JSON.stringify(value).slice(0, 40)}`, () => {
    assert.equal(formatValue(name, value), card);
    assert.equal(formatValue(name, value, true), whole);
  });

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
  assert.equal(formatAge(NOW - 61_000, NOW), "1m ago");
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
