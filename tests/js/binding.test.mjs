// What `bind.js` makes of attributes and of values, without a browser. The values are a device's,
// and hostile.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { BINDING_ATTRIBUTES, parseName, valueAt } from "../../src/statecast/web/static/binding.js";
import { FORMAT_NAMES, parseFormat } from "../../src/statecast/web/static/binding-format.js";
import { pictureAddress } from "../../src/statecast/web/static/binding-picture.js";
import {
  className,
  cssValue,
  isOn,
  plainText,
  refuseAddress,
  TARGET_NAMES,
  targetOf,
} from "../../src/statecast/web/static/binding-target.js";
import { Board } from "../../src/statecast/web/static/board.js";
import { useFirstStates } from "../../src/statecast/web/static/first-states.js";
import { nearestName } from "../../src/statecast/web/static/nearest-name.js";
import { pageState } from "../../src/statecast/web/static/staleness.js";

const PAGE = "https://pillow.example/rooms/one";

for (const [name, field, device, path] of [
  ["pillow", null, "pillow", []],
  ["pillow.mood", null, "pillow", ["mood"]],
  ["pillow.climate.temperature", null, "pillow", ["climate", "temperature"]],
  ["pillow.readings.0", null, "pillow", ["readings", "0"]],
  ["floor2/lamp.on", null, "floor2/lamp", ["on"]],
  ["a.b/lamp.on", null, "a.b/lamp", ["on"]],
  ["sensor.4", "temperature", "sensor.4", ["temperature"]],
  ["sensor.4", "a.b", "sensor.4", ["a.b"]],
  ["sensor.4", "/climate/temperature", "sensor.4", ["climate", "temperature"]],
  ["sensor.4", "/a~1b/c~0d", "sensor.4", ["a/b", "c~d"]],
]) {
  test(`${name} ${field} is read`, () =>
    assert.deepEqual(parseName(name, field), { device, path }));
}

const STATE = JSON.parse('{"a":{"b":[1,{"c":2}],"n":null},"__proto__":{"x":1},"t":"text"}');
for (const [path, value] of [
  [["a", "b", "0"], 1],
  [["a", "b", "1", "c"], 2],
  [["a", "b", "9"], undefined],
  [["a", "n", "x"], undefined],
  [["t", "length"], undefined],
  [["constructor"], undefined],
  [["a", "toString"], undefined],
  [["__proto__", "x"], 1], // an own field of that name
  [["missing", "x"], undefined],
]) {
  test(`the value at ${path.join(".")}`, () => assert.equal(valueAt(STATE, path), value));
}

const NOW = Date.parse("2026-11-26T12:00:00Z");
for (const [format, language, value, text] of [
  ["number", "en", 1234.5, "1,234.5"],
  ["number", "de", 1234.5, "1.234,5"],
  ["number:1", "en", 21.25, "21.3"],
  ["number:2", "de", "21.5", "21,50"],
  ["number:0", "en", 0.4, "0"],
  ["number", "not a language", 1, "1"],
  ["percent", "en", 82, "82%"],
  ["percent:1", "en", 82.25, "82.3%"],
  ["date", "en-GB", "2026-11-26T12:00:00Z", "26 Nov 2026"],
  ["date", "de", 1795694400, "26.11.2026"],
  ["date", "en-GB", 1795694400000, "26 Nov 2026"],
  ["age", "en", "2026-11-26T11:59:58Z", "2s ago"],
  ["age", "en", "2026-11-26T11:46:00Z", "14m ago"],
  ["age", "en", "2026-11-26T09:00:00Z", "3h ago"],
  ["age", "en", "2026-11-26T14:00:00Z", "in 2h"],
  ["age", "de", "2026-11-24T12:00:00Z", "vorgestern"],
  // What a format is not for is shown as it would be without.
  ["number", "en", "<img onerror=alert(1)>", undefined],
  ["number", "en", { toString: "x" }, undefined],
  ["number", "en", "0x10", undefined],
  ["number", "en", "", undefined],
  ["date", "en", "yesterday", undefined],
  ["date", "en", 1e300, undefined],
  ["age", "en", true, undefined],
  ["time", "en", [], undefined],
]) {
  test(`${JSON.stringify(value)} as ${format} in ${language}`, () => {
    const write = parseFormat(format, (sentence) => assert.fail(sentence));
    assert.equal(write(value, language, NOW), text);
  });
}

for (const format of ["numbr", "number:", "number:21", "date:1", "constructor", "__proto__", ""]) {
  test(`the format "${format}" is refused`, () => {
    const notes = [];
    assert.equal(
      parseFormat(format, (note) => notes.push(note)),
      undefined,
    );
    assert.equal(notes.length, 1);
  });
}

