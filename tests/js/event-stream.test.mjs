// The way by server-sent events against a fake WebSocket, a fake fetch and a clock of their own.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { connect } from "../../src/statecast/web/static/statecast.js";

const real = setImmediate;
let live, sockets, requests, answer, heldLocks;

class FakeSocket {
  sent = [];
  open = true;
  constructor() {
    sockets.push(this);
  }
  send(data) {
    this.sent.push(data);
  }
  close() {
    this.open = false;
  }
}

/** The locks of all pages of a browser. */
const fakeLocks = {
  async request(name, { ifAvailable }, callback) {
    assert.ok(ifAvailable);
    if (heldLocks.has(name)) return callback(null);
    heldLocks.add(name);
    try {
      return await callback({ name });
    } finally {
      heldLocks.delete(name);
    }
  },
};

/** A request whose answer the test gives. */
function fakeFetch(url, { signal }) {
  const made = { url: new URL(url), signal };
  requests.push(made);
  const body = new ReadableStream({ start: (stream) => (made.stream = stream) });
  signal.addEventListener("abort", () => made.stream.error(new Error("aborted")));
  made.say = (text) => made.stream.enqueue(new TextEncoder().encode(text));
  return answer(body);
}

const streaming = async (body) =>
  new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => real(done));
};
/** What waits for a module to be loaded takes as long as it takes. */
const until = async (condition) => {
  while (!condition()) await new Promise((done) => real(done));
  await settle();
};
const item = (device, offset) => ({
  device,
  offset,
  version: 1,
  state: { on: true },
  changed_at: new Date().toISOString(),
});
const states = (offset, ...items) => {
  const event = { epoch: "e", offset, scope: "s", states: items, complete: true };
  return `event: states\nid: e:${offset}:s\ndata: ${JSON.stringify(event)}\n\n`;
};
const last = (all) => all.at(-1);

async function fall() {
  for (let turn = 0; turn < 2; turn++) {
    last(sockets).onclose();
    mock.timers.tick(live.retryAt - Date.now());
  }
  await until(() => requests.length);
}

afterEach(() => live.close());

beforeEach(() => {
  mock.timers.reset();
  mock.restoreAll();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.UTC(2026, 0, 31) });
  mock.method(Math, "random", () => 0.5);
  globalThis.WebSocket = FakeSocket;
  globalThis.fetch = fakeFetch;
  sockets = [];
  requests = [];
  answer = streaming;
  heldLocks = new Set();
  Object.defineProperty(globalThis, "navigator", {
    value: { locks: fakeLocks },
    configurable: true,
  });
  live = connect({ url: "http://h/socket.io/", devices: ["pillow", "floor/*"] });
});

test("after two sockets that led nowhere it reads events, by its place", async () => {
  await fall();
  assert.equal(
    last(requests).url.href,
    "http://h/events?protocol=2&health=1&device=pillow&device=floor%2F*",
  );
  last(requests).say(states(5, item("pillow", 5)));
  await settle();
  assert.equal(live.board.disconnectedSince, undefined);

  // cut, it comes back when the server said, with its place
  last(requests).say("retry: 4000\n\n");
  last(requests).stream.close();
  await settle();
  assert.equal(live.retryAt - Date.now(), 4000);
  mock.timers.tick(4000);
  await until(() => requests.length > 1);
  assert.equal(last(requests).url.searchParams.get("since"), "e:5:s");
});

test("an event may come in crumbs, and hold what looks like the end of a line", async () => {
  await fall();
  const text = states(5, { ...item("pillow", 5), state: { mood: "a\u2028b" } });
  for (const byte of new TextEncoder().encode(text))
    last(requests).stream.enqueue(new Uint8Array([byte]));
  await settle();
  assert.equal(live.board.devices.get("pillow").state.mood, "a\u2028b");
});

test("five seconds of silence are the end here too, and then it is WebSocket's turn", async () => {
  await fall();
  const before = sockets.length;
  mock.timers.tick(5000);
  await settle();
  assert.equal(last(requests).signal.aborted, true);
  mock.timers.tick(live.retryAt - Date.now());
  assert.ok(sockets.length > before);
  assert.equal(requests.length, 1);
});

test("it asks for WebSocket again, and goes over without a gap", async () => {
  await fall();
  last(requests).say(states(5));
  await settle();
  const before = sockets.length;
  mock.timers.tick(1000);
  assert.equal(sockets.length, before + 1);
  assert.equal(last(requests).signal.aborted, false);

  last(sockets).onmessage({ data: '0{"sid":"s"}' });
  assert.equal(last(requests).signal.aborted, false);
  last(sockets).onmessage({ data: '40{"sid":"t"}' });
  assert.equal(last(requests).signal.aborted, true);
  assert.match(last(sockets).sent[1], /"since":{"epoch":"e","offset":5,"scope":"s"}/);
});

test("a try that failed is repeated ever later, and at once when the network is back", async () => {
  await fall();
  last(requests).say(states(5));
  await settle();
  mock.timers.tick(1000);
  const before = sockets.length;
  for (let beat = 0; beat < 29; beat++) {
    mock.timers.tick(1000);
    last(requests).say(":\n\n");
    await settle();
  }
  assert.equal(sockets.length, before);
  live.retry();
  assert.equal(sockets.length, before + 1);

  // a slow network has time to answer: the next try comes after the longer pause
  for (let beat = 0; beat < 10; beat++) {
    mock.timers.tick(1000);
    last(requests).say(":\n\n");
    await settle();
  }
  assert.equal(sockets.length, before + 1);
});

