// The connection against a fake WebSocket and a clock of its own: what it sends, when it gives up,
// and when it comes back.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { connect } from "../../src/statecast/web/static/statecast.js";

class FakeSocket {
  static all = [];
  sent = [];
  open = true;
  constructor(url) {
    this.url = url;
    FakeSocket.all.push(this);
  }
  send(data) {
    this.sent.push(data);
  }
  close() {
    this.open = false;
  }
  hear(...packets) {
    for (const data of packets) this.onmessage({ data });
  }
  /** The server's part of joining. */
  join() {
    this.hear(
      '0{"sid":"s","pingInterval":25000,"pingTimeout":20000,"maxPayload":65536,"upgrades":[]}',
      '40{"sid":"t"}',
    );
    return this;
  }
  get wish() {
    return JSON.parse(this.sent.at(-1).replace(/^\d+/, ""))[1];
  }
}

const states = (more) =>
  "42" +
  JSON.stringify([
    "states",
    { epoch: "e", offset: 5, scope: "s", states: [], complete: true, ...more },
  ]);
const last = () => FakeSocket.all.at(-1);
let live;

beforeEach(() => {
  mock.timers.reset();
  mock.restoreAll();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.UTC(2026, 0, 31) });
  mock.method(Math, "random", () => 0.5);
  globalThis.WebSocket = FakeSocket;
  FakeSocket.all = [];
  live = connect({ url: "http://h/socket.io/", devices: ["pillow"] });
});

test("it opens, joins and watches", () => {
  const socket = last();
  assert.equal(socket.url, "ws://h/socket.io/?EIO=4&transport=websocket");
  socket.join();
  assert.deepEqual(socket.sent.slice(0, 1), ["40"]);
  assert.match(socket.sent[1], /^421\["watch",/);
  assert.deepEqual(socket.wish, { devices: ["pillow"], protocol: 2, health: true });
});

test("it answers pings, ignores what it does not know, survives binary", () => {
  const socket = last().join();
  socket.hear("2", "6", "45", '451-["x",{"_placeholder":true,"num":0}]', new ArrayBuffer(2));
  assert.equal(socket.sent.at(-1), "3");
  assert.equal(last(), socket);
});

test("only a resync that has landed is live", () => {
  const links = [];
  live.on("link", () => links.push(live.board.disconnectedSince));
  const socket = last().join();
  socket.hear(states({ complete: undefined }));
  assert.notEqual(live.board.disconnectedSince, undefined);
  socket.hear(states());
  assert.equal(live.board.disconnectedSince, undefined);
  assert.deepEqual(links, [undefined]);
});

test("it comes back with its place, after a jittered pause that doubles up to a bound", () => {
  last().join().hear(states());
  last().onclose();
  assert.equal(live.retryAt - Date.now(), 250);
  mock.timers.tick(250);
  last().onclose();
  assert.equal(live.retryAt - Date.now(), 500);
  for (let count = 0; count < 9; count++) {
    live.failures = 0; // the other way is for events.test.mjs
    mock.timers.tick(live.retryAt - Date.now());
    last().onclose();
  }
  assert.equal(live.retryAt - Date.now(), 7500);
  live.failures = 0;
  mock.timers.tick(7500);
  last().join();
  assert.deepEqual(last().wish.since, { epoch: "e", offset: 5, scope: "s" });
});

test("five seconds of silence are the end, and count from the last word", () => {
  last().join().hear(states());
  const heard = Date.now(),
    socket = last();
  mock.timers.tick(4999);
  assert.equal(socket.open, true);
  mock.timers.tick(1);
  assert.equal(socket.open, false);
  assert.equal(live.board.disconnectedSince, heard);
  assert.equal(live.board.offline, true);
});

test("beats keep it alive", () => {
  last().join().hear(states());
  for (let beat = 0; beat < 20; beat++) {
    mock.timers.tick(1500);
    last().hear("42" + JSON.stringify(["health", { now: new Date().toISOString(), sources: {} }]));
  }
  assert.equal(FakeSocket.all.length, 1);
});

test("what an abandoned socket still says is not heard", () => {
  const old = last().join();
  old.onclose();
  live.retry();
  old.hear(states({ offset: 99 }));
  old.onclose();
  assert.equal(live.board.position, undefined);
  assert.equal(FakeSocket.all.length, 2);
});

test("retry does nothing while all is well, and at once otherwise", () => {
  last().join().hear(states());
  live.retry();
  assert.equal(FakeSocket.all.length, 1);
  last().onclose();
  live.retry();
  assert.equal(FakeSocket.all.length, 2);
});

test("closed by hand it stays closed", () => {
  last().join();
  live.close();
  mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 1);
});

test("the server's refusal is told; that of an older wish is not", () => {
  const heard = [];
  live.on("refused", (sentence) => heard.push(sentence));
  const socket = last().join();
  live.watch(["lamp"]);
  socket.hear('431[{"error":"old"}]', '432[{"error":"At most 1000 patterns."}]');
  assert.deepEqual(heard, ["At most 1000 patterns."]);
});

