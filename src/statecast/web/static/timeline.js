// The timeline: one lane per field, drawn as SVG over the last hour, day or week.
import { formatClock } from "./ages.js";
import {
  createElement,
  createSvgElement,
  enableButton,
  find,
  findAll,
  setAttributes,
} from "./dom.js";
import { isDescribing } from "./fields.js";
import { fetchVersions } from "./history-api.js";
import { BandLane, LineLane } from "./lane.js";
import { getOwn } from "./own.js";
import tables from "./tables.js";
import { addedFields } from "./version-log.js";
import { formatValue, splitUnit } from "./words.js";

/** @import { Board, Device } from "./board.js" */
/** @import { State } from "./fields.js" */
/** @import { Lane, Scale } from "./lane.js" */
/** @import { VersionLog } from "./version-log.js" */

const { axis_height: AXIS_HEIGHT, word_length: WORD_LENGTH } = tables.timeline;

const SHORTEST_RANGE = 10_000;
const TEN_MINUTES = 600_000;
const DAY = 86_400_000;
/** Without a change the lanes are drawn again after this time. */
const REDRAW_AFTER = 5000;
const NARROW = 500;
/** Of each lane: its name above it, and the room below. */
const LABEL_HEIGHT = 20;
const LANE_GAP = 8;
const PAGES = 5;
const PAGE_SIZE = 200;

export class Timeline {
  #svg = find("#lanes", document, SVGSVGElement);
  #readout = find("#readout");
  /** @type {Lane[]} */
  #lanes;
  /** The height of all lanes, without the axis. */
  #height = 0;
  /** The range that was chosen, in milliseconds. */
  #chosenRange = 3_600_000;
  /** The version that is read out, as its index in the log. @type {number | undefined} */
  #cursor;
  #drawnAt = 0;