test("a list too long for a URL is left out, and what is not on it is passed over", async () => {
  live.watch(Array.from({ length: 900 }, (_, count) => `floor/desk-${count}`));
  await fall();
  assert.equal(last(requests).url.search, "?protocol=2&health=1");
  last(requests).say(states(5, item("pillow", 4), item("floor/desk-7", 5)));
  await settle();
  assert.deepEqual([...live.board.devices.keys()], ["floor/desk-7"]);
});

test("so is one that a proxy finds too long", async () => {
  answer = async (body) =>
    requests.length === 1 ? new Response("", { status: 414 }) : streaming(body);
  await fall();
  assert.equal(last(requests).url.search, "?protocol=2&health=1");
});

test("another list is asked for anew, without the old one's place", async () => {
  await fall();
  last(requests).say(states(5, item("pillow", 5)));
  await settle();
  live.watch(["door"]);
  await until(() => requests.length > 1);
  assert.equal(requests[0].signal.aborted, true);
  assert.equal(last(requests).url.search, "?protocol=2&health=1&device=door");
  last(requests).say(states(7, item("door", 7)));
  await until(() => live.board.devices.size === 1);
  assert.deepEqual([...live.board.devices.keys()], ["door"]);
});

test("a refusal is told; a page that is no stream is none", async () => {
  const heard = [];
  live.on("refused", (sentence) => heard.push(sentence));
  answer = async () => new Response("No.\n", { status: 400 });
  await fall();
  assert.deepEqual(heard, ["No."]);
  assert.ok(live.retryAt > Date.now());
});

const SLOTS = [0, 1, 2].map((place) => `statecast-stream-${place}`);

test("a stream holds one of three slots, and gives it back at its end", async () => {
  heldLocks.add(SLOTS[0]);
  await fall();
  assert.deepEqual([...heldLocks], SLOTS.slice(0, 2));
  assert.equal(last(requests).url.searchParams.get("once"), null);
  live.close();
  await settle();
  assert.deepEqual([...heldLocks], [SLOTS[0]]);
});

test("a slot that is being taken while the page leaves is given back", async () => {
  await fall();
  live.watch(["door"]);
  live.close();
  await settle();
  assert.deepEqual([...heldLocks], []);
});

test("without a slot a page asks again and again, from its position", async () => {
  for (const name of SLOTS) heldLocks.add(name);
  await fall();
  assert.equal(last(requests).url.searchParams.get("once"), "1");
  last(requests).say(states(5, item("pillow", 5)));
  last(requests).stream.close();
  await settle();
  assert.ok(live.synced);

  // the answer was complete: the connection is not lost, and the next request continues
  mock.timers.tick(1500);
  await until(() => requests.length > 1);
  assert.equal(last(requests).url.searchParams.get("since"), "e:5:s");
  last(requests).say(states(7, item("pillow", 7)));
  last(requests).stream.close();
  await settle();
  assert.equal(live.board.devices.get("pillow").offset, 7);
  assert.ok(live.synced);

  // as soon as another page gives its slot back, this one has a stream
  heldLocks.delete(SLOTS[1]);
  mock.timers.tick(1500);
  await until(() => requests.length > 2);
  assert.equal(last(requests).url.searchParams.get("once"), null);
  assert.ok(heldLocks.has(SLOTS[1]));
});

test("an answer without a slot that breaks off is a lost connection", async () => {
  for (const name of SLOTS) heldLocks.add(name);
  await fall();
  last(requests).say(states(5).replace(',"complete":true', ""));
  last(requests).stream.close();
  await settle();
  assert.ok(!live.synced && live.retryAt > Date.now());
});

test("another list ends the pause between two requests", async () => {
  for (const name of SLOTS) heldLocks.add(name);
  await fall();
  last(requests).say(states(5));
  last(requests).stream.close();
  await settle();
  live.watch(["door"]);
  await until(() => requests.length > 1);
  assert.equal(last(requests).url.search, "?protocol=2&once=1&health=1&device=door");
  mock.timers.tick(3000);
  await settle();
  assert.equal(requests.length, 2);
});

test("without locks a visible page has a stream", async () => {
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  await fall();
  assert.equal(last(requests).url.searchParams.get("once"), null);
});

test("a hidden page gives its slot back, and asks less often", async () => {
  await fall();
  last(requests).say(states(5));
  await settle();
  globalThis.document = { hidden: true, addEventListener() {} };
  try {
    live.watch();
    await until(() => requests.length > 1);
    assert.deepEqual([...heldLocks], []);
    assert.equal(last(requests).url.searchParams.get("once"), "1");
    last(requests).say(states(6));
    last(requests).stream.close();
    await settle();
    mock.timers.tick(4999);
    await settle();
    assert.equal(requests.length, 2);
    mock.timers.tick(1);
    await until(() => requests.length > 2);
  } finally {
    delete globalThis.document;
  }
});

test("a stream that may not be read any more empties the page", async () => {
  await fall();
  const state = { on: true };
  const pillow = { device: "pillow", offset: 5, state, changed_at: new Date().toISOString() };
  last(requests).say(states(5, pillow));
  await settle();
  assert.equal(live.board.devices.size, 1);
  const heard = [];
  live.on("refused", (sentence) => heard.push(sentence));
  const refusal = { message: "Sign in again.", data: { status: 401 } };
  last(requests).say(`event: refused\ndata: ${JSON.stringify(refusal)}\n\n`);
  await settle();
  assert.deepEqual([live.board.devices.size, heard], [0, ["Sign in again."]]);
});
