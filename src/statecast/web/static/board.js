// The board: the latest state of every device, the position in the store's history, the clock of
// the server, and how fresh all of it is. No DOM and no network.

import { deviceFromWire, mergeItem } from "./state-item.js";

/** @import { HealthEvent, Problem, SourceHealth } from "./board-types.js" */
/** @import { PatchItem, StateItem, StatesEvent } from "./board-types.js" */

const STORE_BLOCKED = "Store blocked";
const QUEUE_AWAY = "Queue away";
const OFFLINE_AFTER = 3000;
/** With the second between two drawings a mark turns within 5 s. */
const AWAY_AFTER = 4000;

/** @typedef {import("./board-types.js").Device} Device */
/** @typedef {import("./board-types.js").Verdict} Verdict */
/** @typedef {{ epoch: string, offset: number, scope?: string }} Position */
/** @typedef {string | undefined} Gone */
/** @typedef {[now: Device, before: Device | undefined]} Update */

/**
 * Whether a list of names and patterns, like `["pillow", "floor2/*"]`, covers a device.
 * @param {readonly string[]} watched
 * @param {string} device
 */
export function isWatched(watched, device) {
  return watched.some(
    (name) =>
      name === "*" ||
      name === device ||
      (name.endsWith("/*") && device.startsWith(name.slice(0, -1))),
  );
}

/**
 * The same version again: it may have a newer sign of life, and what the HTML does not hold.
 * @param {Device} device
 * @param {StateItem | PatchItem} item
 */
function repeat(device, item) {
  if (device.version === undefined && "state" in item) Object.assign(device, deviceFromWire(item));
  else if (item.seen_at) device.seen = Date.parse(item.seen_at);
}

export class Board {
  /** @type {Map<string, Device>} Every device that is present. */
  devices = new Map();
  /** @type {Map<string, SourceHealth>} */
  sources = new Map();
  /** @type {Map<string, number>} Since when a source has not been connected. */
  away = new Map();
  /** What is wrong on the server, the worst first. @type {Problem[]} */
  problems = [];
  /** How many messages wait in quarantine. @type {number | undefined} */
  quarantined;
  /** The server's clock minus the browser's. */
  clockSkew = 0;
  /** @type {Position | undefined} Everything up to here has been applied. */
  position;
  /**
   * While the server lists everything there is: the devices listed so far. When the list is
   * complete, all others are gone.
   * @type {Set<string> | undefined}
   */
  listed;
  /** Why devices may be missing in it, if not only because they were removed. @type {Gone} */
  #unlisted;
  /** Whether a patch did not fit: then everything is needed again, and no position holds. */
  isLost = false;

  /** The run of the store's history that the offsets below belong to. */
  #epoch = "";
  /** @type {Map<string, number>} The offset applied last per device, removed ones included. */
  #offsets = new Map();

  /** @param {() => number} [clock] The clock of the browser. */
  constructor(clock = Date.now) {
    this.clock = clock;
    /** When something was received last, by the browser's clock. */
    this.lastReceived = clock();
    /** @type {number | undefined} Since when there is no connection, by the browser's clock. */
    this.disconnectedSince = clock();
  }

  /**
   * Begin with what the HTML shows: everything up to a position.
   * @param {Position} position
   */
  startFrom(position) {
    this.#epoch = position.epoch;
    this.position = position;
  }

  /**
   * A device that the HTML shows.
   * @param {Device} device
   */
  addKnown(device) {
    this.devices.set(device.device, device);
    if (device.offset !== undefined) this.#offsets.set(device.device, device.offset);
  }

  /** Whether all of each device is here. Of those that the HTML shows it is not at first. */
  get isWhole() {
    for (const { version } of this.devices.values()) {
      if (version === undefined) return false;
    }
    return true;
  }

  /** Without a position the server lists everything there is. */
  beginListing() {
    this.listed = new Set();
    this.#unlisted = undefined;
    this.isLost = false;
  }

  /** The time of the server. */
  now() {
    return this.clock() + this.clockSkew;
  }

