// A printed page has absolute times, because ages on paper do not change. The next frame shows the
// ages again.
import { find, findAll, setText } from "./dom.js";

/** @import { Board } from "./board.js" */

/** @param {Board} board */
export function preparePrinting(board) {
  addEventListener("beforeprint", () => {
    for (const time of findAll("time[title]:not(#history *)")) setText(time, time.title);
    for (const intro of findAll(".wide")) setText(intro, intro.textContent ? "since " : "");
    const at = new Date(board.lastReceivedAt).toLocaleString();
    setText(find(".print"), `State as of ${at} from ${location.href}`);
  });
}
