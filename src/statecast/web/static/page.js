// What every page of ours does: the path, the title, the notice, the voice, and the picture. Text and attributes only.
import { Board, age, clock, connect, own, span, split, text } from "./statecast.js";

export const data = document.body.dataset;
export const find = (selector, under = document) => under.querySelector(selector);
export const every = (selector, under = document) => [...under.querySelectorAll(selector)];
export const put = (element, words) => element.textContent === `${words}` || (element.textContent = words);

export function give(element, attributes) {
	for (const [name, value] of Object.entries(attributes))
		if (value === undefined) element.removeAttribute(name);
		else if (element.getAttribute(name) !== `${value}`) element.setAttribute(name, value);
}

/** An element with attributes and children; `svg:` before the tag makes it one of a drawing. */
export function make(tag, attributes = {}, ...children) {
	const [name, svg] = tag.split(":").reverse(), space = svg ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
	const made = document.createElementNS(space, name);
	give(made, attributes);
	made.append(...children);
	return made;
}

/** A class for a moment: movement means change, and ends by itself. */
export function moment(element, name, time) {
	element.classList.remove(name);
	void element.getBoundingClientRect();
	element.classList.add(name);
	clearTimeout(element[name]);
	element[name] = setTimeout(() => element.classList.remove(name), time);
}

export const board = new Board();
board.skew = data.now - Date.now();
if (data.epoch) board.place = { epoch: data.epoch, offset: +data.offset };

/** What the HTML says of a device before its first update. */
export function known({ dataset }, usual = dataset) {
	const { device, changed, seen, silentAfter = usual.silentAfter, source = usual.source } = dataset;
	const one = { device, changed: +changed, seen: +seen || undefined, silentAfter: +silentAfter || undefined, source };
	board.devices.set(device, one);
	return one;
}

// Which fields come first: as in formats.py.

const FIRST = "mood hugged status on open locked temperature humidity level power".split(" ");
function rank(name, value) {
	const [stem] = split(name, value), place = FIRST.indexOf(stem);
	return place >= 0 ? place : /^(label|kind|image)$|_at$/.test(name) ? 99 : stem === "battery" ? 98 : 50;
}
export const ordered = (state) => Object.keys(state).sort((a, b) => rank(a, state[a]) - rank(b, state[b]) || (a < b ? -1 : 1));

/** The three fields of a card; the first one also stands in the title. */
export function main(state) {
	const names = ordered(state ?? {}), flat = names.filter((name) => typeof (state[name] ?? 0) !== "object");
	const loud = flat.filter((name) => name !== "color" && rank(name, state[name]) < 99), wanted = JSON.parse(data.card ?? "[]");
	return [wanted.filter((name) => names.includes(name)), loud, names].find((some) => some[0])?.slice(0, 3) ?? [];
}

export function label({ device, state }) {
	const given = own(state, "label");
	return typeof given === "string" && given.trim() ? given.slice(0, 128) : device;
}

// The picture: HTML has its parts, `data-set` says what of the state is bound to them.