test("an application's own events go both ways", () => {
  const heard = [];
  live.on("message", (...values) => heard.push(values));
  const socket = last().join();
  socket.hear('42["message",{"a":1},2]');
  live.emit("hello", 1);
  assert.deepEqual(heard, [[{ a: 1 }, 2]]);
  assert.equal(socket.sent.at(-1), '42["hello",1]');
});

for (const packet of ["1", "41", '44{"message":"no"}'])
  test(`${packet} ends the connection`, () => {
    const socket = last().join();
    socket.hear(packet);
    assert.equal(socket.open, false);
    assert.ok(live.retryAt > Date.now());
  });

const at = new Date(Date.UTC(2026, 0, 31)).toISOString();
const cause = { source: "queue", id: "1", by: "device" };
const pillow = (offset) => ({ device: "pillow", offset, version: offset, changed_at: at });
const full = (offset, state) => ({ ...pillow(offset), state, seen_at: at, cause });
const patch = (from, offset, patch) => ({ ...pillow(offset), from, patch, cause: {} });

test("a patch changes what it names", () => {
  const heard = [];
  live.on("states", (updates) => heard.push(...updates));
  const socket = last().join();
  socket.hear(states({ states: [full(5, { mood: "happy", battery: 82 })] }));
  socket.hear(states({ offset: 6, states: [patch(5, 6, { battery: 81, mood: null })] }));
  const [now, before] = heard.at(-1);
  assert.deepEqual(now.state, { battery: 81 });
  assert.deepEqual(before.state, { mood: "happy", battery: 82 });
  assert.equal(live.board.position.offset, 6);
  assert.equal(socket.sent.length, 2);
});

test("after a patch that does not fit everything is requested again, once", () => {
  const socket = last().join();
  socket.hear(
    states({ states: [full(5, { n: 5 }), { ...full(5, { on: true }), device: "lamp" }] }),
  );
  const sent = socket.sent.length;

  // When a patch is of a version that is not here, and others follow
  socket.hear(states({ offset: 8, states: [patch(7, 8, { n: 8 })] }));
  socket.hear(states({ offset: 9, states: [patch(8, 9, { n: 9 })] }));

  // Then no position holds, and a reset is requested
  assert.equal(socket.sent.length, sent + 1);
  assert.deepEqual(socket.wish, {
    devices: ["pillow"],
    protocol: 2,
    health: true,
    reset: true,
  });
  assert.equal(live.board.position, undefined);
  assert.deepEqual(live.board.devices.get("pillow").state, { n: 5 });

  // And with the answer all is well: what it does not name is gone
  socket.hear('432[{"epoch":"e","offset":0,"scope":"s","reset":true}]');
  socket.hear(states({ offset: 9, reset: true, states: [full(9, { n: 9 })] }));
  assert.deepEqual([...live.board.devices.keys()], ["pillow"]);
  assert.equal(live.board.position.offset, 9);
  socket.hear(states({ offset: 10, states: [patch(9, 10, { n: 10 })] }));
  assert.deepEqual(live.board.devices.get("pillow").state, { n: 10 });
  assert.equal(socket.sent.length, sent + 1);
});

test("who is cut before the reset came begins without a position", () => {
  const socket = last().join();
  socket.hear(states({ states: [full(5, { n: 5 })] }));
  socket.hear(states({ offset: 8, states: [patch(7, 8, { n: 8 })] }));
  socket.onclose();
  mock.timers.tick(250);
  last().join();
  assert.deepEqual(last().wish, { devices: ["pillow"], protocol: 2, health: true });
  last().hear(states({ offset: 8, states: [full(8, { n: 8 })] }));
  assert.equal(live.board.position.offset, 8);
});

test("a page that only shows its states requests patches once it has them", () => {
  // Given a page whose HTML shows two devices
  live.board.startFrom({ epoch: "e", offset: 5, scope: "s" });
  live.board.addKnown({ device: "pillow", offset: 4, changed: 0 });
  // the page of a device holds the state, and not what caused it
  live.board.addKnown({ device: "lamp", offset: 5, changed: 0, state: { on: false } });
  live.retry();
  const socket = last().join();
  assert.equal(socket.wish.protocol, 1);
  socket.hear(states({ offset: 5 }));
  socket.hear(states({ offset: 6, states: [full(6, { n: 6 })] }));
  assert.equal(socket.wish.protocol, 1);
  // When the state of the last one came, then it asks for patches
  socket.hear(states({ offset: 7, states: [{ ...full(7, { on: true }), device: "lamp" }] }));
  assert.equal(socket.wish.protocol, 2);
  const sent = socket.sent.length;
  socket.hear('432[{"epoch":"e","offset":0,"scope":"s","reset":false}]', states({ offset: 7 }));
  assert.equal(socket.sent.length, sent);
});

