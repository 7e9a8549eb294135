// What goes beyond the marks: the title, the icon, one calm notice, and the voice.
import { board, broken, data, every, find, give, live, put, refused, view } from "./page.js";
import { formatClock as clock } from "./statecast.js";

// The voice: what matters, once.

const announce = find("#announce");
/** What a browser remembers, unless it was told not to. */
export function kept(where, value) {
	try {
		if (value !== undefined) globalThis[where].setItem("statecast", value);
		return globalThis[where].getItem("statecast") ?? "";
	} catch {
		return "";
	}
}
announce.value = kept("localStorage") || "important";
announce.onchange = () => kept("localStorage", announce.value);
export const everything = () => announce.value === "all";
export const speak = (words) => announce.value === "nothing" || put(find("#say"), words);

// Said at first is nothing: a page that begins well has nothing to report.
let said = "", saidAt = 0, titled = 0, { release } = data;
const [, first, site] = /^(.*) — (.*?)$/.exec(document.title) ?? [, "", document.title];
const COLORS = { live: "0a5bc4", late: "8a5200", away: "8a5200", lost: "b4232c" };
live.on("health", ({ version }) => (release = version));

/** Say how things are; called with every frame. */
export function tell({ trouble, queue, awayFor, goneFor, away, silent, total }) {
	const { offline, disconnectedSince: gone } = board, ours = board.clock(), at = clock(board.lastReceivedAt, board.now());
	const again = live.retryAt > ours ? `in ${Math.ceil((live.retryAt - ours) / 1000)} s` : "now";
	const [bold, rest, act] = broken ? ["This page had an error.", "", "Reload"] : refused ? ["The server refused.", refused, "Reload"]
		: offline ? [`No connection to the server for ${goneFor}.`, `You see what was true at ${at}. Trying again ${again}.`, "Try now"]
		: queue ? [`The queue “${queue}” cannot be read for ${awayFor}.`, `${away} device${away === 1 ? "" : "s"} may have changed since; their messages wait in the queue.`]
		: release !== data.release ? ["A newer version is ready.", "", "Reload"] : [];
	const notice = find("#notice"), button = find("button", notice);
	notice.hidden = !bold;
	notice.dataset.mark = trouble;
	put(find("b", notice), bold ?? "");
	put(find("span", notice), rest ?? "");
	put(button, act ?? "");
	button.hidden = !act;
	find("a", notice).hidden = !!act;
	button.onclick = () => (act === "Reload" ? location.reload() : live.retry());
	title(trouble, at.slice(0, 5), `${total > 1 ? `${silent} ` : ""}silent`);
	const words = { lost: "No connection to the server.", away: `The queue “${queue}” cannot be read.`, late: total > 1 ? `${silent} of ${total} silent.` : "The device is silent." }[trouble] ?? "";
	if (words === said || ours - gone < 5000 || (trouble === "late" && ours - saidAt < 60000)) return;
	speak(words || "Up to date again.");
	said = words;
	saidAt = ours;
}

/** At most once a second, and never ticking. */
function title(trouble, since, silent) {
	if (board.clock() - titled < 1000) return;
	const [words, name] = view.title?.() ?? [first, first], icon = find("#icon"), hollow = trouble === "lost" ? "none" : "currentColor";
	titled = board.clock();
	document.title = { lost: `⚠ No connection since ${since}`, away: "⚠ Queue away", late: `⚠ ${silent} · ${name}` }[trouble] ?? `${words} — ${site}`;
	give(icon, { href: icon.href.replace(/(color='%23)\w+(' fill=')\w+/, `$1${COLORS[trouble]}$2${hollow}`) });
}

// Paper does not tick: its times are absolute. The next frame has the ages again.
addEventListener("beforeprint", () => {
	for (const time of every("time[title]:not(#history *)")) put(time, time.title);
	for (const words of every(".wide")) put(words, words.textContent && "since ");
	put(find(".print"), `State as of ${new Date(board.lastReceivedAt).toLocaleString()} from ${location.href}`);
});

const left = kept("sessionStorage"); // by the page that this one follows
if (left) speak(left);
kept("sessionStorage", "");

for (const button of every("[data-copy]"))
	button.onclick = () => {
		// Not by navigator.clipboard, which plain HTTP does not have; and who copies sees what.
		getSelection()?.selectAllChildren(find("#" + button.dataset.copy));
		put(button, document.execCommand("copy") ? "Copied" : "Selected");
		setTimeout(() => put(button, "Copy"), 3000);
	};
