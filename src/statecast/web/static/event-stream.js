// The live endpoint by server-sent events, for networks that block WebSocket. To a connection it
// is one more transport: it delivers the same packets as a WebSocket.
import { isWatched } from "./board.js";
import { StreamSlot, isHidden } from "./stream-slot.js";

/** Bytes of a URL: our server and most proxies accept 8 KiB. */
const LONGEST_URL = 8000;
const ANSWER_LIMIT = 5000;
const FIRST_PROBE = 1000;
const LATER_PROBE = 30_000;
/** Without a stream of its own a page asks so often. */
const POLL = 1500;
const HIDDEN_POLL = 5000;
/** The pause between probes doubles so often: up to 16 minutes. */
const DOUBLINGS = 5;

const URI_TOO_LONG = 414;
const HEADERS_TOO_LARGE = 431;

/**
 * What an event stream needs of its connection.
 * @typedef {object} Owner
 * @property {string} url
 * @property {string[]} devices
 * @property {import("./board.js").Board} board
 * @property {string} token
 * @property {number} probes
 * @property {number} failures
 * @property {(socket: any) => void} open
 * @property {(packet: string) => void} receive
 */

/**
 * A `watch` request.
 * @typedef {object} WatchRequest
 * @property {string[]} devices
 * @property {import("./board.js").Position} [since]
 * @property {1 | 2} protocol
 * @property {boolean} [reset] Whether what was here is lost.
 * @property {boolean} health
 * @property {boolean} [presence]
 * @property {boolean} [once] Whether the answer ends when it is complete.
 */

export class EventStream {
  /** @type {((event: { data: string }) => void) | undefined} */
  onmessage;
  /** @type {((event: { retry?: number }) => void) | undefined} */
  onclose;
  /** The request that is being read. @type {AbortController | undefined} */
  #request;
  /** A WebSocket that may take over. @type {WebSocket | undefined} */
  #candidate;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #probeTimer;
  #slot = new StreamSlot();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pollTimer;
  /** Whether the answer that is being read has brought everything. */
  #isComplete = false;
  /** Whether the list of devices does not fit into a URL: then everything is requested. */
  #unfiltered = false;

  /** @param {Owner} owner */
  constructor(owner) {
    this.owner = owner;
    this.url = new URL("../events", owner.url.replace(/^ws/, "http")).href;
    // There is nothing to join: the devices are named in the request.
    queueMicrotask(() => this.#deliver("40"));
  }

  /** @param {string} packet */
  #deliver(packet) {
    this.onmessage?.({ data: packet });
  }

  close() {
    clearTimeout(this.#probeTimer);
    clearTimeout(this.#pollTimer);
    this.#slot.close();
    this.onmessage = undefined;
    this.onclose = undefined;
    this.#request?.abort();
    this.#candidate?.close();
  }

  /**
   * Of all that a viewer may send, only `watch` can be requested; events need WebSocket.
   * @param {string} packet
   */
  send(packet) {
    const [, id, data] = /^42(\d+)(\["watch",.*)$/s.exec(packet) ?? [];
    if (id) this.#follow(id, JSON.parse(data)[1]);
  }

  /** @param {WatchRequest} request */
  #address({ devices, since, protocol, health, presence, once, reset }) {
    const query = new URLSearchParams({ protocol: String(protocol) });
    if (reset) query.set("reset", "1");
    if (once) query.set("once", "1");
    if (health) query.set("health", "1");
    if (presence) query.set("presence", "1");
    if (since) {
      const { epoch, offset, scope } = since;
      query.set("since", `${epoch}:${offset}${scope ? `:${scope}` : ""}`);
    }
    const unfiltered = `${this.url}?${query}`;
    for (const device of devices) query.append("device", device);
    const filtered = `${this.url}?${query}`;
    this.#unfiltered ||= filtered.length > LONGEST_URL;
    return this.#unfiltered ? unfiltered : filtered;
  }

  /**
   * Request the devices, and read the answer until it ends.
   * @param {string} id The number of the `watch` request.
   * @param {WatchRequest} request
   */
  async #follow(id, request) {
    clearTimeout(this.#pollTimer);
    this.#request?.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    request.once = !(await this.#slot.acquire());
    if (signal.aborted) return;
    this.#isComplete = false;
    // Without a position the server lists what there is, and not what was removed.
    if (!request.since) this.owner.board.beginListing();
    const limit = setTimeout(() => this.#end(signal), ANSWER_LIMIT);
    let retry;
    try {
      const response = await this.#fetch(request, signal);
      clearTimeout(limit);
      retry = await this.#handle(response, id, signal);
    } catch {
      // The stream broke off; the connection comes back.
    }
    clearTimeout(limit);
    if (request.once && this.#isComplete && !signal.aborted) this.#followLater(id, request);
    else this.#end(signal, retry);
  }

  /**
   * @param {string} id
   * @param {WatchRequest} request
   */
  #followLater(id, request) {
    const pause = (isHidden() ? HIDDEN_POLL : POLL) * (0.75 + Math.random() / 2);
    this.#pollTimer = setTimeout(() => {
      this.#follow(id, { ...request, since: this.owner.board.position });
    }, pause);
  }

  /**
   * @param {AbortSignal} signal
   * @param {number} [retry]
   */
  #end(signal, retry) {
    if (!signal.aborted) this.onclose?.({ retry });
  }