for (const name of ["text", "value", "class", "hidden", "!hidden", "checked", "open", "--level"]) {
  test(`${name} is a target`, () => assert.equal(typeof targetOf("b", name), "function"));
}
for (const name of ["title", "alt", "aria-label", "aria-pressed", "data-mood", "data-liveliness"]) {
  test(`${name} is a target`, () => assert.equal(typeof targetOf("b", name), "function"));
}
for (const [element, name, why] of [
  ["b", "onclick", /event handlers/],
  ["b", "ONCLICK", /event handlers/],
  ["b", "onpointerrawupdate", /event handlers/],
  ["iframe", "srcdoc", /whole page/],
  ["b", "style", /custom property/],
  ["iframe", "src", /only/],
  ["script", "src", /only/],
  ["embed", "src", /only/],
  ["link", "href", /only/],
  ["base", "href", /only/],
  ["use", "href", /only/],
  ["script", "text", /not set/],
  ["style", "text", /not set/],
  ["form", "action", /unknown/],
  ["button", "formaction", /unknown/],
  ["a", "target", /unknown/],
  ["a", "xlink:href", /unknown/],
  ["object", "data", /unknown/],
  ["b", "id", /unknown/],
  ["b", "name", /unknown/],
  ["b", "--a:b", /unknown/],
  ["b", "data-live", /unknown/],
  ["b", "data-to", /unknown/],
  ["b", "innerHTML", /unknown/],
  ["b", "constructor", /unknown$/],
  ["b", "clas", /unknown; did you mean “class”/],
  ["b", "Hidden", /unknown; did you mean “hidden”/],
  ["b", "placholder", /unknown; did you mean “placeholder”/],
]) {
  test(`${name} of <${element}> is refused`, () => assert.match(targetOf(element, name), why));
}

for (const [attribute, address, isAllowed] of [
  ["href", "/rooms/two", true],
  ["href", "https://elsewhere.example/", true],
  ["href", "mailto:me@pillow.example", true],
  ["href", "javascript:alert(1)", false],
  ["href", " \u0001JaVaScRiPt:alert(1)", false],
  ["href", "java\nscript:alert(1)", false],
  ["href", "data:text/html,<script>alert(1)</script>", false],
  ["href", "vbscript:x", false],
  ["href", "blob:https://pillow.example/x", false],
  ["href", "file:///etc/passwd", false],
  ["href", "http://[", false],
  ["src", "/static/happy.png", true],
  ["src", "data:image/gif;base64,R0lGODlhAQABAAAAACw=", true],
  ["src", "data:text/html,<script>alert(1)</script>", false],
  ["src", "https://elsewhere.example/x.png", false],
  ["src", "//elsewhere.example/x.png", false],
  ["src", "\\\\elsewhere.example/x.png", false],
  ["src", "javascript:alert(1)", false],
]) {
  test(`${attribute} ${JSON.stringify(address)}`, () => {
    assert.equal(refuseAddress(attribute, address, PAGE) === undefined, isAllowed);
  });
}

for (const [value, text] of [
  [0.5, "0.5"],
  [-3, "-3"],
  ["80%", "80%"],
  ["happy", "happy"],
  ["#ff8fb0", "#ff8fb0"],
  ["rgb(1, 2, 3)", "rgb(1, 2, 3)"],
  [true, "1"],
  [false, "0"],
  ["url(https://elsewhere.example/x)", undefined],
  ["rgb(url(x))", undefined],
  ['image-set("//x" 1x)', undefined],
  ["red;} body{display:none", undefined],
  ["red; background: url(x)", undefined],
  ["var(--secret)", undefined],
  ["expression(alert(1))", undefined],
  ["a b", undefined],
  ["</style><script>", undefined],
  [{ a: 1 }, undefined],
  ["", undefined],
]) {
  test(`the custom property ${JSON.stringify(value)}`, () => {
    assert.equal(cssValue(value, plainText(value)), text);
  });
}

for (const [field, plain, name] of [
  ["mood", "happy", "mood-happy"],
  ["mood", "admin hidden", "mood-admin-hidden"],
  ["mood", '"><script>', "mood----script-"],
  ["mood", "glücklich", "mood-glücklich"],
  ["on", "true", "on-true"],
]) {
  test(`the class of ${plain}`, () => assert.equal(className(field, plain), name));
}

for (const value of [true, "on", "Yes", "true", 1, 0.5]) {
  test(`${JSON.stringify(value)} is on`, () => assert.ok(isOn(value)));
}
for (const value of [false, "off", "no", 0, null, undefined, {}, [], "", "<b>"]) {
  test(`${JSON.stringify(value)} is off`, () => assert.ok(!isOn(value)));
}

