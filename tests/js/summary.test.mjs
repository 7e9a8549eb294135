// The widest trouble, which the status bar, the notice, the title and the voice tell alike.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Board } from "../../src/statecast/web/static/board.js";
import { summarize } from "../../src/statecast/web/static/summary.js";

const T = Date.UTC(2026, 0, 31, 14, 0, 0);

/** A board with two devices, a minute after both were heard. */
function made(silentAfter, status = "connected") {
  const board = new Board(() => T + 60_000);
  board.disconnectedSince = undefined;
  for (const device of ["a", "b"]) {
    board.addKnown({ device, changed: T, seen: T, silentAfter, source: "queue", state: {} });
  }
  const health = { status, since: new Date(T).toISOString() };
  board.applyHealth({ now: new Date(T + 60_000).toISOString(), sources: { queue: health } });
  return board;
}

const of = (board, failed = false) => summarize(board, [...board.devices.values()], failed);

test("all is well", () => {
  const summary = of(made(90));
  assert.deepEqual([summary.trouble, summary.counts, summary.total], ["live", { live: 2 }, 2]);
});

test("silent devices are counted", () => {
  const summary = of(made(30));
  assert.deepEqual([summary.trouble, summary.counts], ["late", { silent: 2 }]);
});

test("a queue that is away is wider than its silent devices", () => {
  const summary = of(made(30, "away"));
  assert.deepEqual([summary.trouble, summary.queue, summary.awayFor], ["away", "queue", 60_000]);
  assert.deepEqual(summary.counts, { away: 2 });
});

test("no connection, or a script that failed, is the widest", () => {
  const board = made(30, "away");
  assert.equal(of(board, true).trouble, "lost");
  board.disconnectedSince = T;
  const summary = of(board);
  assert.deepEqual([summary.trouble, summary.offlineFor], ["lost", 60_000]);
  assert.deepEqual(summary.counts, { lost: 2 });
});
