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
	device, offset, state, version: offset, changed_at: iso(T), seen_at: iso(T), silent_after: 30, source: "queue",
	cause: { source: "queue", id: `${offset}`, by: "device" }, ...more,
});
const event = (states, more = {}) => ({ epoch: "e", offset: states.at(-1)?.offset ?? 0, states, ...more });

test("states are taken, with what was before, and the place goes on", () => {
	const { board } = made();
	board.take(event([item("a", 1)], { complete: true }));
	const [[now, before]] = board.take(event([item("a", 7, { mood: "sad" })]));
	assert.equal(now.state.mood, "sad");
	assert.equal(before.state.mood, "happy");
	assert.deepEqual(board.place, { epoch: "e", offset: 7 });
	assert.equal(board.devices.get("a").changed, T);
});

test("a removed device goes", () => {
	const { board } = made();
	board.take(event([item("a", 1)]));
	const [[now]] = board.take(event([item("a", 2, null)]));
	assert.equal(board.verdict(now).key, "gone");
	assert.equal(board.devices.size, 0);
});

test("a reset in slices, cut between two, removes only what no slice named", () => {
	const { board } = made();
	board.take(event([item("a", 1), item("b", 2), item("c", 3)], { complete: true }));
	board.take(event([item("a", 1)], { reset: true }));
	assert.equal(board.devices.size, 3);
	// here the connection broke; the answer goes on from the place of the first slice
	const changed = board.take(event([item("b", 2)], { complete: true }));
	assert.deepEqual([...board.devices.keys()], ["a", "b"]);
	assert.equal(changed.at(-1)[0].state, null);
	board.take(event([], { complete: true }));
	assert.equal(board.devices.size, 2);
});

test("__proto__ is a name like any other", () => {
	const { board } = made();
	board.take(event([item("__proto__", 1, JSON.parse('{"__proto__": {"polluted": 1}}'))]));
	board.see(JSON.parse('{"__proto__": "2026-01-31T14:00:05.000Z"}'));
	assert.equal(board.devices.get("__proto__").seen, T + 5000);
	assert.equal({}.polluted, undefined);
});

test("the server's clock counts, not ours", () => {
	const { board, at } = made();
	board.health({ now: iso(T + 3_600_000), sources: {} });
	at.ms += 1000;
	assert.equal(board.now(), T + 3_601_000);
});

/** The verdict of one device after `ms`, with everything live at first. */
function verdict(ms, { more = {}, sources = { queue: { status: "connected", since: iso(T) } }, gone } = {}) {
	const { board, at } = made();
	board.take(event([item("a", 1, { mood: "calm" }, more)], { complete: true }));
	board.gone = gone;
	at.ms += ms;
	board.health({ now: iso(at.ms), sources });
	return board.verdict(board.devices.get("a"));
}

test("a device is live within its deadline and silent after it", () => {
	assert.deepEqual([verdict(29_000).key, verdict(29_000).old], ["live", false]);
	assert.deepEqual([verdict(31_000).key, verdict(31_000).mark, verdict(31_000).old], ["silent", "late", true]);
	assert.equal(verdict(31_000).since, T);
});

test("without a deadline there is no verdict", () => {
	assert.deepEqual([verdict(1e9, { more: { silent_after: null } }).key, verdict(0).word], ["undated", "Live"]);
	assert.equal(verdict(0, { more: { silent_after: null, seen_at: null } }).word, "Set");
});

test("a queue is away after 5 s; one that nobody reports is read by nobody", () => {
	const away = { queue: { status: "away", since: iso(T) } };
	assert.equal(verdict(4000, { sources: away }).key, "live");
	assert.equal(verdict(6000, { sources: away }).key, "away");
	assert.equal(verdict(6000, { sources: away, more: { source: "other" } }).key, "live");
	const { board, at } = made();
	board.gone = undefined;
	board.take(event([item("a", 1)]));
	board.health({ now: iso(T), sources: {} });
	at.ms += 6000;
	assert.equal(board.verdict(board.devices.get("a")).key, "away");
	board.health({ now: iso(at.ms), sources: { queue: { status: "connected" } } });
	assert.equal(board.verdict(board.devices.get("a")).key, "live");
});

test("offline is worse than everything, after 3 s", () => {
	assert.equal(verdict(2000, { gone: T }).key, "live");
	assert.equal(verdict(3000, { gone: T }).key, "lost");
	assert.equal(verdict(60_000, { gone: T }).key, "lost");
});
