// Viewers of a drill, many in one process:
// node drill_viewers.mjs ADDRESS COUNT STATECAST.JS [the store may lose]
// Two of three are stock Socket.IO clients on WebSocket, the third is statecast.js. Each watches
// everything, or one group of devices, and comes back by itself after any cut.
//
// Answers each line of standard input with a line of JSON:
// {"begin": true}: from now on the longest pause of each viewer is measured;
// {"report": true}: {"joined", "pauses", "behind", "wrong" ...}; "behind" is how many viewers do not
// show {"states": ...} yet, as far as they watch it.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { io } = createRequire(import.meta.url)("socket.io-client");
const [address, count, script, mayLose] = process.argv.slice(2);
const { connect } = await import(script);

const now = () => performance.now() / 1000;
const viewers = [];

/** A state as text; the order of its fields says nothing. */
function text(state) {
  const sorted = (_, value) =>
    value?.constructor === Object
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return JSON.stringify(state, sorted);
}

/** What a viewer holds, by the rules of docs/wire.md, and how it came to hold it. */
class Held {
  states = new Map();
  versions = new Map();
  position = undefined;
  joined = 0;
  resets = 0;
  wrong = [];
  movedAt = now();
  pause = 0;

  constructor(pattern) {
    this.pattern = pattern;
    viewers.push(this);
  }

  moved() {
    this.pause = Math.max(this.pause, now() - this.movedAt);
    this.movedAt = now();
  }

  take({ epoch, offset, scope, reset, states }) {
    this.moved();
    if (reset) {
      this.resets++;
      this.states.clear();
      this.startOver();
      this.position = undefined;
    }
    for (const { device, version, offset: at, state } of states) {
      this.check(device, version, at);
      if (state === null) this.states.delete(device);
      else this.states.set(device, text(state));
    }
    if (!this.position || scope !== this.position.scope || offset > this.position.offset)
      this.position = { epoch, offset, scope };
  }

  /** A reset brings nothing older either, unless the store has lost something. */
  startOver() {
    if (mayLose) this.versions.clear();
  }

  /** No version goes back. A later item of the same version is a repetition. */
  check(device, version, at) {
    const [heldVersion, heldAt] = this.versions.get(device) ?? [0, 0];
    if (version < heldVersion || at < heldAt)
      this.wrong.push(`${device} went from version ${heldVersion} back to ${version}`);
    this.versions.set(device, [version, at]);
  }

  matches(device) {
    return this.pattern === "*" || device.startsWith(this.pattern.slice(0, -1));
  }

  /** @returns {Map<string, string>} */
  get shown() {
    if (!this.board) return this.states;
    const devices = [...this.board.devices.values()];
    return new Map(devices.map(({ device, state }) => [device, text(state)]));
  }

  /** The first device that is not shown as it is in `states`, as a sentence. */
  difference(states) {
    const shown = this.shown;
    const wanted = new Map(Object.entries(states).filter(([device]) => this.matches(device)));
    for (const device of new Set([...wanted.keys(), ...shown.keys()]))
      if (shown.get(device) !== wanted.get(device)) return this.describe(device, wanted, shown);
    return undefined;
  }

  describe(device, wanted, shown) {
    const kind = this.board ? "statecast.js" : "socket.io";
    const [version, offset] = this.versions.get(device) ?? [];
    return (
      `${kind} watches ${this.pattern}, joined ${this.joined} times, ${this.resets} resets: ` +
      `${device}, version ${version} offset ${offset}, is ${shown.get(device)}, ` +
      `and should be ${wanted.get(device)}`
    );
  }
}

function stock(held) {
  const socket = io(address, {
    transports: ["websocket"],
    forceNew: true,
    reconnectionDelay: 100,
    reconnectionDelayMax: 1000,
    timeout: 5000,
  });
  socket.on("connect", () => {
    held.joined++;
    const since = held.position && { since: held.position };
    socket.emit("watch", { devices: [held.pattern], protocol: 1, ...since });
  });
  socket.on("states", (said) => held.take(said));
}

/** The page's own client; its board is what it holds. */
function own(held) {
  const live = connect({ url: `${address}/socket.io/`, devices: [held.pattern] });
  live.on("link", () => (held.joined += live.synced ? 1 : 0));
  live.on("reset", () => {
    held.resets++;
    held.startOver();
  });
  live.on("states", (changed) => {
    held.moved();
    for (const [{ device, version, offset }] of changed) held.check(device, version, offset);
  });
  held.board = live.board;
}

for (let number = 0; number < Number(count); number++) {
  const pattern = number % 10 === 0 ? "*" : `group${number % 5}/*`;
  (number % 3 === 2 ? own : stock)(new Held(pattern));
}

function report({ states = {} }) {
  const differences = viewers.map((one) => one.difference(states)).filter(Boolean);
  return {
    joined: viewers.filter((one) => one.joined > 0).length,
    resets: viewers.reduce((sum, one) => sum + one.resets, 0),
    pauses: viewers.map((one) => Math.max(one.pause, now() - one.movedAt)).sort((a, b) => a - b),
    behind: differences.length,
    differences: differences.slice(0, 3),
    wrong: viewers.flatMap((one) => one.wrong).slice(0, 5),
  };
}

function begin() {
  viewers.forEach((one) => Object.assign(one, { pause: 0, movedAt: now() }));
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  console.log(JSON.stringify(wanted.begin ? begin() : report(wanted)));
}
process.exit(0);
