// What every page of ours does: the path, the title, the notice, the voice, and pictures. Text and attributes only.
import { Board, age, clock, connect, own, span, split, text } from "./statecast.js";

export const data = document.body.dataset;
export const find = (selector, under = document) => under.querySelector(selector);
export const every = (selector, under = document) => [...under.querySelectorAll(selector)];
export const put = (element, words) => element.textContent === words || (element.textContent = words);
export const ms = (name) => (data[name] ? Number(data[name]) : undefined);

export function give(element, name, value) {
	if (value === undefined || value === null) element.removeAttribute(name);
	else if (element.getAttribute(name) !== `${value}`) element.setAttribute(name, value);
}

/** An element with its attributes and children; in `svg` if the tag begins so. */
export function make(tag, attributes = {}, ...children) {
	const [name, svg] = tag.split(":").reverse();
	const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) give(made, key, value);
	made.append(...children);
	return made;
}

export const board = new Board();
board.skew = ms("now") - Date.now();
if (data.epoch) board.place = { epoch: data.epoch, offset: ms("offset") };

/** What a device's element says of it before its first update. */
export function known({ dataset }, usual = dataset) {
	const { device, changed, seen, silentAfter = usual.silentAfter, source = usual.source } = dataset;
	const one = { device, changed: +changed, seen: +seen || undefined, silentAfter: +silentAfter || undefined, source };
	if (!board.devices.has(device)) board.devices.set(device, one);
	return one;
}

// The fields that come first, as formats.py has them.

const FIRST = "mood hugged status on open locked temperature humidity level power".split(" ");
function rank(name, value) {
	const [stem] = split(name, value), place = FIRST.indexOf(stem);
	return place >= 0 ? place : /^(label|kind|image)$|_at$/.test(name) ? 99 : stem === "battery" ? 98 : 50;
}
export const ordered = (state) =>
	Object.keys(state).sort((a, b) => rank(a, state[a]) - rank(b, state[b]) || (a < b ? -1 : 1));
const wanted = JSON.parse(data.card ?? "[]");
export function main(state) {
	const chosen = wanted.filter((name) => Object.hasOwn(state, name)), names = ordered(state);
	const flat = (name) => !state[name] || typeof state[name] !== "object";
	const quiet = (name) => rank(name, state[name]) === 99 || name === "color";
	const plain = names.filter((name) => flat(name) && !quiet(name));
	return (chosen[0] ? chosen : plain[0] ? plain : names.filter((name) => !flat(name))).slice(0, 3);
}
export const label = ({ device, state }) => (/\S/.test((state?.label ?? "").slice?.(0, 128)) ? state.label.slice(0, 128) : device);

// Pictures, by the table in the templates: which one, and what is bound to its parts.