export const word = (value) => (typeof (value ?? {}) === "object" ? undefined : text("", value).toLowerCase().slice(0, 64));
export const share = (value) => (typeof value === "number" ? Math.min(100, Math.max(0, value)) : undefined);
const COLOR = /^(#\w+|[a-z]+|(rgb|hsl)a?\([\d\s.,%/-]+\))$/i;
export const filters = {
	word,
	yes: (value) => (value === true || /^(true|yes|on|1)$/.test(value) ? "" : undefined),
	color: (value) => (COLOR.test(value) && CSS.supports("color", value) ? value : undefined),
	percent: (value) => share(value) && share(value) + "%",
	low: (value) => (value < 15 ? "" : undefined),
	spoken(value, name) {
		const [stem, unit] = split(name, value), says = word(value);
		return says && `${stem} ${says}${unit === "%" ? " percent" : ""}`;
	},
};
/** More pictures than the cloud, and how to choose one: in more.js. */
export const gallery = { choose: undefined };

function choose(state) {
	if (gallery.choose) return gallery.choose(state);
	if (own(state, "image") === undefined && own(state, "kind") === undefined && word(own(state, "mood"))) return [find("[data-picture=cloud][data-when]"), "mood"];
	import("./more.js").then(draw);
	return [];
}

export function picture(sky, one) {
	const { state } = one, [template, field] = choose(state);
	if (!template) return false;
	const { picture: name, alt } = template.dataset;
	if (sky.dataset.picture !== name) sky.replaceChildren(template.content.cloneNode(true));
	sky.dataset.picture = name;
	const parts = every("*", sky), result = (binding) => {
		const [of, sort] = binding.split(":"), from = of === "$" ? field : of;
		return filters[sort]?.(own(state, from), from, state, parts);
	};
	every("*", template.content).forEach((blank, place) => {
		for (const [, target, source] of (blank.dataset.set ?? "").matchAll(/([^\s=]+)=(\S+)/g))
			if (target === "text") put(parts[place], result(source) ?? "");
			else give(parts[place], { [target]: result(source) });
		parts[place].removeAttribute("data-set");
	});
	if (sky.role !== "img") return true;
	const says = (part) => part.split("|").map((of) => result(of) ?? false).map((of, place) => of || (of === "" && part.split("|")[place].split(":")[0])).find(Boolean);
	const words = (alt ?? "").split(" ").map(says).filter(Boolean).join(", ");
	give(sky, { "aria-label": `${name[0].toUpperCase() + name.slice(1)} ${label(one)}${words && ": " + words}` });
	return true;
}

/** How fresh a card, a row or a page is. */
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

// The voice: what matters, once.

const announce = find("#announce");
announce.value = localStorage.getItem("statecast-announce") ?? "important";
announce.onchange = () => localStorage.setItem("statecast-announce", announce.value);
export const speak = (words) => announce.value === "nothing" || put(find("#say"), words);

// The frame, drawn after every event and once a second.

let live, view, waiting, began, broken, release = data.release, said = "", saidAt = 0, titled = 0;
const [, first, site] = /^(.*) — (.*?)$/.exec(document.title) ?? [, "", document.title];
const COLORS = { live: "0a5bc4", late: "8a5200", away: "8a5200", lost: "b4232c" };

/** Begin to live: `devices` to watch, `take` an update, `draw` all; `title` and `entries` of the page. */
export function begin(chosen) {
	view = chosen;
	live = connect({ devices: view.devices, board, url: data.live });
	live.on("states", (changed) => {
		for (const [one, before] of changed) view.take(one, before);
		draw();
	});
	live.on("health", ({ version }) => (release = version));
	for (const event of ["seen", "health", "link"]) live.on(event, draw);
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
	const { offline, gone } = board, now = board.now(), ours = board.ours();
	if (!began && gone && !offline) return;
	if (!broken) view.draw();
	const counts = {}, devices = view.entries?.() ?? [...board.devices.values()], total = devices.length;
	for (const one of devices) counts[board.verdict(one).key] = (counts[board.verdict(one).key] ?? 0) + 1;
	const { silent, away = 0, live: fine } = counts, sources = [...board.sources.keys()], queue = sources.find((name) => board.awaySince(name));
	const trouble = broken || offline ? "lost" : queue ? "away" : silent ? "late" : "live";
	const awayFor = span(now - board.awaySince(queue)), goneFor = span(ours - gone), at = clock(board.heard + board.skew, now);
	const many = (count, word) => (total > 1 ? `${count} ${word}` : word), unknown = ["unknown", "unknown"];
	const lag = Math.max(...sources.map((name) => board.sources.get(name).lag ?? 0)).toFixed(1);
	const path = {
		devices: offline ? unknown : silent ? ["late", many(`${silent} of ${total}`, "silent")] : away ? ["unknown", `${away} unknown`]
			: fine ? ["live", many(fine, "live")] : ["unknown", total ? "no deadline" : "none yet"],
		queue: offline ? unknown : queue ? ["away", `${queue} away ${awayFor}`] : sources[0] ? ["live", `${lag} s behind`] : ["unknown", "none"],
		page: broken ? ["lost", "this page stopped"] : offline ? ["lost", `offline for ${goneFor}`]
			: ours - gone > 1000 ? ["lost", "reconnecting…"] : ["live", "live"],
	};
	for (const item of every("#path li")) {
		const { hop } = item.dataset, [mark, words] = path[hop];
		give(item, { "data-mark": mark, class: hop === ({ late: "devices", away: "queue" }[trouble] ?? "page") ? "worst" : undefined });
		put(find("span", item), words);
	}
	const again = live.retryAt > ours ? `in ${Math.ceil((live.retryAt - ours) / 1000)} s` : "now";
	const [bold, rest, act] = broken ? ["This page had an error.", "", "Reload"]
		: offline ? [`No connection to the server for ${goneFor}.`, `You see what was true at ${at}. Trying again ${again}.`, "Try now"]
		: queue ? [`The queue “${queue}” cannot be read for ${awayFor}.`, `${away} device${away === 1 ? "" : "s"} may have changed since; their messages wait in the queue.`]
		: release !== data.release ? ["A newer version is ready.", "", "Reload"] : [];
	const notice = find("#notice"), button = find("button", notice);
	notice.hidden = !bold;
	notice.dataset.mark = trouble;
	if (bold) put(find("b", notice), bold), put(find("span", notice), rest), put(button, act ?? "");
	button.hidden = !act;
	find("a", notice).hidden = !!act;
	button.onclick = () => (act === "Reload" ? location.reload() : live.retry());
	if (ours - titled >= 1000) {
		const [title, name] = view.title?.() ?? [first, first], icon = find("#icon"), hollow = trouble === "lost" ? "none" : "currentColor";
		titled = ours;
		document.title = { lost: `⚠ No connection since ${at.slice(0, 5)}`, away: "⚠ Queue away", late: `⚠ ${many(silent, "silent")} · ${name}` }[trouble] ?? `${title} — ${site}`;
		give(icon, { href: icon.href.replace(/(color='%23)\w+(' fill=')\w+/, `$1${COLORS[trouble]}$2${hollow}`) });
	}
	const words = { lost: "No connection to the server.", away: `The queue “${queue}” cannot be read.`, late: `${silent} of ${total} silent.` }[trouble] ?? "";
	if (words !== said && !(ours - gone < 5000) && !(trouble === "late" && ours - saidAt < 60000)) {
		if (began) speak(words || "Up to date again.");
		said = words;
		saidAt = ours;
	}
	began = true;
}

for (const event of ["error", "unhandledrejection"])
	addEventListener(event, () => {
		broken = true;
		for (const one of every("[data-device]")) one.classList.add("old");
		draw();
	});

for (const button of every("[data-copy]"))
	button.onclick = () => navigator.clipboard.writeText(find("#" + button.dataset.copy).textContent).then(() => put(button, "Copied"));
