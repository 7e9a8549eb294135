// What every page of ours does: the path, the marks, the ages. Text and attributes only.
import { Board, formatAge as age, formatClock as clock, connect, getOwn as own, formatDuration as span } from "./statecast.js";

export const data = document.body.dataset;
/** @returns {any} */
export const find = (selector, under = /** @type {any} */ (document)) => under.querySelector(selector);
/** @returns {any[]} */
export const every = (selector, under = /** @type {any} */ (document)) => [...under.querySelectorAll(selector)];
export const put = (element, words) => element.textContent === `${words}` || (element.textContent = words);

export function give(element, attributes) {
	for (const [name, value] of Object.entries(attributes))
		if (value === undefined) element.removeAttribute(name);
		else if (element.getAttribute(name) !== `${value}`) element.setAttribute(name, value);
}

/** An element with attributes and children; `svg:` before the tag makes it one of a drawing. @returns {any} */
export function make(tag, attributes = {}, ...children) {
	const [name, svg] = tag.split(":").reverse(), space = svg ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
	const made = document.createElementNS(space, name);
	give(made, attributes);
	made.append(...children);
	return made;
}

/** A class for a moment: movement means change, and ends by itself. To begin it anew costs a layout. */
export function moment(element, name, time, anew) {
	if (anew) element.classList.remove(name), void element.getBoundingClientRect();
	element.classList.add(name);
	clearTimeout(element[name]);
	element[name] = setTimeout(() => element.classList.remove(name), time);
}

export const board = new Board();
board.clockSkew = +data.now - Date.now();
if (data.epoch) board.startFrom({ epoch: data.epoch, offset: +data.offset });

/** What the HTML says of a device before its first update. @returns {import("./statecast.js").Device} */
export function known({ dataset }, usual = dataset) {
	const { device, changed, seen, silentAfter = usual.silentAfter, source = usual.source } = dataset;
	const one = { device, changed: +changed, seen: +seen || undefined, silentAfter: +silentAfter || undefined, source };
	board.addKnown(one);
	return one;
}

/** @param {{device: string, state?: any}} one */
export function label({ device, state }) {
	const given = own(state, "label");
	return typeof given === "string" && given.trim() ? given.slice(0, 128) : device;
}

export function fresh(root, one) {
	const { key, mark, word, since, old } = board.verdict(one), now = board.now(), line = find(".fresh", root);
	const wide = find(".wide", line), state = find("b", line);
	root.classList.toggle("old", old);
	state.dataset.mark = mark;
	put(state, word);
	if (wide) put(wide, { live: "changed ", silent: "for " }[key] ?? "");
	stamp(find("time", line), since, { away: span(now - since), silent: span(now - since), lost: clock(since, now), gone: clock(since, now) }[key]);
	return key;
}

export function stamp(time, at, words = age(at, board.now())) {
	put(time, words);
	if (time.at === at) return;
	time.at = at;
	give(time, { datetime: new Date(at).toISOString(), title: new Date(at).toLocaleString() });
}

// Drawn after every event and once a second.

export let live, view, broken, refused;
let waiting, rest;

/** Begin to live: `devices` to watch, `take` an update, `draw` all; `title` and `entries` of the page. */
export function begin(chosen) {
	view = chosen;
	live = connect({ devices: view.devices, board, url: data.live });
	live.on("states", (changed) => {
		for (const [one, before] of changed) view.take(one, before);
		draw();
	});
	live.on("refused", (sentence) => (refused = sentence));
	for (const event of ["seen", "health", "link", "refused"]) live.on(event, draw);
	setInterval(draw, 1000);
	addEventListener("visibilitychange", draw);
	return live;
}

/** In the next frame all at once; a hidden page has no frames. */
export function draw() {
	waiting ??= document.hidden ? setTimeout(frame, 500) : requestAnimationFrame(frame);
}

function frame() {
	waiting = undefined;
	const { offline, disconnectedSince: gone } = board, now = board.now(), ours = board.clock();
	if (!rest && gone && !offline) return;
	// Once the page is live, what speaks of trouble is loaded, so that it is here when the server is not.
	rest ??= import("./trouble.js").then(({ tell }) => (rest = tell)).then(draw);
	if (!broken) view.draw();
	const counts = {}, devices = view.entries?.() ?? [...board.devices.values()], total = devices.length;
	for (const one of devices) counts[board.verdict(one).key] = (counts[board.verdict(one).key] ?? 0) + 1;
	const { silent, away = 0, live: fine } = counts, sources = [...board.sources.keys()], queue = sources.find((name) => board.awaySince(name));
	const trouble = broken || offline ? "lost" : queue ? "away" : silent ? "late" : "live", unknown = ["unknown", "unknown"];
	const many = (count, word) => (total > 1 ? `${count} ${word}` : word), awayFor = span(now - board.awaySince(queue)), goneFor = span(ours - gone);
	const lag = Math.max(...sources.map((name) => board.sources.get(name).lag ?? 0)).toFixed(1);
	const path = {
		devices: offline ? unknown : silent ? ["late", many(`${silent} of ${total}`, "silent")] : away ? ["unknown", `${away} unknown`]
			: fine ? ["live", many(fine, "live")] : ["unknown", total ? "no deadline" : "none yet"],
		queue: offline ? unknown : queue ? ["away", `${queue} away ${awayFor}`] : sources[0] ? ["live", total || sources.some((name) => board.sources.get(name).waiting !== 0) ? `${lag} s behind` : "connected, empty"] : ["unknown", "none"],
		page: broken ? ["lost", "stopped"] : offline ? ["lost", `offline for ${goneFor}`]
			: ours - gone > 1000 ? ["lost", "reconnecting…"] : ["live", "live"],
	};
	for (const item of every("#path li")) {
		const { hop } = item.dataset, [mark, words] = path[hop];
		give(item, { "data-mark": mark, class: hop === ({ late: "devices", away: "queue" }[trouble] ?? "page") ? "worst" : undefined });
		put(find("span", item), words);
	}
	if (typeof rest === "function") rest({ trouble, queue, awayFor, goneFor, away, silent, total });
}

for (const event of ["error", "unhandledrejection"])
	addEventListener(event, () => {
		broken = true;
		for (const one of every("[data-device]")) one.classList.add("old");
		draw();
	});
