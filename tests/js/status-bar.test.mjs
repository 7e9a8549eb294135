// The words of the status bar: each comes from the same fact as its number.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Board } from "../../src/statecast/web/static/board.js";
import {
  describeAside,
  describeDevices,
  describeQueue,
} from "../../src/statecast/web/static/status-bar.js";
import { summarize } from "../../src/statecast/web/static/summary.js";

const T = Date.UTC(2026, 0, 31, 14, 0, 0);
const iso = (ms) => new Date(ms).toISOString();
const CONNECTED = { status: "connected", since: iso(T), lag: null, waiting: 0 };
const FULL = {
  kind: "disk-full",
  subject: "store",
  sentence: "The disk of the store is full; free some space.",
  severity: "wrong",
};
const AWAY = { kind: "source-away", subject: "source queue", sentence: "x", severity: "wrong" };
const CLOCK = { kind: "clock", subject: "device a", sentence: "y", severity: "notice" };

/** A board a minute after its devices were heard, and its summary. */
function made({ devices = {}, sources = { queue: CONNECTED }, known = 0, ...health } = {}) {
  const board = new Board(() => T + 60_000);
  board.disconnectedSince = undefined;
  for (const [device, facts] of Object.entries(devices)) {
    const heard = { changed: T, seen: T, silentAfter: 90, source: "queue", state: {} };
    board.addKnown({ device, ...heard, ...facts });
  }
  board.applyHealth({ now: iso(T + 60_000), sources, ...health });
  return [summarize(board, [...board.devices.values()], false, known), board];
}

for (const [given, mark, text] of [
  [{}, "unknown", "none yet"],
  [{ known: 3 }, "unknown", "3 known"],
  [{ known: 12345 }, "unknown", "12,345 known"],
  [{ devices: { a: {} } }, "live", "live"],
  [{ devices: { a: {}, b: {} } }, "live", "2 live"],
  [{ devices: { a: { state: null } }, known: 3 }, "gone", "removed"],
  [{ devices: { a: { silentAfter: 30 }, b: {} } }, "late", "1 of 2 silent"],
  [{ devices: { a: { silentAfter: undefined } } }, "unknown", "no deadline"],
]) {
  test(`devices: ${text}`, () => {
    assert.deepEqual(describeDevices(made(given)[0]), { mark, text });
  });
}

const one = { devices: { a: {} } };
for (const [given, mark, text] of [
  [{}, "live", "connected, empty"],
  [{ known: 3 }, "live", "up to date"],
  [one, "live", "up to date"],
  [{ ...one, sources: { queue: { ...CONNECTED, lag: 0 } } }, "live", "up to date"],
  [{ ...one, sources: { queue: { ...CONNECTED, lag: 0.049 } } }, "live", "up to date"],
  [{ ...one, sources: { queue: { ...CONNECTED, lag: 0.05 } } }, "live", "0.1 s behind"],
  [{ ...one, sources: { queue: { ...CONNECTED, lag: 128 } } }, "live", "2 min behind"],
  [{ ...one, sources: { queue: { ...CONNECTED, status: "away" } } }, "away", "away 60 s"],
  [
    { ...one, sources: { queue: { ...CONNECTED, status: "blocked" } } },
    "away",
    "waits for the store 60 s",
  ],
  [
    { ...one, sources: { queue: CONNECTED, b: { ...CONNECTED, status: "away" } } },
    "away",
    "“b” away 60 s",
  ],
]) {
  test(`queue: ${text} of ${JSON.stringify(given).slice(0, 60)}`, () => {
    assert.deepEqual(describeQueue(...made(given)), { mark, text });
  });
}

for (const [given, mark, text, trouble] of [
  [{}, undefined, undefined, "live"],
  [{ quarantined: 4 }, "late", "4 set aside", "live"],
  [{ problems: [FULL] }, "away", "disk full", "wrong"],
  [{ problems: [CLOCK] }, "late", "clock", "live"],
  [{ problems: [FULL, CLOCK], quarantined: 1 }, "away", "2 problems, 1 set aside", "wrong"],
  [{ problems: [AWAY] }, undefined, undefined, "live"], // the queue says so itself
]) {
  test(`aside: ${text} of ${JSON.stringify(given).slice(0, 60)}`, () => {
    const [summary, board] = made({ ...one, ...given });
    assert.deepEqual(describeAside(summary, board), mark && { mark, text });
    assert.equal(summary.trouble, trouble);
  });
}

test("a failing store is told before the queue that it holds up", () => {
  const sources = { queue: { ...CONNECTED, status: "blocked" } };
  assert.equal(made({ ...one, sources, problems: [FULL] })[0].trouble, "wrong");
  assert.equal(made({ ...one, sources })[0].trouble, "away");
});
