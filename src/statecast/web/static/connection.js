// The connection: Socket.IO v5 over Engine.IO v4 on a WebSocket. It reconnects by itself from the
// position of its board. Where WebSocket is blocked it reads server-sent events instead.
import { Board } from "./board.js";
import { CommandOutbox } from "./command-outbox.js";
import { wholeReport } from "./health-report.js";
import liveAddress from "./live-address.js";

/** A visible page receives a beat at least every 2 s. */
const SILENCE_LIMIT = 5000;
const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
/** After so many WebSockets that brought no complete answer, server-sent events are tried. */
const FAILURES_BEFORE_EVENTS = 2;

/** With the second protocol a change comes as a patch of the state that is here. */
const FULL_STATES = 1;
const PATCHES = 2;
/** The statuses of a refusal by which we may read nothing. */
const FORBIDDEN = [401, 403];

/**
 * The states of a connection, and which may follow. Every reconnect passes through `closed`.
 * @typedef {"closed" | "waiting" | "connecting" | "joined" | "synced"} ConnectionState
 * @type {Record<ConnectionState, ConnectionState[]>}
 */
const TRANSITIONS = {
  closed: ["connecting", "waiting"],
  waiting: ["closed"], // for the next attempt
  connecting: ["joined", "closed"], // until the server lets us join
  joined: ["synced", "closed"], // events are exchanged; the states are not complete yet
  synced: ["closed"], // everything that is watched has been received
};

/**
 * What a connection needs of a WebSocket. A stream of server-sent events has the same methods.
 * @typedef {object} Transport
 * @property {((event: any) => void) | null} [onmessage]
 * @property {((event: any) => void) | null} [onclose]
 * @property {(packet: string) => void} send
 * @property {() => void} close
 * @property {() => void} [probe] Ask now whether WebSocket works.
 */

/** @import { Command, CommandOptions } from "./command-types.js" */

/**
 * @typedef {object} Options
 * @property {string[]} [devices] Names and patterns, like `["pillow", "floor2/*"]`; everything if
 *   left out.
 * @property {string} [url] The live endpoint; if left out, that of the server this file is from.
 * @property {Board} [board]
 * @property {string} [token] Who this page is: a key, a share link or a signed token. It goes into
 *   the connect packet, never into an address. Without one the cookies of the page say it.
 */

const isHidden = () => globalThis.document?.hidden ?? false;

/**
 * A live connection to a Statecast server.
 * @param {Options} [options]
 */
export function connect(options) {
  return new Connection(options);
}

export class Connection {
  /** @type {ConnectionState} */
  state = "closed";
  /** Names and patterns of the devices to watch. @type {string[]} */
  devices;
  /** When the next attempt begins, by the browser's clock. */
  retryAt = 0;
  /** Connections in a row that brought no complete answer; decides between the two transports. */
  failures = 0;
  /** How often an event stream asked for WebSocket in vain. */
  probes = 0;
  /** @type {Transport | undefined} */
  socket;

  /** @type {Map<string, ((...values: any[]) => void)[]>} */
  #listeners = new Map();
  #outbox;
  /** Attempts since the last complete answer; decides how long to wait. */
  #attempts = 0;
  /** The number of the last `watch` request, which its acknowledgement repeats. */
  #request = 0;
  /** The lists of the requests that are not acknowledged yet. @type {Map<number, string[]>} */
  #requested = new Map();
  /** That of the last `watch` request. */
  #protocol = FULL_STATES;
  /** The last report of this connection. @type {import("./health-report.js").Report | undefined} */
  #health;
  /** False from a change of the watch list until the server acknowledged it. */
  #confirmed = false;
  /** Whether the board may hold devices of an older watch list. */
  #listChanged = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reconnectTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silenceTimer;

  /** @param {Options} [options] */
  constructor({ devices = ["*"], url, board = new Board(), token = "" } = {}) {
    const live = url ?? liveAddress;
    this.devices = [...devices];
    this.board = board;
    this.token = token;
    this.url = `${live.replace(/^http/, "ws")}?EIO=4&transport=websocket`;
    this.#outbox = new CommandOutbox(url && new URL("../api/devices/", url).href);
    this.#followPage();
    this.open();
  }

  /** Whether events are exchanged with the server. */
  get joined() {
    return this.state === "joined" || this.state === "synced";
  }

  /** Whether everything that is watched has been received. */
  get synced() {
    return this.state === "synced";
  }