  /**
   * @param {Board} board
   * @param {VersionLog} log
   * @param {() => Device} currentDevice
   */
  constructor(board, log, currentDevice) {
    this.board = board;
    this.log = log;
    this.currentDevice = currentDevice;
    /** @type {[string, string][]} */
    const fields = JSON.parse(this.#svg.dataset.lanes ?? "[]");
    this.#lanes = fields.map(([field, kind]) => createLane(field, kind));
    this.#height = this.#lanes.reduce((sum, lane) => sum + lane.height, 0);
    this.#followPointer();
    this.#followKeyboard();
    this.#followRanges();
  }

  /**
   * The device changed.
   * @param {State | null | undefined} before Its state before.
   */
  update(before) {
    // Several updates may have come since the last frame: the newest patch is not all of it.
    const { state } = this.currentDevice();
    for (const field of addedFields(before, state)) this.#addLane(field, getOwn(state, field));
    this.#readOut(this.#cursor);
  }

  /** Called with every frame. */
  tick() {
    if (!this.#drawnAt) this.#readOut(this.#cursor);
    else if (this.board.clock() - this.#drawnAt > REDRAW_AFTER) this.#draw();
  }

  /** Fetch the past as far as the chosen range shows it. */
  async fetchPast() {
    for (let page = 0; page < PAGES && !this.#reachesBack(); page++) {
      const { device } = this.currentDevice();
      const older = await fetchVersions(device, PAGE_SIZE, this.log.oldest?.version);
      if (!older.length) break;
      this.log.prepend(older);
    }
    this.#readOut(this.#cursor);
  }

  #reachesBack() {
    const { oldest, isWhole } = this.log;
    const isConnected = this.board.disconnectedSince === undefined;
    const begin = this.board.now() - this.#chosenRange;
    return !isConnected || isWhole || (oldest !== undefined && oldest.at < begin);
  }

  /**
   * A new field gets a lane. That moves what is below, but so does its new row of the state.
   * @param {string} field
   * @param {unknown} value
   */
  #addLane(field, value) {
    const kind = laneKind(value);
    const isKnown = this.#lanes.some((lane) => lane.field === field);
    if (!kind || isKnown || isDescribing(field)) return;
    if (this.#lanes.length >= tables.timeline.lanes) return;
    const lane = createLane(field, kind);
    this.#lanes.push(lane);
    this.#height += lane.height;
    setAttributes(this.#svg, { height: this.#height + AXIS_HEIGHT });
  }

  /** @returns {Scale} */
  #scale() {
    const to = this.board.now();
    const born = this.log.isWhole ? (this.log.byTime[0]?.at ?? 0) : 0;
    // A life that is shorter than the chosen range fills the lanes.
    const range = Math.max(SHORTEST_RANGE, Math.min(this.#chosenRange, to - born));
    return { from: to - range, to, range, width: this.#svg.clientWidth };
  }

  #draw() {
    const scale = this.#scale();
    /** @type {SVGElement[]} */
    const parts = [];
    let y = 0;
    for (const lane of this.#lanes) {
      parts.push(...lane.draw(this.#segments(lane.field, scale), scale, y));
      y += lane.height;
    }
    parts.push(...this.#drawUnknown(scale), ...this.#drawAxis(scale), ...this.#drawCursor(scale));
    this.#svg.replaceChildren(...parts);
    this.#drawnAt = this.board.clock();
  }

  /**
   * The values of a field within the scale; equal neighbours are one.
   * @param {string} field
   * @param {Scale} scale
   */
  #segments(field, { from, to }) {
    /** @type {{ from: number, to: number, value: any }[]} */
    const segments = [];
    for (const { at, change } of this.log.byTime) {
      // A removal ends the values of all fields.
      const value = change ? getOwn(change, field) : null;
      const last = segments.at(-1);
      if (value === undefined || last?.value === value) continue;
      if (last) last.to = at;
      segments.push({ from: at, to, value });
    }
    const { state, changed } = this.currentDevice();
    const present = getOwn(state, field);
    if (!segments.length && present !== undefined) {
      segments.push({ from: this.log.oldest?.at ?? changed, to, value: present });
    }
    return segments
      .filter((segment) => segment.to > from && segment.value !== null)
      .map((segment) => ({ ...segment, from: Math.max(segment.from, from) }));
  }

  /**
   * What is not known any more is hatched: from "last known" to now.
   * @param {Scale} scale
   */
  #drawUnknown(scale) {
    const { old, since } = this.board.verdict(this.currentDevice());
    if (!old) return [];
    const begin = Math.max(scale.from, since);
    let bottom = 0;
    // Names and ranges stand above each lane, and stay readable.
    return this.#lanes.map(({ height }) => {
      bottom += height;
      return createSvgElement("rect", {
        x: percent(begin - scale.from, scale.range),
        width: percent(scale.to - begin, scale.range),
        y: bottom - height + LABEL_HEIGHT,
        height: height - LABEL_HEIGHT - LANE_GAP,
        fill: "url(#hatch)",
      });
    });
  }

  /** @param {Scale} scale */
  #drawAxis({ from, range, width }) {
    const y = this.#height;
    const count = width < NARROW ? 2 : 4;
    const parts = [createSvgElement("line", { class: "axis", x2: "100%", y1: y, y2: y })];
    for (let tick = 0; tick <= count; tick++) {
      const isLast = tick === count;
      const text = isLast ? "now" : formatTick(from + (range * tick) / count, range);
      const anchor = isLast ? "end" : tick ? "middle" : "start";
      const x = `${(100 * tick) / count}%`;
      parts.push(createSvgElement("text", { x, y: y + 18, "text-anchor": anchor }, text));
    }
    return parts;
  }

  /** @param {Scale} scale */
  #drawCursor({ from, range }) {
    if (this.#cursor === undefined) return [];
    const at = this.log.versions[this.#cursor].at;
    const x = percent(Math.max(from, at) - from, range);
    const y = this.#height;
    return [
      createSvgElement("line", { class: "cursor", x1: x, x2: x, y2: y }),
      createSvgElement("circle", { class: "cursor", cx: x, cy: y, r: 6 }),
    ];
  }

  /**
   * Read out a version: above the lanes for the eye, as the slider's text for screen readers.
   * @param {number} [index]
   */
  #readOut(index) {
    const last = this.log.length - 1;
    const isNone = index === undefined || last < 0;
    this.#cursor = isNone ? undefined : Math.max(0, Math.min(last, index));
    const words = this.#cursor === undefined ? [] : this.#describe(this.#cursor);
    this.#readout.replaceChildren(
      ...words.map((text, place) => createElement(place ? "span" : "b", {}, text)),
    );
    setAttributes(this.#svg, {
      "aria-valuemin": 0,
      "aria-valuemax": Math.max(0, last),
      "aria-valuenow": this.#cursor ?? Math.max(0, last),
      "aria-valuetext": words.join(", ") || "now",
    });
    this.#draw();
  }

