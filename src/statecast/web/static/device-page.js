// The page of one device. What changes do to its picture, fields, timeline and history is loaded
// once the page is live.
import { formatAge, isLate } from "./ages.js";
import { CommandButtons } from "./command-buttons.js";
import { CommandLog, readCommand } from "./command-log.js";
import { displayName } from "./device-name.js";
import { find, findOptional, restartClass, setAttributes, setText } from "./dom.js";
import { showFreshness } from "./freshness.js";
import { LivePage } from "./page.js";
import { readEmbeddedVersions, VersionLog } from "./version-log.js";

/** @import { Device } from "./board.js" */
/** @import { KnownCommand } from "./command-log.js" */
/** @import { Command } from "./command-types.js" */
/** @import { Gallery } from "./gallery.js" */
/** @import { History } from "./history.js" */
/** @import { SendForm } from "./send-form.js" */
/** @import { StateTable } from "./state-table.js" */
/** @import { Timeline } from "./timeline.js" */
/** @import { State } from "./fields.js" */

/**
 * What is loaded once the page is live.
 * @typedef {object} Parts
 * @property {typeof import("./picture.js").showPicture} showPicture
 * @property {typeof import("./picture-rules.js").isForeignImage} isForeignImage
 * @property {typeof import("./device-words.js").describeDevice} describeDevice
 * @property {typeof import("./device-words.js").mainWord} mainWord
 * @property {Gallery} gallery
 * @property {StateTable} table
 * @property {Timeline} timeline
 * @property {History} history
 */

const PICTURE_MOVES_FOR = 4000;
const SPEECH_PAUSE = 10_000;
/** Versions that are fetched at once, and the pause until the next ones. */
const MOST_MISSING = 200;
const FILL_PAUSE = 1000;
/** Commands of which the page asks what became of them, and the pause until it asks again. */
const MOST_OVERDUE = 100;
const OVERDUE_PAUSE = 5000;