  /** When something was received last, by the server's clock. */
  get lastReceivedAt() {
    return this.lastReceived + this.clockSkew;
  }

  /**
   * Apply a `states` event. Returns the devices that it changed, each with what it was before.
   * An item counts only if its offset is above what is held for its device, and the position
   * never goes back: a late or repeated event changes nothing.
   * @param {StatesEvent} event
   * @returns {Update[]}
   */
  applyStates({ epoch, offset, scope, states, reset = false, complete = false }) {
    // The same list in another scope: the rights have changed.
    const known = this.position?.scope;
    const otherRights = reset && known !== undefined && known !== scope;
    if (reset || (epoch !== undefined && epoch !== this.#epoch)) {
      this.#epoch = epoch ?? "";
      this.#offsets.clear();
      this.position = undefined;
    }
    if (reset) this.beginListing();
    if (otherRights) this.#unlisted = "forbidden";
    /** @type {Update[]} */
    const changed = [];
    for (const item of states) {
      this.listed?.add(item.device);
      const update = item.gone ? this.#forget(item) : this.#apply(item);
      if (update) changed.push(update);
    }
    if (complete && this.listed) changed.push(...this.#removeUnlisted(this.listed));
    this.#advance({ ...this.position, offset, ...(epoch !== undefined && { epoch, scope }) });
    return changed;
  }

  /** @param {{ epoch?: string, offset: number, scope?: string }} place What an event says of it. */
  #advance({ epoch, offset, scope }) {
    const { position } = this;
    if (this.isLost || epoch === undefined) {
      this.position = undefined; // the offset alone is none
    } else if (!position || scope !== position.scope || offset > position.offset) {
      this.position = { epoch, offset, scope };
    }
  }

  /** Nothing that is here may be read any more. @returns {Update[]} */
  forgetAll() {
    this.position = undefined;
    const gone = "forbidden";
    return [...this.devices.keys()].flatMap((device) => {
      const update = this.#forget({ device, gone });
      return update ? [update] : [];
    });
  }

  /**
   * A device that may no longer be read. Should it come again, it comes like a new one.
   * @param {{ device: string, gone?: string }} item
   * @returns {Update | undefined}
   */
  #forget({ device, gone }) {
    const before = this.devices.get(device);
    this.devices.delete(device);
    this.#offsets.delete(device);
    return before && [{ ...before, state: null, gone }, before];
  }