test("a new list begins without a position, and forgets what it does not cover", () => {
  const item = (device, offset) => ({
    device,
    offset,
    version: 1,
    state: { on: true },
    changed_at: new Date().toISOString(),
  });
  // Given a viewer of pillow that asks for lamps, while a word about pillow is on its way
  last()
    .join()
    .hear(states({ states: [item("pillow", 5)] }));
  live.watch(["lamp/*"]);
  last().hear(states({ offset: 6, states: [item("pillow", 6)] }));
  assert.equal(live.board.position, undefined);

  // When the answer is there, its place counts; cut before it, there is none
  last().hear(
    '432[{"epoch":"e","offset":0,"reset":false}]',
    states({ offset: 7, states: [item("lamp/1", 7)] }),
  );
  assert.deepEqual(live.board.position, { epoch: "e", offset: 7, scope: "s" });
  assert.deepEqual([...live.board.devices.keys()], ["lamp/1"]);
  live.watch(["lamp/*", "door"]);
  last().onclose();
  mock.timers.tick(250);
  last().join();
  assert.equal(last().wish.since, undefined);

  // Then what the new answer does not name was removed meanwhile
  last().hear(states({ offset: 9, states: [item("door", 9)] }));
  assert.deepEqual([...live.board.devices.keys()], ["door"]);
});

test("a command that the server took says that it can be reached", async () => {
  mock.method(AbortSignal, "timeout", () => undefined);
  mock.method(globalThis, "fetch", async (url) => {
    assert.equal(String(url), "http://h/api/devices/pillow/commands");
    return { ok: true, json: async () => ({ id: "c" }) };
  });
  // Given a connection that was lost and waits for its next attempt
  last().join().hear(states());
  last().onclose();
  const before = FakeSocket.all.length;
  // When a command gets through
  await live.command("pillow", "hug");
  // Then it tries at once
  assert.equal(FakeSocket.all.length, before + 1);
  // And one that is sent over a connection that works changes nothing
  last().join().hear(states());
  await live.command("pillow", "hug");
  assert.equal(FakeSocket.all.length, before + 1);
});

test("who listens to `watching` asks for it, now and after each reconnect", () => {
  const socket = last().join();
  assert.equal("presence" in socket.wish, false);
  live.on("watching", () => {});
  assert.equal(socket.wish.presence, true);
  const sent = socket.sent.length;
  live.on("watching", () => {});
  assert.equal(socket.sent.length, sent);
  live.retry();
  assert.equal(last().join().wish.presence, true);
  // and a hidden page does not: it is pinged as seldom as any client
  globalThis.document = { hidden: true };
  live.watch();
  assert.equal("presence" in last().wish, false);
  delete globalThis.document;
});

for (const [status, left] of [
  [401, []],
  [403, []],
  [429, ["pillow"]],
  [503, ["pillow"]],
]) {
  test(`a server that lets us in no longer (${status}) says why, and it is tried again`, () => {
    // Given a page that shows a device
    const state = { on: true };
    const pillow = { device: "pillow", offset: 5, state, changed_at: new Date().toISOString() };
    last()
      .join()
      .hear(states({ states: [pillow] }));
    const heard = [];
    live.on("refused", (sentence) => heard.push(sentence));

    // When the server refuses, then what may not be read is gone, with a sentence
    last().hear(`44${JSON.stringify({ message: "Sign in again.", data: { status } })}`);
    assert.deepEqual([...live.board.devices.keys()], left);
    assert.deepEqual(heard, ["Sign in again."]);
    assert.equal(live.state, "waiting");
  });
}

for (const { refused, shown } of [
  { refused: false, shown: { stool: 3 } },
  { refused: true, shown: { pillow: 2, stool: 3 } }, // the list before stayed in force
]) {
  const word = refused ? "refused" : "granted";
  test(`a list between two of the same leaves nothing old behind: ${word}`, () => {
    // Given a page that shows two devices, and changes its list twice within one round trip
    const full = (device, offset) => ({
      ...{ device, offset, version: offset, state: { n: offset }, changed_at: null, seen_at: null },
      ...{ silent_after: null, source: "queue", cause: null },
    });
    live.watch(["pillow", "stool"]);
    const socket = last().join();
    socket.hear(
      '431[{"epoch":"e","offset":0,"reset":false}]',
      states({ offset: 3, states: [full("pillow", 2), full("stool", 3)] }),
    );
    live.watch(["stool"]);
    live.watch(["pillow", "stool"]);
    // When the right to read one ends between the two, so that no list covers it any more
    const between = refused ? { error: "no" } : { epoch: "e", offset: 0, reset: false };
    socket.hear(
      `432[${JSON.stringify(between)}]`,
      '433[{"epoch":"e","offset":0,"reset":false}]',
      states({ offset: 3, scope: "t" }),
    );
    // Then it is not shown any more
    const there = [...live.board.devices.values()];
    assert.deepEqual(
      Object.fromEntries(there.map(({ device, state }) => [device, state.n])),
      shown,
    );
  });
}
