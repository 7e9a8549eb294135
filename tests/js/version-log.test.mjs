// The past of a device: what each version changed, and what a field was before.
import assert from "node:assert/strict";
import { test } from "node:test";
import { valueBefore } from "../../src/statecast/web/static/history.js";
import {
  addedFields,
  mergePatch,
  readEmbeddedVersions,
  VersionLog,
} from "../../src/statecast/web/static/version-log.js";

/** The newest first, as the HTML and the server have them. */
const rows = () => [
  [3000, 4, { mood: "sad" }],
  [2000, 3, { hugged: true, mood: null }],
];

test("a patch names what changed and what was removed", () => {
  assert.deepEqual(mergePatch({ a: 1, b: { c: 1 }, d: 1 }, { a: 2, b: { c: 1 }, e: 3 }), {
    a: 2,
    d: null,
    e: 3,
  });
  assert.deepEqual(mergePatch(undefined, { a: 1 }), { a: 1 });
  assert.equal(mergePatch({ a: 1 }, null), null);
});

test("a version that arrived late is marked, and is drawn where it happened", () => {
  const log = new VersionLog([]);
  const add = (version, changed, arrived) =>
    log.add({ device: "a", changed, arrived, version, state: { n: version } }, {});
  add(1, 1_000_000, 1_000_050);
  add(2, 2_000_000, 2_000_050);
  add(3, 1_500_000, 2_100_000);
  assert.deepEqual(
    log.versions.map(({ isLate }) => isLate),
    [false, false, true],
  );
  assert.deepEqual(
    log.byTime.map(({ version }) => version),
    [1, 3, 2],
  );
});

test("a field is added once, however many versions lie between two states", () => {
  // Given a state that is drawn, a version that brings a field, and one that changes another
  const drawn = { mood: "calm", noted: null };
  const log = new VersionLog([]);
  const middle = { mood: "calm", noted: null, weather: "rain" };
  const newest = { mood: "happy", noted: null, weather: "rain" };
  log.add({ device: "a", changed: 1, version: 2, state: middle }, drawn);
  log.add({ device: "a", changed: 2, version: 3, state: newest }, middle);

  // Then the field is not in the newest patch, and is added all the same
  assert.deepEqual(log.versions.at(-1).change, { mood: "happy" });
  assert.deepEqual(addedFields(drawn, newest), ["weather"]);

  // And what was there before, or was removed, is not added
  assert.deepEqual(addedFields({ noted: null }, { noted: "now" }), ["noted"]);
  assert.deepEqual(addedFields(drawn, { mood: "sad" }), []);
  assert.deepEqual(addedFields(drawn, null), []);
});

test("updates come to the end, older versions to the begin, and none twice", () => {
  // Given a log that the HTML began
  const log = new VersionLog(readEmbeddedVersions(rows()));

  // When an update and a page of the history come, the latter with versions that are known
  log.add({ device: "a", changed: 4000, version: 5, state: { mood: "calm" } }, { mood: "sad" });
  log.prepend([
    { at: 2000, version: 3, change: {} },
    { at: 1000, version: 2, change: { mood: "happy" } },
    { at: 500, version: 1, change: { hugged: false } },
  ]);

  // Then every version is there once
  assert.deepEqual(
    log.versions.map(({ version }) => version),
    [1, 2, 3, 4, 5],
  );
  assert.equal(log.isWhole, true);
  assert.equal(log.valueAt("mood", 1), "happy");
  assert.equal(log.valueAt("mood", 2), null);
  assert.equal(log.valueAt("hugged", 4), true);
  assert.deepEqual([log.indexAt(499), log.indexAt(500), log.indexAt(9999)], [-1, 0, 4]);
  assert.equal(log.after(3).length, 2);
  assert.equal(valueBefore(log.before(log.versions[4]), "mood"), "sad");
  assert.equal(valueBefore(log.before(log.versions[0]), "mood"), undefined);
});

test("versions that did not come are named and put in their places", () => {
  const log = new VersionLog([]);
  const add = (version) =>
    log.add({ device: "a", changed: version, version, state: { n: version } }, { n: 0 });
  add(4);
  add(5);
  assert.equal(log.gap, undefined);

  // Given several versions of which only the last one came, twice
  add(8);
  add(11);
  assert.deepEqual(log.gap, { from: 6, to: 11 });

  // When they come, then each is in its place, as the server has it
  const row = (version) => ({ at: version, version, change: { m: version }, cause: { by: "x" } });
  log.fill([11, 10, 9, 8, 7, 6].map(row));
  assert.deepEqual(
    log.versions.map(({ version }) => version),
    [4, 5, 6, 7, 8, 9, 10, 11],
  );
  assert.deepEqual(log.find(8).change, { m: 8 });
  assert.equal(log.gap, undefined);
});

test("an answer that is older than the newest gap leaves it open", () => {
  const log = new VersionLog([]);
  for (const version of [1, 3, 5]) {
    log.add({ device: "a", changed: version, version, state: {} }, {});
  }
  log.fill([{ at: 3, version: 3, change: {} }]);
  assert.deepEqual(log.gap, { from: 2, to: 5 });
});