  /**
   * @param {WatchRequest} request
   * @param {AbortSignal} signal
   */
  async #fetch(request, signal) {
    const headers = { accept: "text/event-stream" };
    /** @type {RequestInit} */
    const options = { signal, cache: "no-store", headers };
    const { token } = this.owner;
    if (token) options.headers = { ...headers, authorization: `Bearer ${token}` };
    const response = await fetch(this.#address(request), options);
    const tooLong = response.status === URI_TOO_LONG || response.status === HEADERS_TOO_LARGE;
    if (!tooLong || this.#unfiltered) return response;
    this.#unfiltered = true;
    return fetch(this.#address(request), options);
  }

  /**
   * @param {Response} response
   * @param {string} id
   * @param {AbortSignal} signal
   * @returns {Promise<number | undefined>} When to come back, if the server said it.
   */
  async #handle(response, id, signal) {
    const { status } = response;
    if (status >= 400 && status <= 403) {
      const message = (await response.text()).trim();
      if (status === 400) this.#deliver(`43${id}${JSON.stringify([{ error: message }])}`);
      else this.#deliver(`44${JSON.stringify({ message, data: { status } })}`);
    }
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || !response.body || !type.startsWith("text/event-stream")) return undefined;
    this.#deliver(`43${id}[{}]`);
    this.#probeTimer ??= this.#scheduleProbe();
    return this.#read(response.body, signal);
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortSignal} signal
   * @returns {Promise<number | undefined>}
   */
  async #read(body, signal) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    let retry;
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return retry;
      const events = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) {
        const delay = fieldOf(event, "retry");
        if (delay) retry = Number(delay);
        this.#deliver(this.#toPacket(event));
        if (signal.aborted) return retry;
      }
    }
  }

  /**
   * An event without data only shows that the server is there, like Engine.IO's no-op packet.
   * @param {string} event
   */
  #toPacket(event) {
    const data = fieldOf(event, "data");
    if (!data) return "6";
    if (fieldOf(event, "event") === "refused") return `44${data}`;
    if (data.endsWith('"complete":true}')) this.#isComplete = true;
    const name = fieldOf(event, "event");
    return `42[${JSON.stringify(name)},${name === "states" ? this.#filter(data) : data}]`;
  }

  /**
   * Of an unfiltered stream, only the devices that are watched.
   * @param {string} data
   */
  #filter(data) {
    if (!this.#unfiltered) return data;
    const event = JSON.parse(data);
    /** @param {{ device: string }} item */
    const wanted = ({ device }) => isWatched(this.owner.devices, device);
    return JSON.stringify({ ...event, states: event.states.filter(wanted) });
  }

  /** HTTP works, so WebSocket may work soon; the pauses between the probes grow. */
  #scheduleProbe() {
    const { owner } = this;
    const doublings = Math.min(owner.probes - 1, DOUBLINGS);
    const pause = owner.probes ? LATER_PROBE * 2 ** doublings : FIRST_PROBE;
    owner.probes++;
    return setTimeout(() => this.probe(), pause * (0.5 + Math.random()));
  }

  /** Switch to WebSocket if it can be joined by now; this stream goes on until then. */
  probe() {
    clearTimeout(this.#probeTimer);
    // This probe is the first one: the next must not end it before it had time to join.
    this.owner.probes ||= 1;
    this.#probeTimer = this.#scheduleProbe();
    this.#candidate?.close();
    const socket = new WebSocket(this.owner.url);
    this.#candidate = socket;
    const limit = setTimeout(() => socket.close(), ANSWER_LIMIT);
    socket.onclose = () => clearTimeout(limit);
    socket.onmessage = ({ data }) => {
      if (data[0] === "0") {
        socket.send("40");
      } else if (String(data).startsWith("40")) {
        clearTimeout(limit);
        this.#switchTo(socket, data);
      } else {
        socket.close();
      }
    };
  }

  /**
   * @param {WebSocket} socket
   * @param {string} joined The packet that let it join.
   */
  #switchTo(socket, joined) {
    this.#candidate = undefined;
    this.owner.failures = 0;
    this.owner.open(socket);
    this.owner.receive(joined);
  }
}

/**
 * @param {string} event
 * @param {string} name
 */
function fieldOf(event, name) {
  return new RegExp(`(?:^|\\n)${name}: ?([^\\n]*)`).exec(event)?.[1];
}
