// The end of a list of many devices: when it comes near, more rows are made. It says how many there
// are; its links to other pages are for browsers without a script.
import { find, findAll, setText } from "./dom.js";

/** Pixels below the window that count as near: more than one turn of a wheel. */
const NEAR = 2000;
/** So many more rows are made at once. */
const ROWS = 200;

/**
 * @param {import("./list.js").DeviceList} list
 * @param {import("./list-filter.js").ListFilter} filter
 * @param {() => boolean} isWhole Whether all devices were received.
 */
export function watchEnd(list, filter, isWhole) {
  const end = find("#pages");
  list.limit = ROWS;
  for (const link of findAll("a", end)) link.remove();
  list.onRange = (shown, matching) => {
    end.hidden = shown === matching;
    setText(find("span", end), `1 to ${shown.toLocaleString()} of ${matching.toLocaleString()}`);
  };
  const watcher = new IntersectionObserver(
    ([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      if (list.painter && isWhole()) {
        list.limit += ROWS;
        filter.apply();
      }
      // It reports changes only: look again whether the end is still near.
      watcher.unobserve(end);
      watcher.observe(end);
    },
    { rootMargin: `${NEAR}px` },
  );
  watcher.observe(end);
}
