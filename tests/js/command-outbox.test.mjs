// Commands against a fake server and a clock of the test's own: what is repeated, what is not, in
// which order they leave, and when a page gives up.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { CommandOutbox } from "../../src/statecast/web/static/command-outbox.js";

const SECOND = 1000;
let asked, answers, outbox;

/** What the server answers: a status with a body, or a cut connection. */
const answer = (status, body, headers = {}) => ({
  ok: status < 400,
  status,
  headers: new Headers(headers),
  json: async () => {
    if (body === undefined) throw new SyntaxError("no JSON");
    return body;
  },
});
const cut = () => {
  throw new TypeError("Failed to fetch");
};
const taken = (id) => () => answer(201, { id, status: "waiting" });
const problem = (status, detail, headers) => () => answer(status, { detail }, headers);

beforeEach(() => {
  mock.timers.reset();
  mock.restoreAll();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.UTC(2026, 0, 31) });
  mock.method(Math, "random", () => 1);
  mock.method(AbortSignal, "timeout", () => undefined);
  [asked, answers] = [[], []];
  mock.method(globalThis, "fetch", async (url, { headers, body }) => {
    asked.push({ url: String(url), key: headers["Idempotency-Key"], ...JSON.parse(body) });
    return (answers.shift() ?? taken("last"))();
  });
  outbox = new CommandOutbox("http://h/api/devices/");
});

/** Let promises go on, without time. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const pass = async (ms) => {
  await settle();
  mock.timers.tick(ms);
  await settle();
};

test("a command is one request, and its answer the command", async () => {
  answers = [taken("c1")];
  const found = await outbox.send("floor2/pillow", "hug", { strength: 2 }, { by: "Ada" });
  assert.deepEqual(found, { id: "c1", status: "waiting" });
  const [{ key, ...rest }] = asked;
  assert.match(key, /^[0-9a-f]{32}$/);
  assert.deepEqual(rest, {
    url: "http://h/api/devices/floor2/pillow/commands",
    name: "hug",
    arguments: { strength: 2 },
    by: "Ada",
    expires: 60,
  });
});

// What the server answers first; whether it is sent again; after how many milliseconds at the
// latest; the sentence.
const ANSWERS = [
  ["a cut", cut, true, 250, /cannot be reached; it may have the command or not/],
  ["no JSON", () => answer(200), true, 250, /cannot be reached/],
  ["a proxy's page", () => answer(502), true, 250, /The server answered 502/],
  ["500", problem(500, "An error."), true, 250, /An error/],
  ["503, later", problem(503, "Busy.", { "Retry-After": "3" }), true, 3000, /Busy/],
  ["429", problem(429, "100 are open.", { "Retry-After": "1" }), true, 1000, /100 are open/],
  ["429, no time", problem(429, "100 are open."), true, 250, /100 are open/],
  ["429, odd time", problem(429, "Full.", { "Retry-After": "soon" }), true, 250, /Full/],
  ["400", problem(400, "No name."), false, 0, /No name/],
  ["403", problem(403, "Not you."), false, 0, /Not you/],
  ["404", problem(404, "No device."), false, 0, /No device/],
  ["409", problem(409, "It takes: hug."), false, 0, /It takes: hug/],
  ["404 of another server", () => answer(404), false, 0, /The server answered 404/],
  ["418, no words", () => answer(418, {}), false, 0, /The server answered 418/],
];

for (const [name, first, again, after, words] of ANSWERS) {
  test(`${name}: ${again ? "sent again with the same key" : "not sent again"}`, async () => {
    answers = [first];
    const troubles = [];
    const onTrouble = (sentence) => troubles.push(sentence);
    const sent = outbox.send("pillow", "hug", {}, { onTrouble });
    if (!again) {
      await assert.rejects(sent, words);
      assert.equal(asked.length, 1);
      assert.deepEqual(troubles, []);
      return;
    }
    await pass(after - 1);
    assert.equal(asked.length, 1);
    assert.match(troubles[0], words);
    await pass(1);
    assert.equal((await sent).id, "last");
    assert.equal(asked.length, 2);
    assert.equal(asked[0].key, asked[1].key);
    // what is left of its time travels with it
    assert.equal(asked[1].expires, (60 * SECOND - after) / SECOND);
  });
}

test("it gives up when its time has passed, with the last reason", async () => {
  answers = Array(100).fill(cut);
  const sent = outbox.send("pillow", "hug", {}, { expires: 5 });
  const rejected = assert.rejects(sent, /cannot be reached/);
  for (let second = 0; second < 8; second++) await pass(SECOND);
  await rejected;
  const count = asked.length;
  assert.ok(count > 2);
  await pass(60 * SECOND);
  assert.equal(asked.length, count);
});

test("the pauses grow up to two seconds", async () => {
  answers = Array(100).fill(cut);
  outbox.send("pillow", "hug").catch(() => {});
  for (const pauseOf of [250, 500, 1000, 2000, 2000]) {
    const before = asked.length;
    await pass(pauseOf - 1);
    assert.equal(asked.length, before || 1);
    await pass(1);
    assert.equal(asked.length, (before || 1) + 1);
  }
});

test("those of a device leave in order, one after another; another device does not wait", async () => {
  answers = [cut, taken("lamp"), taken("first"), taken("second")];
  const first = outbox.send("pillow", "hug", { n: 1 });
  const second = outbox.send("pillow", "hug", { n: 2 });
  const lamp = outbox.send("lamp", "on");
  await settle();
  assert.deepEqual(
    asked.map(({ name }) => name),
    ["hug", "on"],
  );
  assert.equal((await lamp).id, "lamp");
  await pass(250);
  assert.deepEqual([(await first).id, (await second).id], ["first", "second"]);
  assert.deepEqual(
    asked.map((one) => one.arguments.n),
    [1, undefined, 1, 2],
  );
  const [one, , again, two] = asked.map(({ key }) => key);
  assert.equal(one, again);
  assert.notEqual(one, two);
});

test("one that is refused does not hold up the next", async () => {
  answers = [problem(409, "It takes: hug."), taken("next")];
  const first = outbox.send("pillow", "open");
  const second = outbox.send("pillow", "hug");
  await assert.rejects(first, /It takes/);
  assert.equal((await second).id, "next");
});

test("one whose time passed in the line is not sent at all", async () => {
  answers = Array(100).fill(cut);
  const first = outbox.send("pillow", "hug", { n: 1 }, { expires: 10 });
  const second = outbox.send("pillow", "hug", { n: 2 }, { expires: 5 });
  const both = Promise.all([assert.rejects(first), assert.rejects(second)]);
  for (let second_ = 0; second_ < 13; second_++) await pass(SECOND);
  await both;
  assert.ok(asked.every((one) => one.arguments.n === 1));
});

test("a key of the caller's own is kept", async () => {
  await outbox.send("pillow", "hug", {}, { key: "click 1" });
  assert.equal(asked[0].key, "click 1");
});
