// The page of many devices. What draws their pictures is loaded once the page is live.
import { find } from "./dom.js";
import { ListFilter } from "./list-filter.js";
import { DeviceList } from "./list.js";
import { LivePage } from "./page.js";
import { SearchBox } from "./search-box.js";
import { formatClock } from "./ages.js";

/** @import { Device } from "./board.js" */
/** @import { Painter } from "./list-item.js" */

/** What only time changes is looked at so often: many devices change far more often. */
const SWEEP = 900;

class ListPage {
  #page = new LivePage();
  #isCards = this.#page.data.page === "list";
  #list = new DeviceList(this.#page, this.#isCards);
  #filter = new ListFilter(this.#list, SearchBox.find(this.#page.root));
  /** Devices that changed and are not drawn yet. @type {Map<string, Device>} */
  #dirty = new Map();
  /** Whether devices came, went or changed their verdict since the filter was applied. */
  #isFilterDue = this.#filter.isActive;
  #sweptAt = 0;
  #wasOffline = false;
  /** Whether all devices were received: the HTML has only the first of many. */
  #isWhole = !this.#list.isPartial;
  /** @type {Painter | undefined} */
  #paint;
  #isLoading = false;

  start() {
    for (const { element } of this.#list.items) {
      if (element) this.#page.addKnownDevice(element, this.#list.usual);
    }
    // The HTML has the first of many devices: the server is to send all of them.
    if (this.#list.isPartial) this.#page.board.position = undefined;
    this.#page.start({
      devices: ["*"],
      update: (device) => this.#dirty.set(device.device, device),
      draw: () => this.#draw(),
      title: () => this.#title(),
    });
  }

  async #loadPictures() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    const [{ drawCard, describeCard }, { Gallery, watchImages }, { place, compareItems }] =
      await Promise.all([import("./card.js"), import("./gallery.js"), import("./list-place.js")]);
    const gallery = new Gallery(this.#page.root, () => this.#showAgain());
    watchImages();
    const { wantedFields } = this.#page;
    this.#paint = (...item) => drawCard(...item, wantedFields, gallery);
    if (this.#list.isPartial) await this.#watchEnd();
    this.#list.painter = this.#paint;
    this.#list.place = place;
    this.#list.compare = compareItems;
    this.#list.describe = (device) => describeCard(device, wantedFields);
    this.#page.draw();
  }

  async #watchEnd() {
    const { watchEnd } = await import("./list-end.js");
    watchEnd(this.#list, this.#filter, () => this.#isWhole);
  }

  /** All pictures are here now: draw those that waited. */
  #showAgain() {
    for (const device of this.#page.board.devices.values()) {
      if (device.state) this.#dirty.set(device.device, device);
    }
    this.#page.draw();
  }

  #draw() {
    this.#loadPictures();
    // Until all of many devices were received, the first HTML stays as it is.
    this.#isWhole ||= this.#page.connection?.synced ?? false;
    if (!this.#isWhole) return;
    if (this.#paint) this.#update(this.#paint);
    if (this.#isSweepDue()) this.#sweep();
  }

  /** @param {Painter} paint */
  #update(paint) {
    for (const device of this.#dirty.values()) {
      if (this.#list.update(device, paint)) this.#isFilterDue = true;
    }
    this.#dirty.clear();
  }

  #isSweepDue() {
    const { board } = this.#page;
    const isOfflineChanged = this.#wasOffline !== board.offline;
    return this.#isFilterDue || isOfflineChanged || board.clock() - this.#sweptAt >= SWEEP;
  }

  #sweep() {
    const { board } = this.#page;
    this.#sweptAt = board.clock();
    this.#wasOffline = board.offline;
    const { counts, isChanged } = this.#list.showFreshness();
    const lastKnown = formatClock(board.lastReceivedAt, board.now()).slice(0, 5);
    const when = board.offline ? lastKnown : "";
    const { awayWord } = board;
    this.#filter.showCounts(counts, board.devices.size, when, awayWord);
    if (this.#isFilterDue || (isChanged && this.#filter.isByVerdict)) this.#filter.apply();
    this.#isFilterDue = false;
    if (!this.#isCards) this.#list.showGroupCounts();
  }

  /** @returns {[words: string, name: string]} */
  #title() {
    const count = find("#count").textContent ?? "";
    return [count, count];
  }
}

const page = new ListPage();
page.start();
