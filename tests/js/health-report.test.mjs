// The report of protocol 2: what changed, put into what there was.
import assert from "node:assert/strict";
import test from "node:test";
import { wholeReport } from "../../src/statecast/web/static/health-report.js";

const WHOLE = {
  now: "12:00:00",
  sources: {
    queue: { status: "connected", lag: 0.1, sentence: null },
    clock: { status: "standby" },
  },
  totals: { queue: { messages: 5 } },
  viewers: 3,
  problems: [],
};

const CASES = [
  ["nothing", {}, {}],
  ["the number of viewers", { viewers: 4 }, { viewers: 4 }],
  [
    "a member of a source, to null",
    { sources: { queue: { lag: null } } },
    { sources: { ...WHOLE.sources, queue: { status: "connected", lag: null, sentence: null } } },
  ],
  [
    "a source that is new, and one that is gone",
    { sources: { door: { status: "away" }, clock: null } },
    { sources: { queue: WHOLE.sources.queue, door: { status: "away" } } },
  ],
  ["the totals", { totals: { queue: { messages: 6 } } }, { totals: { queue: { messages: 6 } } }],
  ["the problems", { problems: [{ kind: "disk-full" }] }, { problems: [{ kind: "disk-full" }] }],
];

for (const [name, changed, differs] of CASES)
  test(`what changed is ${name}`, () => {
    const before = structuredClone(WHOLE);
    const report = wholeReport(before, { now: "12:00:01", changed });
    assert.deepEqual(report, { ...WHOLE, now: "12:00:01", ...differs });
    assert.deepEqual(before, WHOLE, "what was shown is not changed");
  });

test("a whole report replaces the one before", () => {
  assert.deepEqual(wholeReport(WHOLE, { now: "12:00:01", sources: {} }), {
    now: "12:00:01",
    sources: {},
  });
});

test("without the report before, what changed says nothing", () => {
  assert.equal(wholeReport(undefined, { now: "12:00:01", changed: {} }), undefined);
});
