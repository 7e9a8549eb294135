// Which devices of a list are shown: by a verdict, by a search, or both. The address holds both.
import { find, findAll, setAttributes, setText } from "./dom.js";
import { countOf } from "./list.js";

/** @import { Verdict } from "./board.js" */
/** @import { DeviceList } from "./list.js" */
/** @import { SearchBox } from "./search-box.js" */

export class ListFilter {
  /** The key of the verdict that is shown; empty for all. */
  #key = new URLSearchParams(location.search).get("show") ?? "";
  #links = findAll("#filters a");
  /** The mark of each verdict, as the HTML has them. */
  #marks = new Map(this.#links.map(({ dataset }) => [dataset.filter, dataset.mark]));
  #nothing = find("#nothing");
  /** How many devices are shown, and how many there are. @type {number | undefined} */
  #shown;
  /** @type {number | undefined} */
  #total;

  /**
   * @param {DeviceList} list
   * @param {SearchBox | undefined} search
   */
  constructor(list, search) {
    this.list = list;
    this.search = search;
    search?.onInput(() => this.#choose());
    for (const link of [...this.#links, ...findAll("a", this.#nothing)]) {
      link.addEventListener("click", (event) => this.#follow(event, link));
    }
  }

  /** Whether a change of verdicts changes what is shown. */
  get isByVerdict() {
    return this.#key !== "";
  }

  get isActive() {
    return this.isByVerdict || Boolean(this.search?.text);
  }

  /**
   * @param {MouseEvent} event
   * @param {HTMLElement} link
   */
  #follow(event, link) {
    // With a modifier key a browser opens links elsewhere.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.#key = link.dataset.filter ?? "";
    const isClear = link.dataset.filter === undefined;
    if (isClear) this.search?.clear();
    this.#choose();
  }

  #choose() {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries({ q: this.search?.text, show: this.#key })) {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    url.searchParams.delete("page");
    history.replaceState(null, "", url);
    this.apply();
  }

  apply() {
    const query = (this.search?.text ?? "").trim().toLowerCase();
    this.#shown = this.list.filter((item) => {
      const isFound = !query || this.list.matches(item, query);
      return isFound && (!this.#key || item.key === this.#key);
    });
    for (const link of this.#links) {
      const isCurrent = link.dataset.filter === this.#key;
      setAttributes(link, { "aria-current": isCurrent ? true : undefined });
    }
    this.#showTotal();
    this.#nothing.hidden = this.#shown > 0;
    setText(find("bdi", this.#nothing), query || this.#key);
    this.search?.showIfUseful(this.list.size);
  }

  #showTotal() {
    const total = this.#total ?? this.list.size;
    const count = countOf(this.isActive ? (this.#shown ?? total) : total, total);
    setText(find("#count"), `${count} device${total === 1 ? "" : "s"}`);
  }

  /**
   * @param {Partial<Record<Verdict["key"], number>>} counts
   * @param {number} total
   * @param {string} lastKnown The time that the counts are of, if the page is offline.
   * @param {string} awayWord Why devices are away.
   */
  showCounts(counts, total, lastKnown, awayWord) {
    this.#total = total;
    this.#showTotal();
    for (const link of this.#links) {
      const key = /** @type {Verdict["key"] | ""} */ (link.dataset.filter);
      const count = key ? (counts[key] ?? 0) : total;
      const time = key && lastKnown ? ` at ${lastKnown}` : "";
      if (key === "away" && link.firstChild) setText(link.firstChild, `${awayWord} `);
      setText(find("b", link), count.toLocaleString() + time);
      link.hidden = key !== "" && !count && this.#key !== key;
      if (key) link.dataset.mark = lastKnown ? "unknown" : (this.#marks.get(key) ?? "unknown");
    }
  }
}
