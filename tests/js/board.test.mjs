// The board: places, resets, removals, and the three facts about freshness.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Board } from "../../src/statecast/web/static/statecast.js";

const T = Date.UTC(2026, 0, 31, 14, 0, 0);
const iso = (ms) => new Date(ms).toISOString();

/** A board whose clock is `at.ms`; the server's is the same. */
function made() {
  const at = { ms: T };
  return { at, board: new Board(() => at.ms) };
}

const item = (device, offset, state = { mood: "happy" }, more = {}) => ({
  device,
  offset,
  state,
  version: offset,
  changed_at: iso(T),
  seen_at: iso(T),
  silent_after: 30,
  source: "queue",
  cause: { source: "queue", id: `${offset}`, by: "device" },
  ...more,
});
const event = (states, more = {}) => ({
  epoch: "e",
  offset: states.at(-1)?.offset ?? 0,
  scope: "s",
  states,
  ...more,
});

test("states are taken, with what was before, and the place goes on", () => {
  const { board } = made();
  board.applyStates(event([item("a", 1)], { complete: true }));
  const [[now, before]] = board.applyStates(event([item("a", 7, { mood: "sad" })]));
  assert.equal(now.state.mood, "sad");
  assert.equal(before.state.mood, "happy");
  assert.deepEqual(board.position, { epoch: "e", offset: 7, scope: "s" });
  assert.equal(board.devices.get("a").changed, T);
});

test("late items change nothing, and the position never goes back", () => {
  // Given a board at offset 7, from which one device was removed at 6
  const { board } = made();
  board.applyStates(
    event([item("a", 5, { mood: "calm" }), item("b", 6, null), item("c", 7)], { complete: true }),
  );

  // When older items come late, one of them of the removed device
  const late = board.applyStates(event([item("a", 4, { mood: "sad" }), item("b", 3)]));

  // Then nothing changes
  assert.deepEqual(late, []);
  assert.equal(board.devices.get("a").state.mood, "calm");
  assert.equal(board.devices.has("b"), false);
  assert.deepEqual(board.position, { epoch: "e", offset: 7, scope: "s" });
});

test("the same version again brings only a newer sign of life", () => {
  const { board } = made();
  board.applyStates(event([item("a", 5)]));
  const again = board.applyStates(
    event([item("a", 5, { mood: "happy" }, { seen_at: iso(T + 9000) })]),
  );
  assert.deepEqual(again, []);
  assert.equal(board.devices.get("a").seen, T + 9000);
});

test("what the HTML shows is held like what was received", () => {
  const { board } = made();
  board.startFrom({ epoch: "e", offset: 5 });
  board.addKnown({ device: "a", offset: 5, changed: T, state: { mood: "calm" } });
  assert.deepEqual(board.applyStates(event([item("a", 5, { mood: "sad" })])), []);
  assert.equal(board.applyStates(event([item("a", 6, { mood: "sad" })])).length, 1);
});

test("in another epoch, or after a reset, offsets begin again", () => {
  const { board } = made();
  board.applyStates(event([item("a", 50)], { complete: true }));
  board.applyStates(event([item("a", 2, { mood: "sad" })], { reset: true, complete: true }));
  assert.deepEqual([board.devices.get("a").state.mood, board.position.offset], ["sad", 2]);
  board.applyStates(event([item("a", 1, { mood: "calm" })], { epoch: "f" }));
  assert.deepEqual(board.position, { epoch: "f", offset: 1, scope: "s" });
  assert.equal(board.devices.get("a").state.mood, "calm");
});

test("what may no longer be read is forgotten, and comes back like a new device", () => {
  // Given two devices, of which one may be read no longer
  const { board } = made();
  board.applyStates(event([item("a", 5), item("b", 6)], { complete: true }));
  const gone = { device: "b", state: null, gone: "forbidden" };
  const changed = board.applyStates(event([gone], { offset: 6, scope: "smaller" }));

  // Then the page learns why, the position holds for the rest, and a repetition says nothing
  assert.deepEqual(
    changed.map(([now, before]) => [now.device, now.state, now.gone, before.offset]),
    [["b", null, "forbidden", 6]],
  );
  assert.deepEqual([...board.devices.keys()], ["a"]);
  assert.deepEqual(board.position, { epoch: "e", offset: 6, scope: "smaller" });
  assert.deepEqual(board.applyStates(event([gone], { offset: 6, scope: "smaller" })), []);

  // When it may be read again, then its state of long ago is shown
  board.applyStates(event([item("b", 6)], { offset: 6, scope: "larger" }));
  assert.deepEqual([...board.devices.keys()], ["a", "b"]);
  assert.deepEqual(board.position, { epoch: "e", offset: 6, scope: "larger" });
});

test("a device that left the watch list and comes back is shown again", () => {
  const { board } = made();
  board.applyStates(event([item("a", 5), item("b", 6)], { complete: true }));
  board.keepOnly(["b"]);
  assert.deepEqual([...board.devices.keys()], ["b"]);
  board.applyStates(event([item("a", 5)]));
  assert.deepEqual([...board.devices.keys()], ["b", "a"]);
});