  #followPage() {
    const page = globalThis;
    page.addEventListener?.("online", () => this.retry());
    page.addEventListener?.("pagehide", () => this.close());
    page.addEventListener?.("pageshow", ({ persisted }) => {
      if (persisted) this.retry();
    });
    page.document?.addEventListener("visibilitychange", () => {
      if (this.joined) this.watch();
      else this.retry();
    });
  }

  /** @param {ConnectionState} next */
  #moveTo(next) {
    if (next !== this.state && !TRANSITIONS[this.state].includes(next)) {
      throw new Error(`A connection that is ${this.state} cannot become ${next}.`);
    }
    this.state = next;
  }

  /**
   * Call a function at an event: `states` with the updates, `seen`, `health`, `commands`,
   * `watching` with who watches the devices that are named, `link` when the connection came or
   * went, `refused` with a sentence, `reset` when what was known before is void, or an
   * application's own event.
   * @param {string} event
   * @param {(...values: any[]) => void} listener
   */
  on(event, listener) {
    const isFirst = !this.#listeners.has(event);
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    if (event === "watching" && isFirst) this.watch(); // which asks for it
    return this;
  }

  /**
   * @param {string} event
   * @param {any[]} values
   */
  #notify(event, ...values) {
    for (const listener of this.#listeners.get(event) ?? []) listener(...values);
  }

  /**
   * Send an application's own event, at most once. Server-sent events carry none.
   * @param {string} event
   * @param {unknown[]} values
   */
  emit(event, ...values) {
    if (this.joined) this.socket?.send(`42${JSON.stringify([event, ...values])}`);
  }

  /**
   * Ask something of a device, as `CommandOutbox.send`. The event `commands` says what becomes of
   * it.
   * @param {string} device
   * @param {string} name
   * @param {Record<string, unknown>} [given] The arguments.
   * @param {CommandOptions} [options]
   * @returns {Promise<Command>}
   */
  async command(device, name, given, options) {
    const command = await this.#outbox.send(device, name, given, options);
    if (this.state === "waiting") this.retry(); // the server has just answered
    return command;
  }

  /**
   * Watch these devices from now on; others leave the board. A hidden page asks neither for beats
   * nor who watches.
   * @param {string[]} [devices]
   */
  watch(devices = this.devices) {
    if (devices.join() !== this.devices.join()) {
      // The position belongs to the old list: with it the new list would have gaps.
      this.#confirmed = false;
      this.#listChanged = true;
      this.board.position = undefined;
    }
    this.devices = [...devices];
    if (this.joined) {
      const since = this.board.position;
      const health = !isHidden();
      const presence = (health && this.#listeners.has("watching")) || undefined;
      const reset = this.board.isLost || undefined;
      this.#protocol = this.board.isWhole ? PATCHES : FULL_STATES;
      const request = { devices, since, protocol: this.#protocol, health, presence, reset };
      this.#request++;
      this.#requested.set(this.#request, this.devices);
      this.socket?.send(`42${this.#request}${JSON.stringify(["watch", request])}`);
    }
    this.#restartSilenceTimer();
  }

  /** Try now, unless everything is well. */
  retry() {
    this.probes = 0;
    if (this.synced) {
      this.socket?.probe?.();
      return;
    }
    this.#attempts = 0;
    this.open();
  }

  close() {
    clearTimeout(this.#reconnectTimer);
    clearTimeout(this.#silenceTimer);
    const { socket } = this;
    this.socket = undefined;
    this.#moveTo("closed");
    this.board.disconnectedSince ??= this.board.clock();
    socket?.close();
  }

  /**
   * Open a transport in the place of the present one.
   * @param {Transport} [socket]
   */
  open(socket = this.#newTransport()) {
    this.close();
    this.socket = socket;
    this.#moveTo("connecting");
    // A transport that was replaced may still deliver: its events are ignored.
    socket.onmessage = ({ data }) => {
      if (socket === this.socket) this.receive(data);
    };
    socket.onclose = (event) => {
      if (socket === this.socket) this.#scheduleReconnect(event?.retry);
    };
    this.#restartSilenceTimer();
  }

  /** @returns {Transport} */
  #newTransport() {
    if (this.failures >= FAILURES_BEFORE_EVENTS) return this.#loadEventStream();
    return /** @type {Transport} */ (new WebSocket(this.url));
  }

  /**
   * A placeholder, replaced by an event stream when its module has been loaded. Browsers remember
   * that a module could not be loaded; the query makes each attempt a new one.
   */
  #loadEventStream() {
    const placeholder = { send() {}, close() {} };
    import(`./event-stream.js?${this.#attempts}`).then(
      ({ EventStream }) => {
        if (this.socket === placeholder) this.open(new EventStream(this));
      },
      () => {
        if (this.socket === placeholder) this.#scheduleReconnect();
      },
    );
    return placeholder;
  }

  /** An open connection that delivers nothing is dead, whatever TCP reports. */
  #restartSilenceTimer() {
    clearTimeout(this.#silenceTimer);
    if (this.synced && isHidden()) return;
    this.#silenceTimer = setTimeout(() => {
      this.board.disconnectedSince ??= this.board.lastReceived;
      this.#scheduleReconnect();
    }, SILENCE_LIMIT);
  }

  /**
   * Come back after a random part of a growing delay ("full jitter"), so that many browsers do
   * not come back at the same moment.
   * @param {number} [delay]
   */
  #scheduleReconnect(delay) {
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempts);
    const wait = delay ?? Math.random() * longest;
    this.#attempts++;
    if (!this.synced) {
      // After the event stream failed too, the two transports take turns.
      this.failures = this.failures < FAILURES_BEFORE_EVENTS ? this.failures + 1 : 1;
    }
    this.close();
    this.#moveTo("waiting");
    this.retryAt = this.board.clock() + wait;
    this.#reconnectTimer = setTimeout(() => this.open(), wait);
    this.#notify("link");
  }

  /**
   * A packet: the first digit is Engine.IO's type, the second Socket.IO's; see docs/wire.md.
   * @param {unknown} packet
   */
  receive(packet) {
    this.board.lastReceived = this.board.clock();
    this.#restartSilenceTimer();
    const [, type, id, data] = /^(4[0-4]|.)(\d*)([^]*)$/.exec(String(packet)) ?? [];
    if (type === "0") this.socket?.send(`40${this.token && JSON.stringify({ token: this.token })}`);
    else if (type === "2") this.socket?.send("3");
    else if (type === "40") this.#join();
    else if (type === "42" && this.joined) this.#dispatch(JSON.parse(data));
    else if (type === "43" && this.joined) this.#acknowledge(Number(id), JSON.parse(data)[0]);
    else if (type === "44") this.#refuse(JSON.parse(data));
    else if (type === "1" || type === "41") this.#scheduleReconnect();
  }

  /**
   * The server does not let us in, or not any longer. What it has shown before may not be read now.
   * @param {{ message: string, data?: { status?: number } }} refusal
   */
  #refuse({ message, data: { status = 0 } = {} }) {
    if (FORBIDDEN.includes(status)) this.#notify("states", this.board.forgetAll());
    this.#notify("refused", message);
    this.#scheduleReconnect();
  }

  #join() {
    if (this.joined) return;
    this.#moveTo("joined");
    this.#requested.clear();
    this.#health = undefined;
    this.#confirmed = true;
    // Without a position the server lists everything there is.
    if (!this.board.position) this.board.beginListing();
    this.watch();
  }

  /**
   * The answer to a `watch` request. Only that to the last one counts, but what an earlier list did
   * not cover is out of date: a later one brings it again.
   * @param {number} request
   * @param {{ error?: string }} answer
   */
  #acknowledge(request, { error }) {
    const list = this.#requested.get(request);
    this.#requested.delete(request);
    if (request !== this.#request) {
      if (list && !error) this.board.keepOnly(list);
      return;
    }
    if (error) this.#notify("refused", error);
    else this.#confirmed = true;
  }

  /** @param {[event: string, ...values: any[]]} packet */
  #dispatch([event, ...values]) {
    if (event === "states") {
      this.#receiveStates(values[0]);
      return;
    }
    if (event === "seen") this.board.applySeen(values[0]);
    if (event === "health") {
      this.#health = wholeReport(this.#health, values[0]);
      if (!this.#health) return;
      this.board.applyHealth(/** @type {any} */ (this.#health));
      values = [this.#health];
    }
    this.#notify(event, ...values);
  }

  /** @param {import("./board-types.js").StatesEvent} event */
  #receiveStates(event) {
    const { board } = this;
    const wasLost = board.isLost;
    const complete = Boolean(event.complete) && this.#confirmed;
    const changed = board.applyStates({ ...event, complete });
    // Until the new list is confirmed, events and their positions belong to the old one.
    if (!this.#confirmed) board.position = undefined;
    if (complete) this.#sync();
    const maySwitch = this.synced && this.#protocol === FULL_STATES && board.isWhole;
    if (maySwitch || (board.isLost && !wasLost)) this.watch();
    if (event.reset) this.#notify("reset");
    this.#notify("states", changed);
    if (complete) this.#notify("link");
  }

  #sync() {
    this.#moveTo("synced");
    this.board.disconnectedSince = undefined;
    this.#attempts = 0;
    if (this.failures < FAILURES_BEFORE_EVENTS) {
      this.failures = 0;
      this.probes = 0;
    }
    if (this.#listChanged) this.board.keepOnly(this.devices);
    this.#listChanged = false;
  }
}