  /**
   * @param {StateItem | PatchItem} item
   * @returns {Update | undefined}
   */
  #apply(item) {
    const { device: name, offset } = item;
    const before = this.devices.get(name);
    const held = this.#offsets.get(name) ?? -1;
    if (offset <= held) {
      if (offset === held && before) repeat(before, item);
      return undefined;
    }
    const device = "from" in item ? mergeItem(before, item) : deviceFromWire(item);
    if (!device) {
      this.isLost = true;
      return undefined;
    }
    this.#offsets.set(name, offset);
    if (device.state) this.devices.set(name, device);
    else this.devices.delete(name);
    return [device, before];
  }

  /**
   * The complete list names everything there is, even when a reconnect divided it: a device that
   * it left out was removed in the meantime, or may no longer be read.
   * @param {Set<string>} listed
   * @returns {Update[]}
   */
  #removeUnlisted(listed) {
    this.listed = undefined;
    for (const name of this.#offsets.keys()) {
      if (!listed.has(name)) this.#offsets.delete(name);
    }
    /** @type {Update[]} */
    const removed = [];
    for (const [name, before] of this.devices) {
      if (listed.has(name)) continue;
      this.devices.delete(name);
      removed.push([{ ...before, state: null, gone: this.#unlisted }, before]);
    }
    return removed;
  }

  /**
   * Forget the devices that a new watch list no longer covers.
   * @param {readonly string[]} watched
   */
  keepOnly(watched) {
    for (const name of this.devices.keys()) {
      if (isWatched(watched, name)) continue;
      this.devices.delete(name);
      this.#offsets.delete(name);
    }
  }

  /**
   * Apply a `seen` event: devices that sent something that changed nothing.
   * @param {Record<string, string>} times
   */
  applySeen(times) {
    for (const [name, at] of Object.entries(times)) {
      const device = this.devices.get(name);
      if (device) device.seen = Date.parse(at);
    }
  }

  /**
   * Apply a `health` event: the time of the server, the health of its sources, and what is wrong.
   * @param {HealthEvent} report
   */
  applyHealth({ now, sources, problems = [], quarantined = 0 }) {
    this.problems = problems;
    this.quarantined = quarantined;
    this.clockSkew = Date.parse(now) - this.clock();
    this.#takeBackFuture();
    this.sources = new Map(Object.entries(sources ?? {}));
    // A source that no process reports is read by no process.
    for (const { source } of this.devices.values()) {
      if (source && !this.sources.has(source)) this.sources.set(source, {});
    }
    for (const [name, { status, since }] of this.sources) {
      if (status === "connected") this.away.delete(name);
      else if (!this.away.has(name)) this.away.set(name, Date.parse(since ?? "") || this.now());
    }
  }

  /**
   * The clock of the server was set back: what it said before has happened by now, or a device
   * would count as live until the clock is there again.
   */
  #takeBackFuture() {
    const now = this.now();
    for (const device of this.devices.values()) {
      device.changed = Math.min(device.changed, now);
      if (device.seen !== undefined) device.seen = Math.min(device.seen, now);
    }
  }

  /** Whether the connection has been gone for longer than a blip. */
  get offline() {
    const since = this.disconnectedSince;
    return since !== undefined && this.clock() - since >= OFFLINE_AFTER;
  }

  /**
   * Since when a source is away, unless it is a blip.
   * @param {string | null | undefined} source
   */
  awaySince(source) {
    const since = source ? this.away.get(source) : undefined;
    return since !== undefined && this.now() - since >= AWAY_AFTER ? since : undefined;
  }

  /**
   * Whether a queue can be read, and only the store takes nothing from it.
   * @param {string | null | undefined} source
   */
  isBlocked(source) {
    return this.sources.get(source ?? "")?.status === "blocked";
  }

  /** Why devices are away: the store, if it is that for all of them. */
  get awayWord() {
    const away = [...this.sources.keys()].filter((name) => this.awaySince(name) !== undefined);
    const isStore = away.length > 0 && away.every((name) => this.isBlocked(name));
    return isStore ? STORE_BLOCKED : QUEUE_AWAY;
  }

  /**
   * Until when the state of a device was known to be true, now that the page is offline: not longer
   * than its queue was read, and not after a silent device was last heard.
   * @param {Device} device
   */
  #lastKnown({ seen, changed, source, silentAfter }) {
    const received = this.lastReceivedAt;
    const read = Math.min(received, this.awaySince(source) ?? received);
    const heard = seen ?? changed;
    const wasSilent = silentAfter !== undefined && received - heard > silentAfter * 1000;
    return wasSilent ? Math.min(read, heard) : read;
  }

  /**
   * How far the state of a device can be believed. The widest trouble wins.
   * @param {Device} device
   * @returns {Verdict}
   */
  verdict(device) {
    const { state, seen, changed, source, silentAfter, gone } = device;
    const heard = seen ?? changed;
    const away = this.awaySince(source);
    if (state === null) {
      const word = gone ? "Hidden" : "Removed";
      return { key: "gone", mark: "gone", word, since: changed, old: false };
    }
    if (this.offline) {
      return {
        key: "lost",
        mark: "lost",
        word: "Last known",
        since: this.#lastKnown(device),
        old: true,
      };
    }
    if (away !== undefined) {
      const word = this.isBlocked(source) ? STORE_BLOCKED : QUEUE_AWAY;
      return { key: "away", mark: "away", word, since: away, old: true };
    }
    if (!silentAfter) {
      const word = seen ? "Seen" : "Set";
      return { key: "undated", mark: "unknown", word, since: heard, old: false };
    }
    if (this.now() - heard > silentAfter * 1000) {
      return { key: "silent", mark: "late", word: "Silent", since: heard, old: true };
    }
    return { key: "live", mark: "live", word: "Live", since: changed, old: false };
  }
}