test("a removed device goes", () => {
  const { board } = made();
  board.applyStates(event([item("a", 1)]));
  const [[now]] = board.applyStates(event([item("a", 2, null)]));
  assert.equal(board.verdict(now).key, "gone");
  assert.equal(board.devices.size, 0);
});

for (const { known, now, gone } of [
  { known: "s", now: "t", gone: "forbidden" }, // other rights
  { known: "s", now: "s", gone: undefined }, // a restored backup
  { known: undefined, now: "t", gone: undefined }, // nothing to compare with
]) {
  test(`a reset from scope ${known} to ${now} says why a device is missing: ${gone}`, () => {
    const { board } = made();
    board.applyStates(event([item("a", 1), item("b", 2)], { scope: known, complete: true }));
    // When the answer comes in two parts, the second without a reset
    board.applyStates(event([item("a", 1)], { scope: now, reset: true }));
    const changed = board.applyStates(event([], { offset: 3, scope: now, complete: true }));
    assert.deepEqual(
      changed.map(([device]) => [device.device, device.state, device.gone]),
      [["b", null, gone]],
    );
    // Then a device that is missing in a later list was removed
    board.beginListing();
    const [[later]] = board.applyStates(event([], { offset: 4, scope: now, complete: true }));
    assert.deepEqual([later.device, later.gone], ["a", undefined]);
  });
}

test("after another list no position says that the rights are others", () => {
  const { board } = made();
  board.applyStates(event([item("a", 1), item("b", 2)], { complete: true }));
  board.position = undefined;
  const [, [device]] = board.applyStates(
    event([item("a", 1)], { scope: "t", reset: true, complete: true }),
  );
  assert.deepEqual([device.device, device.gone], ["b", undefined]);
});

test("a reset in slices, cut between two, removes only what no slice named", () => {
  const { board } = made();
  board.applyStates(event([item("a", 1), item("b", 2), item("c", 3)], { complete: true }));
  board.applyStates(event([item("a", 1)], { reset: true }));
  assert.equal(board.devices.size, 3);
  // here the connection broke; the answer goes on from the place of the first slice
  const changed = board.applyStates(event([item("b", 2)], { complete: true }));
  assert.deepEqual([...board.devices.keys()], ["a", "b"]);
  assert.equal(changed.at(-1)[0].state, null);
  board.applyStates(event([], { complete: true }));
  assert.equal(board.devices.size, 2);
});

test("__proto__ is a name like any other", () => {
  const { board } = made();
  board.applyStates(event([item("__proto__", 1, JSON.parse('{"__proto__": {"polluted": 1}}'))]));
  board.applySeen(JSON.parse('{"__proto__": "2026-01-31T14:00:05.000Z"}'));
  assert.equal(board.devices.get("__proto__").seen, T + 5000);
  assert.equal({}.polluted, undefined);
});

test("the server's clock counts, not ours", () => {
  const { board, at } = made();
  board.applyHealth({ now: iso(T + 3_600_000), sources: {} });
  at.ms += 1000;
  assert.equal(board.now(), T + 3_601_000);
});

test("a server's clock that is set back leaves no device live for ever", () => {
  // Given a device that was heard while the clock was an hour ahead
  const { board, at } = made();
  const ahead = { changed_at: iso(T + 3_600_000), seen_at: iso(T + 3_600_000) };
  board.applyStates(event([item("a", 1, { mood: "calm" }, ahead)], { complete: true }));
  board.disconnectedSince = undefined;
  const sources = { queue: { status: "connected", since: iso(T) } };

  // When the clock is put right, then the device was heard by then, and is silent after its deadline
  board.applyHealth({ now: iso(T), sources });
  assert.deepEqual([board.devices.get("a").seen, board.devices.get("a").changed], [T, T]);
  assert.equal(board.verdict(board.devices.get("a")).key, "live");
  at.ms += 31_000;
  board.applyHealth({ now: iso(T + 31_000), sources });
  assert.equal(board.verdict(board.devices.get("a")).key, "silent");
});

/** The verdict of one device after `ms`, with everything live at first. */
function verdict(
  ms,
  { more = {}, sources = { queue: { status: "connected", since: iso(T) } }, gone } = {},
) {
  const { board, at } = made();
  board.applyStates(event([item("a", 1, { mood: "calm" }, more)], { complete: true }));
  board.disconnectedSince = gone;
  at.ms += ms;
  board.applyHealth({ now: iso(at.ms), sources });
  return board.verdict(board.devices.get("a"));
}

test("a device is live within its deadline and silent after it", () => {
  assert.deepEqual([verdict(29_000).key, verdict(29_000).old], ["live", false]);
  assert.deepEqual(
    [verdict(31_000).key, verdict(31_000).mark, verdict(31_000).old],
    ["silent", "late", true],
  );
  assert.equal(verdict(31_000).since, T);
});

