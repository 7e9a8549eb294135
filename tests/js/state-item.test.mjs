// Patches of the wire: RFC 7396, and the members that follow from others.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  applyPatch,
  deviceFromWire,
  mergeItem,
} from "../../src/statecast/web/static/state-item.js";

// The cases of RFC 7396, appendix A, whose patch is an object
for (const [target, patch, expected] of [
  [`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`],
  [`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`],
  [`{"a":"b"}`, `{"a":null}`, `{}`],
  [`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`],
  [`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`],
  [`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`],
  [`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`],
  [`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`],
  [`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`],
  [`["a","b"]`, `{"a":1}`, `{"a":1}`],
  [`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`],
  // what is not in it: values that are falsy, nulls in arrays, names that a prototype has
  [`{"a":1,"b":true,"c":"x"}`, `{"a":0,"b":false,"c":""}`, `{"a":0,"b":false,"c":""}`],
  [`{"a":1}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`],
  [`{"__proto__":{"x":1}}`, `{"__proto__":{"y":2}}`, `{"__proto__":{"x":1,"y":2}}`],
  [`{}`, `{"__proto__":{"y":2},"constructor":1}`, `{"__proto__":{"y":2},"constructor":1}`],
  [`{"constructor":1,"__proto__":2}`, `{"constructor":null,"__proto__":null}`, `{}`],
]) {
  test(`${patch} in ${target}`, () => {
    const before = JSON.parse(target);
    const merged = applyPatch(before, JSON.parse(patch));
    assert.equal(JSON.stringify(merged), expected);
    assert.equal(JSON.stringify(before), target, "what was before may still be drawn");
    assert.equal({}.y, undefined);
  });
}

const T = "2026-01-31T12:00:00.000Z";
const LATER = "2026-01-31T12:00:01.000Z";
const full = (more = {}) => ({
  ...{ device: "pillow", version: 3, offset: 7, state: { n: 1, mood: "calm" }, changed_at: T },
  ...{ arrived_at: LATER, seen_at: T, silent_after: 60, source: "queue", commands: ["hug"] },
  cause: { source: "queue", id: "1", by: "device", sender: "key k" },
  ...more,
});
const before = () => deviceFromWire(full());
const patch = (more = {}) => ({
  ...{ device: "pillow", from: 3, version: 5, offset: 9, patch: { n: 2 }, changed_at: LATER },
  cause: { id: "2" },
  ...more,
});

for (const [what, given, expected] of [
  ["nothing", {}, { sender: "key k" }],
  ["a late arrival", { delay: 8000 }, { sender: "key k" }],
  ["a device that was never seen", { seen_at: null }, { sender: "key k" }],
  ["a deadline and commands", { silent_after: 5, commands: [] }, { sender: "key k" }],
  ["another source", { source: null }, { sender: "key k" }],
  ["no sender", { cause: { id: "2", sender: null } }, {}],
]) {
  test(`a patch with ${what} is the same as the full entry`, () => {
    const item = patch(given);
    const said = {
      ...{
        arrived_at: given.delay ? "2026-01-31T12:00:09.000Z" : LATER,
        seen_at: LATER,
        silent_after: null,
        source: "queue",
      },
      ...given,
      state: { n: 2, mood: "calm" },
      cause: { source: "queue", id: "2", by: "device", ...expected },
    };
    const { from, patch: _, delay, ...rest } = { ...item, ...said };
    assert.deepEqual([from, delay], [3, given.delay]);
    assert.deepEqual(mergeItem(before(), item), deviceFromWire(rest));
  });
}

test("a patch of something else gives nothing", () => {
  assert.equal(mergeItem(undefined, patch()), undefined);
  assert.equal(mergeItem(before(), patch({ from: 2 })), undefined);
  assert.equal(mergeItem({ device: "pillow", version: 3, changed: 0 }, patch()), undefined);
});