const word = (value) => (value === undefined || value === null || typeof value === "object" ? undefined : text("", value).toLowerCase().slice(0, 64));
const share = (value) => (typeof value === "number" ? Math.min(100, Math.max(0, value)) : undefined);
export const yes = (value) => value === true || value === 1 || /^(true|yes|on)$/.test(value);
export const image = (value) => typeof value === "string" && /^(data:image\/|\/(?!\/))[^\0-\x20\\]*$/.test(value);
const SORTS = {
	"": (value) => word(value) !== undefined,
	number: (value) => typeof value === "number",
	yes: (value) => typeof value === "boolean",
	word: (value) => typeof value === "string" || typeof value === "boolean",
	image,
};
export const filters = {
	word,
	yes: (value) => (yes(value) ? "" : undefined),
	color: (value) => (/^(#\w+|[a-z]+|(rgb|hsl)a?\([\d\s.,%/-]+\))$/i.test(value) && CSS.supports("color", value) ? value : undefined),
	percent: (value) => (share(value) === undefined ? undefined : share(value) + "%"),
	low: (value) => (value < 15 ? "" : undefined),
	spoken(value, name) {
		const [stem, unit] = split(name, value);
		return word(value) && `${stem} ${word(value)}${unit === "%" ? " percent" : ""}`;
	},
};

function decides(template, state) {
	for (const token of template.dataset.when.split(" ").filter(Boolean)) {
		const [name, sort = ""] = token.split(":"), end = name.slice(1);
		const open = (field) => field.endsWith(end) && field !== end && !/^(battery|label|kind|image|color)$|_at$/.test(field);
		const fields = name[0] === "*" ? ordered(state).filter(open) : [name];
		const field = fields.find((one) => SORTS[sort](own(state, one)));
		if (field) return field;
	}
}

/** The template of a state and its deciding field; none while the page does not have it. */
function choose(state) {
	const templates = every("template[data-picture]"), { kind } = state;
	const named = templates.find((one) => typeof kind === "string" && one.dataset.kind?.split(" ").includes(kind));
	if (typeof kind === "string" && !named && !loaded) return [];
	for (const one of [templates[0], named ?? templates[0], ...templates]) {
		if (one !== named && named && one !== templates[0]) continue;
		const field = one === named && Object.hasOwn(state, kind) ? kind : decides(one, state);
		if (field || one === named || !one.dataset.when) return [one, field];
	}
	return [];
}

let loaded = false;
/** All pictures, once: they came into use after the page was made. */
function load() {
	const request = new XMLHttpRequest();
	loaded = true;
	request.responseType = "document";
	request.onload = async () => {
		await import("./more.js");
		for (const part of every("#sprite>[id]", request.response)) if (!find("#" + part.id)) find("#sprite").append(part);
		find("#pictures").replaceChildren(...every("template", request.response), ...every("#pictures>:not([data-picture])"));
		if (!find("#more")) document.head.append(find("#more", request.response));
		view.again?.();
		draw();
	};
	request.open("GET", data.root + "pictures");
	request.send();
}

/** Draw the picture of a state into its sky. */
export function picture(sky, one) {
	const [template, field] = choose(one.state);
	if (!template?.content.firstElementChild) return loaded || load();
	const { picture: name, alt } = template.dataset, old = sky.dataset.picture === name;
	if (!old) sky.replaceChildren(template.content.cloneNode(true));
	const parts = every("*", sky), result = (binding) => {
		const [of, sort] = binding.split(":"), from = of === "$" ? field : of;
		return filters[sort]?.(own(one.state, from), from, one.state, parts);
	};
	sky.dataset.picture = name;
	every("*", template.content).forEach((blank, place) => {
		for (const binding of blank.dataset.set?.split(" ") ?? []) {
			const [, target, source] = /(.+?)=(.+)/.exec(binding), value = result(source);
			if (target === "text") put(parts[place], value ?? "");
			else give(parts[place], target, value);
		}
		parts[place].removeAttribute("data-set");
	});
	if (sky.role !== "img") return;
	const says = (alt ?? "").split(" ").map((part) => part.split("|").map((of) => [of, result(of)]).find((of) => of[1] !== undefined));
	const words = says.filter(Boolean).map(([of, value]) => value || of.split(":")[0]).join(", ");
	give(sky, "aria-label", `${name[0].toUpperCase()}${name.slice(1)} ${label(one)}${words && ": " + words}`);
}

/** A thing that just changed: it moves, and ends by itself. */
export function moment(element, name, time) {
	element.classList.remove(name);
	void element.offsetWidth;
	element.classList.add(name);
	setTimeout(() => element.classList.remove(name), time);
}

/** How fresh a card, row or page is. */
export function fresh(root, one) {
	const verdict = board.verdict(one), now = board.now(), { key, mark, since } = verdict;
	const wide = find(".fresh .wide", root), time = find(".fresh time", root), state = find(".fresh b", root);
	root.classList.toggle("old", !!verdict.old);
	state.dataset.mark = mark;
	put(state, verdict.word);
	if (wide) put(wide, key === "live" ? "changed " : key === "silent" ? "for " : "");
	stamp(time, since, /live|undated/.test(key) ? age(since, now) : /away|silent/.test(key) ? span(now - since) : clock(since, now));
	return key;
}

export function stamp(time, at, words = age(at, board.now())) {
	put(time, words);
	if (time.at === at) return;
	time.at = at;
	time.dateTime = new Date(at).toISOString();
	time.title = new Date(at).toLocaleString();
}

// The voice: what matters, once.

const announce = find("#announce");
announce.value = localStorage.getItem("statecast-announce") ?? "important";
announce.onchange = () => localStorage.setItem("statecast-announce", announce.value);
export const speak = (words) => announce.value === "nothing" || (find("#say").textContent = words);

// The frame, drawn after every event and once a second.

export let live;
let view, began, stopped, said = "", saidAt = 0, titled = 0, waiting;
const [, base, site] = /^(.*) — (.*?)$/.exec(document.title) ?? [, "", document.title];
const COLORS = { live: "0a5bc4", late: "8a5200", away: "8a5200", lost: "b4232c' fill-opacity='0" };

export function begin(chosen) {
	view = chosen;
	live = connect({ devices: view.devices, board, url: data.live });
	live.on("states", (changed) => {
		for (const [one, before] of changed) view.take(one, before);
		draw();
	});
	for (const event of ["seen", "health", "link"]) live.on(event, draw);
	setInterval(draw, 1000);
	addEventListener("visibilitychange", draw);
	return live;
}

/** In the next frame everything at once; a hidden page has no frames. */
export function draw() {
	waiting ??= document.hidden ? setTimeout(frame, 500) : requestAnimationFrame(frame);
}

function hop(name, mark, words) {
	const item = find(`[data-hop=${name}]`);
	item.dataset.mark = mark;
	put(find("span", item), words);
}

function frame() {
	waiting = undefined;
	const { offline, gone } = board, now = board.now(), ours = board.ours();
	if (!began && gone !== undefined && !offline) return;
	began = true;
	if (!stopped) view.draw();
	const counts = {}, of = view.entries?.() ?? [...board.devices.values()], total = of.length;
	for (const one of of) counts[board.verdict(one).key] = (counts[board.verdict(one).key] ?? 0) + 1;
	const { silent, away, live: fine } = counts, queue = [...board.sources.keys()].find((name) => board.awaySince(name));
	const awayFor = span(now - board.awaySince(queue)), goneFor = span(ours - gone);
	const lag = Math.max(...[...board.sources.values()].map((source) => source.lag ?? 0));
	hop("devices", ...(offline ? ["unknown", "unknown"] : silent ? ["late", total > 1 ? `${silent} of ${total} silent` : "silent"]
		: away ? ["unknown", `${away} unknown`] : fine ? ["live", total > 1 ? `${fine} live` : "live"] : ["unknown", total ? "no deadline" : "none yet"]));
	hop("queue", ...(offline ? ["unknown", "unknown"] : queue ? ["away", `${queue} away ${awayFor}`]
		: board.sources.size ? ["live", `${lag.toFixed(1)} s behind`] : ["unknown", "none"]));
	hop("page", ...(stopped ? ["lost", "this page stopped"] : offline ? ["lost", `offline for ${goneFor}`]
		: gone !== undefined && ours - gone > 1000 ? ["lost", "reconnecting…"] : ["live", "live"]));
	const trouble = stopped || offline ? "lost" : queue ? "away" : silent ? "late" : "live";
	for (const item of every("#path li")) item.classList.toggle("worst", item.dataset.hop === { late: "devices", away: "queue" }[trouble] || (item.dataset.hop === "page" && /lost|live/.test(trouble)));
	const at = clock(board.heard + board.skew, now), newer = view.release && view.release !== data.release;
	if (stopped) notice("lost", "This page had an error.", "", "Reload");
	else if (offline) notice("lost", `No connection to the server for ${goneFor}.`, `You see what was true at ${at}. Trying again ${live.retryAt > ours ? `in ${Math.ceil((live.retryAt - ours) / 1000)} s` : "now"}.`, "Try now");
	else if (queue) notice("away", `The queue “${queue}” cannot be read for ${awayFor}.`, `${away ?? 0} device${away === 1 ? "" : "s"} may have changed since; their messages wait in the queue.`);
	else if (newer) notice("live", "A newer version is ready.", "", "Reload");
	else notice("", "");
	if (ours - titled >= 1000) {
		const [title, name] = view.title?.() ?? [base, base];
		titled = ours;
		document.title = { lost: `⚠ No connection since ${at.slice(0, 5)}`, away: "⚠ Queue away", late: `⚠ ${total > 1 ? silent + " " : ""}silent · ${name}` }[trouble] ?? `${title} — ${site}`;
		const icon = find("#icon"), href = icon.href.replace(/color='%23[^>]*?fill='/, `color='%23${COLORS[trouble]}' fill='`).replace(/(fill-opacity='0' ?)+/, "fill-opacity='0' ");
		if (icon.href !== href) icon.href = href;
	}
	const words = { lost: "No connection to the server.", away: `The queue “${queue}” cannot be read.`, late: `${silent} of ${total} silent.` }[trouble] ?? "";
	if (words === said || (trouble === "lost" && ours - gone < 5000) || (trouble === "late" && ours - saidAt < 60000)) return;
	if (began !== 1) speak(words || "Up to date again.");
	said = words;
	saidAt = ours;
}

function notice(mark, bold, words, act) {
	const aside = find("#notice"), button = find("button", aside);
	aside.hidden = !bold;
	aside.dataset.mark = mark;
	put(find("b", aside), bold);
	if (!bold) return;
	put(find("span", aside), words);
	find("a", aside).hidden = mark !== "away";
	button.hidden = !act;
	put(button, act ?? "");
	button.onclick = () => (act === "Reload" ? location.reload() : live.retry());
}

for (const event of ["error", "unhandledrejection"])
	addEventListener(event, () => {
		stopped = true;
		for (const one of every("[data-device]")) one.classList.add("old");
		draw();
	});

for (const button of every("[data-copy]")) button.onclick = () => navigator.clipboard.writeText(find("#" + button.dataset.copy).textContent);
