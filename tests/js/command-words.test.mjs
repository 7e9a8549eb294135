// What the page alone says of commands: of clicks, of failures, and while it is offline. What the
// server says too is in the table of shared.test.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandLog } from "../../src/statecast/web/static/command-log.js";
import { describeCommands, describeFailure } from "../../src/statecast/web/static/command-words.js";
import { mergeByTime } from "../../src/statecast/web/static/history-rows.js";

const NOW = Date.parse("2026-01-31T14:02:20Z");
const CLOCK = new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" });
const AT = CLOCK.format(NOW - 9000);

/** A hug that was asked for 10 s ago. */
function command(changes = {}) {
  return {
    id: "a",
    name: "hug",
    arguments: {},
    by: null,
    status: "waiting",
    reason: null,
    change: 1,
    created: NOW - 10_000,
    expires: NOW + 50_000,
    ...changes,
  };
}

const delivered = { status: "delivered", delivered: NOW - 9000 };
const done = { status: "done", ended: NOW - 3000 };
const refused = { status: "refused", ended: NOW - 3000 };
const unanswered = { ...delivered, status: "unanswered", ended: NOW };
const expired = { status: "expired", expires: NOW + 50_000, ended: NOW };

const SITUATIONS = [
  [{}, []],
  [{ sending: { since: NOW } }, ["Sending…"]],
  [{ sending: { since: NOW - 5000, trouble: "No." } }, ["Sending… for 5 s. No."]],
  [{ open: [{}], offlineAt: NOW - 9000 }, [`Was waiting for pillow at ${AT}`]],
  [{ open: [{}], sending: { since: NOW } }, ["Waiting for pillow… 10 s"]],
  [{ newest: done, took: 180 }, ["Felt, 180 ms after your click"]],
  [{ newest: done, took: 1840 }, ["Felt, 1.8 s after your click"]],
  [{ newest: done, took: 75_000 }, ["Felt, 75 s after your click"]],
  [{ newest: { ...done, ended: NOW } }, ["Felt, just now"]],
  [{ newest: { ...done, name: "open" }, took: 5 }, ["Open: done, 5 ms after your click"]],
  [{ newest: { ...refused, reason: "Too tired." } }, ["Pillow refused: Too tired."], true],
  [{ newest: refused }, ["Pillow refused."], true],
  // a result from before gives way to what waits; one that came since stands below it
  [{ open: [{}], newest: { ...done, ended: NOW - 20_000 } }, ["Waiting for pillow… 10 s"]],
  [
    { open: [{}], newest: done, took: 9 },
    ["Waiting for pillow… 10 s", "Felt, 9 ms after your click"],
  ],
  [{ failure: describeFailure("No.", true) }, ["Not sent: No."], true],
  [{ failure: describeFailure("It is away.", false) }, ["Gave up sending: It is away."], true],
];

for (const [{ open = [], newest, ...rest }, wanted, isRefusal = false] of SITUATIONS) {
  test(`the page says ${wanted.join(" | ") || "nothing"}`, () => {
    const lines = describeCommands({
      label: "pillow",
      now: NOW,
      open: open.map(command),
      newest: newest && command(newest),
      ...rest,
    });
    assert.equal(lines.length, wanted.length);
    for (const [place, { word, rest: end }] of lines.entries()) {
      assert.equal(word + end, wanted[place]);
    }
    assert.equal(Boolean(lines.at(-1)?.isRefusal), isRefusal);
  });
}

test("of a command the newest that was said counts, in whatever order it comes", () => {
  const log = new CommandLog();
  assert.equal(log.add([command({ ...done, change: 3 })], 7).length, 1);
  assert.equal(log.add([command({ change: 1 }), command({ ...delivered, change: 2 })]).length, 0);
  assert.deepEqual([log.open, log.newestEnd?.status, log.newestEnd?.known], [[], "done", 7]);
  log.add([command({ id: "b", change: 5, ...unanswered })]);
  log.add([command({ id: "b", change: 9, ...done })]);
  assert.deepEqual([log.newestEnd?.id, log.newestEnd?.status], ["b", "done"]);
  log.clear();
  assert.equal(log.newestEnd, undefined);
});

test("commands at an end are forgotten, open ones are not", () => {
  const log = new CommandLog();
  for (let change = 1; change <= 500; change++) {
    log.add([
      command({ id: `open ${change}`, change }),
      command({ ...done, id: `${change}`, change }),
    ]);
  }
  assert.equal(log.open.length, 500);
  assert.equal(log.whole.length, 700);
});

test("the deadline of an open command passes", () => {
  const log = new CommandLog();
  log.add([command()]);
  assert.deepEqual(
    [NOW, NOW + 54_000, NOW + 56_000].map((now) => log.hasOverdue(now)),
    [false, false, true],
  );
});

const ORDERS = [
  ["v2 c1 v1", [20, 10], [15]],
  ["c1 v1", [10], [11]],
  ["v1 c1", [10], [10]],
  ["c2 c1", [], [5, 4]],
  // version 2 arrived late: it stays above version 1, and what was asked before that stays below
  ["v2 v1 c1", [5, 20], [15]],
];

for (const [wanted, times, asked] of ORDERS) {
  test(`the history is ${wanted}`, () => {
    const versions = times.map((at, place) => ({ at, is: `v${times.length - place}` }));
    const commands = asked.map((at, place) => ({ at, is: `c${asked.length - place}` }));
    assert.equal(
      mergeByTime(versions, commands)
        .map(({ is }) => is)
        .join(" "),
      wanted,
    );
  });
}
