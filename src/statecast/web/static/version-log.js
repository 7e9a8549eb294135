// What is known of a device's past: its versions, oldest first, each with what it changed.
import { isLate } from "./ages.js";
import { getOwn } from "./own.js";

/** @import { Device } from "./board.js" */
/** @import { Cause } from "./board-types.js" */
/** @import { State } from "./fields.js" */

const LONGEST_LOG = 5000;

/**
 * @typedef {object} Version
 * @property {number} at
 * @property {number} version
 * @property {State | null} change A merge patch; null if the device was removed.
 * @property {Cause} [cause]
 * @property {boolean} [isLate] Whether it arrived long after it happened.
 */

/**
 * The first rows are in the HTML, without their causes: `[at, version, change]`, newest first.
 * @param {[number, number, State | null][]} rows
 * @returns {Version[]}
 */
export function readEmbeddedVersions(rows) {
  return rows.map(([at, version, change]) => ({ at, version, change })).reverse();
}

/**
 * The merge patch (RFC 7396) from one state to the next, of top-level fields.
 * @param {State | null | undefined} before
 * @param {State | null | undefined} after
 * @returns {State | null}
 */
export function mergePatch(before, after) {
  if (!after) return null;
  const names = Object.keys({ ...before, ...after });
  const changed = names.filter(
    (name) => JSON.stringify(getOwn(before, name)) !== JSON.stringify(getOwn(after, name)),
  );
  return Object.fromEntries(changed.map((name) => [name, getOwn(after, name) ?? null]));
}

/**
 * The fields that a state has and an earlier one did not have.
 * @param {State | null | undefined} before
 * @param {State | null | undefined} after
 */
export function addedFields(before, after) {
  const changes = Object.entries(mergePatch(before, after) ?? {});
  return changes
    .filter(([name, value]) => value !== null && getOwn(before, name) == null)
    .map(([name]) => name);
}

export class VersionLog {
  /**
   * The versions that were not received, from the first to the one after the last: of several
   * versions within a moment, or of those while the page was offline, only the last one comes.
   * @type {{ from: number, to: number } | undefined}
   */
  gap;

  /** @param {Version[]} versions Oldest first. */
  constructor(versions) {
    this.versions = versions;
  }

  get length() {
    return this.versions.length;
  }

  /** @returns {Version | undefined} */
  get oldest() {
    return this.versions[0];
  }

  /** All versions in the order in which they happened: one that arrived late is not the newest. */
  get byTime() {
    return [...this.versions].sort((one, other) => one.at - other.at);
  }

  /** Whether the first version of the device is known. */
  get isWhole() {
    return this.oldest?.version === 1;
  }

  /**
   * @param {Device} device
   * @param {State | null | undefined} before
   */
  add(device, before) {
    if (this.versions.length > LONGEST_LOG) this.versions.shift();
    const { version = 0 } = device;
    const expected = (this.versions.at(-1)?.version ?? version - 1) + 1;
    if (version > expected) this.gap = { from: this.gap?.from ?? expected, to: version };
    this.versions.push({
      at: device.changed,
      version,
      change: mergePatch(before, device.state),
      cause: device.cause,
      isLate: isLate(device.changed, device.arrived),
    });
  }

  /**
   * Put versions where they belong, each in the place of what was received for it.
   * @param {Version[]} found
   */
  fill(found) {
    const byVersion = new Map([...this.versions, ...found].map((row) => [row.version, row]));
    this.versions = [...byVersion.values()].sort((one, other) => one.version - other.version);
    if (found.some(({ version }) => version === this.gap?.to)) this.gap = undefined;
  }

  /** @param {Version[]} older Newest first, as the server answers. */
  prepend(older) {
    const first = this.oldest?.version ?? Infinity;
    const missing = older.filter(({ version }) => version < first);
    this.versions.unshift(...missing.reverse());
  }

  /**
   * The value of a top-level field after a version; null if it was removed or is unknown.
   * @param {string} field
   * @param {number} index
   */
  valueAt(field, index) {
    for (let place = index; place >= 0; place--) {
      const { change } = this.versions[place];
      const value = change ? getOwn(change, field) : undefined;
      if (value !== undefined) return value;
    }
    return null;
  }

  /**
   * The last version at a time, or -1.
   * @param {number} at
   */
  indexAt(at) {
    return this.versions.findLastIndex((version) => version.at <= at);
  }

  /** @param {number} version */
  find(version) {
    return this.versions.find((row) => row.version === version);
  }

  /** @param {number} version */
  after(version) {
    return this.versions.filter((row) => row.version > version);
  }

  /**
   * At most a hundred versions before one, the newest first.
   * @param {Version} version
   */
  before(version) {
    const index = this.versions.indexOf(version);
    return this.versions.slice(Math.max(0, index - 100), index).reverse();
  }
}