class DevicePage {
  #page = new LivePage();
  #article = find("#device");
  #sky = find("#one .sky");
  #heading = find("#one h1");
  #raw = find("#raw");
  #device = this.#readDevice();
  #log = new VersionLog(
    readEmbeddedVersions(JSON.parse(find("#rows", document).textContent ?? "")),
  );
  /** Whether an update has not been drawn yet. */
  #isDirty = false;
  /** The state that is drawn, while an update waits. @type {State | null | undefined} */
  #before;
  #commands = new CommandLog();
  /** @type {CommandButtons | undefined} */
  #buttons;
  /** @type {SendForm | undefined} */
  #form;
  /** @type {Parts | undefined} */
  #parts;
  #isLoading = false;
  #isFilling = false;
  /** Changes since the last announcement. */
  #unspoken = 0;
  #spokenAt = 0;

  async start() {
    // A page that says "live" reacts to its controls.
    await this.#loadControls();
    const { device } = this.#device;
    // A page of the only device also watches for a second one.
    const devices = "only" in this.#page.data ? ["*", device] : [device];
    this.#page.start({
      devices,
      update: (device) => this.#update(device),
      draw: () => this.#draw(),
      present: () => [this.#device],
      title: () => this.#title(),
    });
    this.#page.connection?.on("watching", ([{ count, names }]) => {
      const place = find("[data-show=watching]");
      setText(place, `${count} watching`);
      place.title = names.join(", ");
    });
    this.#startCommands();
  }

  #startCommands() {
    const { connection, announcer } = this.#page;
    if (!connection) return;
    const shown = JSON.parse(find("#asked").dataset.commands ?? "[]");
    this.#commands.add(shown.map(readCommand));
    const learn = (/** @type {KnownCommand[]} */ commands) => this.#learn(commands);
    this.#buttons = new CommandButtons(
      connection,
      this.#commands,
      () => this.#device,
      announcer,
      learn,
    );
    connection.on("reset", () => this.#commands.clear());
    connection.on("commands", (/** @type {Command[]} */ items) => {
      const own = items.filter(({ device }) => device === this.#device.device);
      this.#learn(own.map(readCommand));
    });
    this.#askOverdue();
  }

  /** @param {KnownCommand[]} commands What the server says of commands. */
  #learn(commands) {
    const { board } = this.#page;
    const news = this.#commands.add(commands, board.clock());
    this.#parts?.history.updateCommands(news);
    this.#page.draw();
  }

  /** An event may have been missed: no command may be shown as open after its deadline. */
  async #askOverdue() {
    const { board } = this.#page;
    if (!board.offline && this.#commands.hasOverdue(board.now())) {
      const { fetchCommands } = await import("./history-api.js");
      const { commands } = await fetchCommands(this.#device.device, MOST_OVERDUE);
      this.#learn(commands);
    }
    setTimeout(() => this.#askOverdue(), OVERDUE_PAUSE);
  }

  /** What only some pages have; the HTML names the modules, so that they are here already. */
  async #loadControls() {
    await this.#loadForm();
    if (findOptional("#find")) {
      const { SearchBox } = await import("./search-box.js");
      SearchBox.find(this.#page.root);
    }
    if (findOptional(".sky > img")) {
      const { watchImages } = await import("./gallery.js");
      watchImages();
    }
  }

  /** The form of devices that take no commands. */
  async #loadForm() {
    if (this.#form || !findOptional("#send:not([hidden])")) return;
    const { SendForm } = await import("./send-form.js");
    this.#form ??= new SendForm(this.#device.device);
  }

  /** @returns {Device} */
  #readDevice() {
    const device = this.#page.addKnownDevice(this.#article);
    const isGone = this.#article.classList.contains("gone");
    device.state = isGone ? null : JSON.parse(this.#raw.textContent ?? "{}");
    return device;
  }

  /** @param {Device} device */
  #update(device) {
    if (device.device !== this.#device.device) {
      if (device.state) this.#mention(device);
      return;
    }
    if (!this.#isDirty) this.#before = this.#device.state;
    this.#log.add(device, this.#device.state);
    this.#device = device;
    this.#isDirty = true;
    this.#fillGap();
  }

  /** Fetch the versions that did not come, not too often. */
  async #fillGap() {
    if (!this.#log.gap || this.#isFilling) return;
    this.#isFilling = true;
    const { fetchVersions } = await import("./history-api.js");
    const { from, to } = this.#log.gap;
    const count = Math.min(to - from + 1, MOST_MISSING);
    const found = await fetchVersions(this.#device.device, count, to + 1);
    this.#log.fill(found);
    this.#parts?.history.fill(found);
    setTimeout(() => {
      this.#isFilling = false;
      this.#fillGap();
    }, FILL_PAUSE);
  }

  /** @param {Device} device */
  #mention(device) {
    const others = find("#others");
    setText(find("b", others), `New: ${displayName(device)}.`);
    others.hidden = false;
  }

  #draw() {
    showFreshness(this.#article, this.#device, this.#page.board);
    this.#showHeard();
    this.#buttons?.draw();
    this.#loadForm();
    this.#loadParts();
    if (!this.#parts) return;
    // Picture and words change together, or not yet.
    const isChanged = this.#isDirty && this.#showPicture(this.#parts);
    if (isChanged) this.#change(this.#parts);
    this.#parts.table.tick();
    this.#parts.timeline.tick();
    this.#speak(this.#parts);
  }

  #showHeard() {
    const { seen, silentAfter } = this.#device;
    const heard = seen ? formatAge(seen, this.#page.board.now()) : "never";
    const limit = seen && silentAfter ? `, silent after ${silentAfter} s` : "";
    setText(find("[data-show=heard]"), heard + limit);
  }

  /** @param {Parts} parts */
  #showPicture({ showPicture, isForeignImage, gallery }) {
    const { state, gone } = this.#device;
    const left = gone ? "may not be shown any more" : "was removed";
    if (!state) removePicture(this.#sky, `${displayName(this.#device)} ${left}`);
    else if (!showPicture(this.#sky, this.#device, gallery)) return false;
    find("[data-note=foreign]").hidden = !isForeignImage(state ?? {});
    if (this.#sky.dataset.picture !== "image") find("[data-note=missing]").hidden = true;
    return true;
  }

  /** @param {Parts} parts */
  #change({ table, timeline, history }) {
    const { state, version = "", source } = this.#device;
    this.#isDirty = false;
    this.#unspoken++;
    if (state) restartClass(this.#sky, "new", PICTURE_MOVES_FOR);
    setText(this.#heading, displayName(this.#device));
    const { changed, arrived } = this.#device;
    const arrivedLater = isLate(changed, arrived) ? ", arrived later" : "";
    setText(find("[data-show=version]"), `${version}${arrivedLater}`);
    setText(find("[data-show=source]"), source ?? "–");
    setText(this.#raw, JSON.stringify(state, null, 2));
    table.update(this.#device, this.#before);
    history.update();
    timeline.update(this.#before);
  }

  async #loadParts() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    const [
      { showPicture },
      words,
      { isForeignImage },
      { Gallery },
      { StateTable },
      { Timeline },
      { History },
    ] = await Promise.all([
      import("./picture.js"),
      import("./device-words.js"),
      import("./picture-rules.js"),
      import("./gallery.js"),
      import("./state-table.js"),
      import("./timeline.js"),
      import("./history.js"),
    ]);
    const { board, root } = this.#page;
    const currentDevice = () => this.#device;
    this.#parts = {
      showPicture,
      isForeignImage,
      describeDevice: words.describeDevice,
      mainWord: words.mainWord,
      gallery: new Gallery(root, () => this.#page.draw()),
      table: new StateTable(board),
      timeline: new Timeline(board, this.#log, currentDevice),
      history: new History(board, this.#log, currentDevice),
    };
    this.#parts.history.update();
    this.#parts.history.updateCommands(this.#commands.whole);
    // What the HTML brought is drawn before more of the past is there: words keep their colors.
    this.#parts.timeline.tick();
    this.#parts.timeline.fetchPast();
    this.#page.draw();
  }

  /**
   * Announce the words of the newest change, not too often.
   * @param {Parts} parts
   */
  #speak({ describeDevice }) {
    const { announcer, board } = this.#page;
    const now = board.now();
    if (!this.#unspoken || now - this.#spokenAt < SPEECH_PAUSE) return;
    const wanted = announcer.wantsAll ? undefined : this.#page.wantedFields;
    const words = describeDevice(this.#device, wanted);
    if (words) {
      const changes = `${this.#unspoken} change${this.#unspoken > 1 ? "s" : ""}`;
      announcer.speak(`${displayName(this.#device)}: ${words}. ${changes}.`);
    }
    this.#unspoken = 0;
    this.#spokenAt = now;
  }

  /** @returns {[words: string, name: string] | undefined} */
  #title() {
    if (!this.#parts) return undefined;
    const name = displayName(this.#device);
    const word = this.#parts.mainWord(this.#device, this.#page.wantedFields);
    return [word ? `${word} · ${name}` : name, name];
  }
}

/**
 * A removed device has no picture.
 * @param {HTMLElement} sky
 * @param {string} label
 */
function removePicture(sky, label) {
  sky.replaceChildren();
  setAttributes(sky, { "data-picture": undefined, "aria-label": label });
}

const page = new DevicePage();
page.start();