for (const [pattern, value, address] of [
  ["/static/{}.png", "happy", "https://pillow.example/static/happy.png"],
  ["/static/{}.png", 3, "https://pillow.example/static/3.png"],
  ["{}/{}.png", "a", "https://pillow.example/rooms/a/a.png"],
  ["/static/{}.png", "../../x", "https://pillow.example/static/..%2F..%2Fx.png"],
  ["/static/{}.png", "//host/x", "https://pillow.example/static/%2F%2Fhost%2Fx.png"],
  ["/static/{}.png", "a?b#c", "https://pillow.example/static/a%3Fb%23c.png"],
  ["/static/{}/x.png", "%2e%2e", "https://pillow.example/static/%252e%252e/x.png"],
  ["{}", "javascript:alert(1)", "https://pillow.example/rooms/javascript%3Aalert(1)"],
  ["{}", "//host", "https://pillow.example/rooms/%2F%2Fhost"],
  ["/static/{}/x.png", "..", undefined],
  ["/static/{}/x.png", ".", undefined],
  ["//{}/x.png", "evil.example", undefined],
  ["https://pillow.example{}/x.png", ".evil.example", undefined],
  ["https://pictures.example/{}.png", "happy", "https://pictures.example/happy.png"],
  ["/static/{}.png", "", undefined],
  ["/static/{}.png", "\ud800", undefined],
  ["/static/{}.png", { a: 1 }, undefined],
  ["/static/{}.png", undefined, undefined],
]) {
  test(`the picture of ${JSON.stringify(value)} by ${pattern}`, () => {
    assert.equal(pictureAddress(pattern, value, PAGE), address);
  });
}

for (const [name, known, near] of [
  ["moood", ["mood", "battery"], "mood"],
  ["Mood", ["mood"], "mood"],
  ["pilow", ["pillow", "willow"], "pillow"],
  ["x", ["mood"], undefined],
  ["battery", ["mood"], undefined],
  ["constructor", [], undefined],
]) {
  test(`near ${name}`, () => assert.equal(nearestName(name, known), near));
}

for (const [fresh, state] of [
  [["live", "undated", "silent", "none"], "live"],
  [["live", "away"], "away"],
  [["away", "lost"], "lost"],
  [["waiting"], "waiting"],
]) {
  test(`a page with ${fresh} is ${state}`, () => assert.equal(pageState(fresh), state));
}

const FIRST = {
  now: NOW,
  epoch: "e",
  offset: 7,
  scope: "s",
  states: [
    {
      device: "pillow",
      version: 1,
      offset: 5,
      state: { mood: "happy" },
      changed_at: "2026-11-26T11:59:00Z",
    },
    { device: "gone", offset: 0, state: null },
  ],
};

test("a page whose devices are all in its HTML resumes from there", () => {
  const board = new Board(() => NOW - 5000);
  useFirstStates(board, FIRST, ["pillow", "gone"]);

  assert.deepEqual(board.position, { epoch: "e", offset: 7, scope: "s" });
  assert.equal(board.devices.get("pillow").state.mood, "happy");
  assert.equal(board.devices.has("gone"), false);
  assert.equal(board.now(), NOW);
});

test("a page with a device that is not in its HTML asks for everything", () => {
  const board = new Board();
  useFirstStates(board, FIRST, ["pillow", "door"]);

  assert.equal(board.position, undefined);
  assert.equal(board.devices.get("pillow").state.mood, "happy");
});

// The tables of the documents

const HOW_TO = readFileSync(new URL("../../docs/how-to/own-page.md", import.meta.url), "utf8");

/** The names in the first column of the table with this head. */
function documented(head) {
  const [, table] = HOW_TO.split(`\n\n| ${head} |`);
  const rows = table.split("\n\n")[0].split("\n").slice(2);
  return rows.flatMap((row) =>
    [...row.split("|")[1].matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
}

test("the documents name the attributes that are read", () => {
  assert.deepEqual(documented("attribute").sort(), [...BINDING_ATTRIBUTES, "data-fresh"].sort());
});

test("the documents name the targets that there are", () => {
  const names = documented("`data-to`");
  const elements = { href: "a", src: "img" };
  for (const name of names.filter((one) => !/[…=]/.test(one))) {
    assert.equal(typeof targetOf(elements[name] ?? "b", name), "function", name);
  }
  assert.deepEqual(
    TARGET_NAMES.filter((name) => !names.includes(name)),
    [],
  );
});

test("the documents name the formats that there are", () => {
  const names = documented("`data-format`").map((name) => name.split(":")[0]);
  assert.deepEqual([...new Set(names)].sort(), [...FORMAT_NAMES].sort());
});