  /** @param {number} index */
  #describe(index) {
    const { at, version } = this.log.versions[index];
    const words = [formatClock(at, this.board.now()), `version ${version}`];
    for (const { field } of this.#lanes) {
      const value = this.log.valueAt(field, index);
      const [label] = splitUnit(field, value);
      if (value !== null) words.push(`${label} ${formatValue(field, value)}`);
    }
    return words;
  }

  #followPointer() {
    /** @param {PointerEvent} event */
    const point = ({ clientX }) => {
      const { left, width } = this.#svg.getBoundingClientRect();
      const { to, range } = this.#scale();
      this.#readOut(this.log.indexAt(to - range * (1 - (clientX - left) / width)));
    };
    const leave = () => this.#readOut();
    this.#svg.addEventListener("pointermove", point);
    this.#svg.addEventListener("pointerdown", point);
    this.#svg.addEventListener("pointerleave", leave);
    this.#svg.addEventListener("blur", leave);
  }

  /** One stop of the Tab key, with the arrow keys inside. */
  #followKeyboard() {
    setAttributes(this.#svg, { tabindex: 0, role: "slider", "aria-label": "Timeline" });
    this.#svg.addEventListener("keydown", (event) => {
      const target = this.#targetOf(event.key);
      if (target === undefined) return;
      event.preventDefault();
      this.#readOut(target);
    });
  }

  /** @param {string} key */
  #targetOf(key) {
    const last = this.log.length - 1;
    const here = this.#cursor ?? last;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowLeft: here - 1,
      ArrowRight: here + 1,
      PageUp: here - 10,
      PageDown: here + 10,
      Home: 0,
      End: last,
    };
    return targets[key];
  }

  #followRanges() {
    const buttons = findAll("#ranges button");
    for (const button of buttons) {
      enableButton(button, () => {
        this.#chosenRange = Number(button.dataset.range);
        for (const other of buttons) setAttributes(other, { "aria-pressed": other === button });
        this.fetchPast();
      });
    }
  }
}

/**
 * @param {string} field
 * @param {string} kind
 * @returns {Lane}
 */
function createLane(field, kind) {
  return kind === "number" ? new LineLane(field) : new BandLane(field);
}

/** @param {unknown} value */
function laneKind(value) {
  if (typeof value === "number") return "number";
  const isWord = typeof value === "string" && value.length <= WORD_LENGTH;
  return typeof value === "boolean" || isWord ? "band" : undefined;
}

/**
 * @param {number} part
 * @param {number} whole
 */
function percent(part, whole) {
  return `${((part / whole) * 100).toFixed(3)}%`;
}

/**
 * @param {number} at
 * @param {number} range
 */
function formatTick(at, range) {
  if (range > DAY) {
    return new Date(at).toLocaleDateString([], { day: "numeric", month: "short" });
  }
  return formatClock(at, at).slice(0, range < TEN_MINUTES ? 8 : 5);
}