test("without a deadline there is no verdict", () => {
  assert.deepEqual(
    [verdict(1e9, { more: { silent_after: null } }).key, verdict(0).word],
    ["undated", "Live"],
  );
  assert.equal(verdict(0, { more: { silent_after: null, seen_at: null } }).word, "Set");
});

test("a queue is away within 5 s, drawings included; one without a report is not read", () => {
  const away = { queue: { status: "away", since: iso(T) } };
  assert.equal(verdict(3900, { sources: away }).key, "live");
  assert.equal(verdict(4000, { sources: away }).key, "away");
  assert.equal(verdict(6000, { sources: away }).key, "away");
  assert.equal(verdict(6000, { sources: away, more: { source: "other" } }).key, "live");
  const { board, at } = made();
  board.disconnectedSince = undefined;
  board.applyStates(event([item("a", 1)]));
  board.applyHealth({ now: iso(T), sources: {} });
  at.ms += 6000;
  assert.equal(board.verdict(board.devices.get("a")).key, "away");
  board.applyHealth({ now: iso(at.ms), sources: { queue: { status: "connected" } } });
  assert.equal(board.verdict(board.devices.get("a")).key, "live");
});

test("a queue that is only held up by the store says so", () => {
  const blocked = { queue: { status: "blocked", since: iso(T) } };
  const { key, word } = verdict(6000, { sources: blocked });
  assert.deepEqual([key, word], ["away", "Store blocked"]);
});

// Offline: until when each device was known to be as it is shown, in seconds after it was heard.
for (const [name, heardBefore, away, known] of [
  ["a live device: until the connection was lost", 10, undefined, 10],
  ["a device that was silent: until it was heard", 1000, undefined, 0],
  ["a device whose queue was away: until that was read", 20, 8, 8],
  ["a silent device whose queue was away too: until it was heard", 1000, 500, 0],
]) {
  test(`last known of ${name}`, () => {
    const { board, at } = made();
    board.disconnectedSince = undefined;
    board.applyStates(event([item("a", 1, { mood: "calm" })], { complete: true }));
    at.ms += heardBefore * 1000;
    board.lastReceived = at.ms;
    const status = away === undefined ? "connected" : "away";
    const since = iso(T + (away ?? 0) * 1000);
    board.applyHealth({ now: iso(at.ms), sources: { queue: { status, since } } });
    board.disconnectedSince = at.ms;
    at.ms += 600_000;
    const { key, since: shown } = board.verdict(board.devices.get("a"));
    assert.deepEqual([key, shown], ["lost", T + known * 1000]);
  });
}

test("offline is worse than everything, after 3 s", () => {
  assert.equal(verdict(2000, { gone: T }).key, "live");
  assert.equal(verdict(3000, { gone: T }).key, "lost");
  assert.equal(verdict(60_000, { gone: T }).key, "lost");
});

test("when nothing may be read any more, everything is forgotten", () => {
  const { board } = made();
  board.applyStates(event([item("a", 5), item("b", 6)], { complete: true }));
  const changed = board.forgetAll();
  assert.deepEqual(
    changed.map(([now]) => [now.device, now.state, board.verdict(now).word]),
    [
      ["a", null, "Hidden"],
      ["b", null, "Hidden"],
    ],
  );
  assert.deepEqual([board.devices.size, board.position], [0, undefined]);
  board.applyStates(event([item("a", 5)], { complete: true }));
  assert.deepEqual([...board.devices.keys()], ["a"]);
});

test("an event that names only its offset goes on from the position before", () => {
  const { board } = made();
  const unnamed = (offset, ...states) => ({ offset, states });
  // before there is a position it says nothing of one
  board.applyStates(unnamed(3, item("a", 3)));
  assert.equal(board.position, undefined);
  board.applyStates(event([item("a", 5)], { complete: true }));
  board.applyStates(unnamed(7, item("a", 7, { mood: "sad" })));
  assert.deepEqual(board.position, { epoch: "e", offset: 7, scope: "s" });
  board.applyStates(unnamed(6));
  assert.equal(board.position.offset, 7);
  // and a new epoch is named
  board.applyStates(event([item("a", 8)], { epoch: "f" }));
  board.applyStates(unnamed(9, item("a", 9)));
  assert.deepEqual(board.position, { epoch: "f", offset: 9, scope: "s" });
  assert.equal(board.devices.get("a").offset, 9);
});

test("a device that only the HTML showed gets its state with a list of everything", () => {
  const { board } = made();
  board.startFrom({ epoch: "e", offset: 5, scope: "s" });
  board.addKnown({ device: "a", offset: 5, changed: T });
  assert.equal(board.isWhole, false);
  board.position = undefined;
  board.beginListing();
  const changed = board.applyStates(event([item("a", 5)], { complete: true }));
  assert.deepEqual([changed, board.isWhole], [[], true]);
  assert.deepEqual(board.devices.get("a").state, { mood: "happy" });
  assert.equal(board.devices.get("a").version, 5);
});
