// What the page of one cloud does not need: lists, search, pictures of other things, the form that sends, pages without a device.
import { main, ordered } from "./fields.js";
import { begin, board, data, draw, every, find, fresh, give, known, label, make, moment, put } from "./page.js";
import { filters, flash, gallery, picture, share } from "./picture.js";
import { formatClock as clock, formatNumber as number, getOwn as own, splitUnit as split, formatValue as text } from "./statecast.js";

// Pictures: chosen by the table in the templates, as in pictures.py.

const image = (value) => (/^(data:image\/|\/(?!\/))[^\0-\x20\\]*$/.test(value) && typeof value === "string" ? value : undefined);
const SORTS = {
	"": (value) => typeof (value ?? {}) !== "object",
	number: (value) => typeof value === "number",
	yes: (value) => typeof value === "boolean",
	word: (value) => typeof value === "string" || typeof value === "boolean",
	image,
};

function decides({ dataset }, state) {
	for (const token of dataset.when.split(" ").filter(Boolean)) {
		const [name, sort = ""] = token.split(":"), end = name.slice(1);
		const open = (field) => field.endsWith(end) && field !== end && !/^(battery|label|kind|image|color)$|_at$/.test(field);
		const fields = name[0] === "*" ? ordered(state).filter(open) : [name];
		const field = fields.find((one) => Object.hasOwn(state, one) && SORTS[sort](state[one]));
		if (field) return field;
	}
}

let loaded = false, templates;
gallery.choose = (state) => {
	const [first, ...others] = (templates ??= every("template[data-picture]")), kind = own(state, "kind");
	const named = [first, ...others].find(({ dataset }) => typeof kind === "string" && dataset.kind?.split(" ").includes(kind));
	const chosen = () => {
		for (const one of named ? [first, named] : [first, ...others]) {
			const field = one === named && own(state, kind) != null ? kind : decides(one, state);
			if (field || (one === named && one !== first) || !one.dataset.when) return [one, field];
		}
	};
	const found = (named || typeof kind !== "string" || loaded) && first ? chosen() : undefined;
	const here = found?.[0].content.firstElementChild && !(found[0].dataset.picture === "icon" && !loaded && !icon(state, found[1])?.dataset.field);
	if (here) return found;
	if (!loaded) load();
	return [];
};

/** All pictures, once: what is shown now came into use after the page was made. */
function load() {
	const request = new XMLHttpRequest();
	loaded = true;
	request.responseType = "document";
	request.onload = () => {
		const { response } = request, sprite = find("#sprite"), place = find("#pictures");
		sprite.append(...every("#sprite>[id]", response).filter(({ id }) => !find(`[id="${id}"]`, sprite)));
		for (const old of every("[data-picture]", place)) old.remove();
		place.prepend(...every("template", response));
		templates = undefined;
		if (!find("#more")) document.head.append(find("#more", response));
		again();
	};
	request.open("GET", data.root + "pictures");
	request.send();
}

let again = draw;

/** What is not there in 100 ms, or never comes, has the icon stand in: text does not wait for it. */
gallery.watch = (image) => {
	const missing = (is) => image.classList.toggle("missing", is), timer = setTimeout(missing, 100, true);
	image.decode().then(() => missing(false), () => missing(true)).finally(() => clearTimeout(timer));
};
for (const image of every(".sky>img")) gallery.watch(image);

const WIDEST = 1e37; // SVG counts in single precision
const span = (values) => {
	const low = Math.max(Math.min(...values), -WIDEST), high = Math.min(Math.max(...values), WIDEST);
	return high > low ? [low, high - low] : [low - 0.5, 1];
};
const short = (value) => +value.toPrecision(6);
const icon = (state, field) => {
	const icons = every("#sprite>[id^=i-]"), has = (one, name, of) => one.dataset[name]?.split(" ").includes(of);
	return icons.find((one) => has(one, "kind", state.kind)) ?? icons.find((one) => has(one, "field", field)) ?? find("#i-box");
};
/** The last 40 values of a sparkline stand in its points, as they are; CSS turns the picture upside up. */
function past(parts, value) {
	const line = parts.find((one) => one.localName === "polyline");
	line.past ??= (line.getAttribute("points") ?? "").split(" ").filter((_, place) => place % 2).slice(1, -1).map(Number);
	if (line.latest !== value) line.past = [...line.past, value].slice(-40);
	line.latest = value;
	return line.past;
}

Object.assign(filters, {
	dash: (value) => (share(value) === undefined ? undefined : `${short(share(value))} 100`),
	figure: (value) => (typeof value === "number" ? number(value) : undefined),
	unit: (value, name) => split(name, value)[1],
	value: (value, name) => text(name, value),
	icon: (value, name, state) => "#" + (icon(state, name)?.id ?? "i-box"),
	image,
	says(value, name, state) {
		const { field = "", yes: on, no } = icon(state, name)?.dataset ?? {};
		if (typeof value !== "boolean") return text(name ?? "", value).slice(0, 60);
		const words = field.split(" ").includes(name) && on ? (value ? on : no) : text(name, value);
		return words + (name === "on" && value && typeof state.brightness === "number" ? " · " + text("brightness", state.brightness) : "");
	},
	bounds(value, name, state, parts) {
		const values = past(parts, value), [low, high] = span(values), wide = Math.max(1, values.length - 1);
		return `${39 - wide} ${short(low)} ${wide} ${short(high)}`;
	},
	spark(value, name, state, parts) {
		const values = past(parts, value), first = 40 - values.length, [low, high] = span(values), floor = short(low - high);
		return values.length > 1 ? `${first - 1} ${floor} ${values.map((of, place) => `${first + place} ${short(of)}`).join(" ")} 40 ${floor}` : undefined;
	},
});

// Lists

const list = find("#devices"), search = find("#search"), cards = data.page === "list";
const items = new Map(), dirty = new Map();
let show = new URLSearchParams(location.search).get("show") ?? "", refilter = false;

function add(one) {
	const li = find(cards ? "template#card" : "template#row").content.firstElementChild.cloneNode(true), { device } = one;
	li.dataset.device = device;
	find("a", li).href = `${data.root}devices/${device}`;
	const place = cards ? list : group(/^[^/]*\//.exec(device)?.[0] ?? "");
	place.insertBefore(li, [...place.children].find((other) => other.dataset.device > device) ?? null);
	moment(li, "came", 8000);
	items.set(device, li);
	return li;
}

function group(name) {
	const groups = every("[data-group]", list), found = groups.find((one) => one.dataset.group === name);
	if (found) return find("ul", found);
	const made = find("template#group").content.firstElementChild.cloneNode(true);
	made.dataset.group = name;
	put(find("span", made), name || "others");
	list.insertBefore(made, groups.find((one) => one.dataset.group > name) ?? null);
	return find("ul", made);
}

function update(one) {
	const li = items.get(one.device);
	if (!one.state) {
		if (li) setTimeout(() => board.devices.has(one.device) || (li.remove(), items.delete(one.device)), 5000);
		if (li) li.gone = one;
		refilter = true;
		return;
	}
	const item = li ?? add(one), link = find("a", item), sky = find(".sky", item), shown = find(".fields", item).children;
	refilter ||= !li || !!item.gone;
	item.gone = undefined;
	put(link, label(one));
	link.title = one.device;
	picture(sky, one);
	if (li) moment(sky, "new", 4000);
	main(one.state).concat("", "", "").slice(0, 3).forEach((field, place) => {
		const row = shown[place], words = field && text(field, one.state[field]).slice(0, 200);
		if (!field) return row.replaceChildren();
		if (!row.children[1]) row.append(make("dt"), make("dd"));
		const same = row.dataset.field === field;
		row.dataset.field = field;
		put(row.children[0], split(field, one.state[field])[0]);
		if (row.children[1].textContent === words) return;
		put(row.children[1], words);
		if (li && same) flash(row, one.changed);
	});
	item.words = undefined;
}

const words = (li) => (li.words ??= [li.dataset.device, ...every("a,dd", li).map((one) => one.textContent)].join("\n").toLowerCase());

let swept = 0, offline = false;

function drawList() {
	for (const one of dirty.values()) {
		update(one);
		const li = items.get(one.device);
		if (li) fresh(li, one);
	}
	dirty.clear();
	// What only time changes is looked at once a second: many devices change far more often.
	if (!refilter && offline === board.offline && board.clock() - swept < 900) return;
	swept = board.clock();
	offline = board.offline;
	const counts = {};
	for (const [device, li] of items) {
		const key = fresh(li, li.gone ?? board.devices.get(device));
		if (!board.offline && li.key !== key) (li.key = key), (refilter ||= !!show);
		if (!li.gone) counts[li.key] = (counts[li.key] ?? 0) + 1;
	}
	const total = board.devices.size, at = board.offline ? " at " + clock(board.lastReceivedAt, board.now()).slice(0, 5) : "";
	put(find("#count"), `${total.toLocaleString()} device${total === 1 ? "" : "s"}`);
	for (const link of every("#filters a")) {
		const { filter: key } = link.dataset, count = key ? counts[key] : total;
		put(find("b", link), (count ?? 0).toLocaleString() + (key ? at : ""));
		link.hidden = key && !count && show !== key;
		if (key) link.dataset.mark = at ? "unknown" : { live: "live", silent: "late", away: "away" }[key] ?? "unknown";
	}
	if (refilter) filter();
	if (cards) return;
	for (const section of every("[data-group]")) {
		const rows = every("li", section), silent = rows.filter((li) => li.key === "silent").length, mark = find("[data-show=silent]", section);
		put(find("[data-show=count]", section), `${rows.length}`);
		put(mark, `${silent} silent`);
		mark.hidden = !silent;
	}
}

function filter() {
	const query = (search?.value ?? "").trim().toLowerCase();
	let found = 0;
	refilter = false;
	for (const li of items.values()) {
		li.hidden = !((!query || words(li).includes(query)) && (!show || li.key === show));
		if (!li.hidden) found++;
	}
	for (const section of every("[data-group]")) section.hidden = !find("li:not([hidden])", section);
	for (const link of every("#filters a")) link.dataset.filter === show ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
	find("#nothing").hidden = found > 0;
	put(find("#nothing bdi"), query || show);
	if (search && items.size >= 8) find("#find").hidden = false;
}

function choose() {
	const url = new URL(location.href);
	for (const [name, value] of [["q", search?.value], ["show", show]]) value ? url.searchParams.set(name, value) : url.searchParams.delete(name);
	window.history.replaceState(null, "", url);
	filter();
}

if (list) {
	for (const li of every("[data-device]", list)) {
		items.set(li.dataset.device, li);
		known(li, list.dataset);
	}
	for (const link of every("#filters a, #nothing a"))
		link.onclick = (event) => {
			if (event.ctrlKey || event.metaKey || event.shiftKey) return;
			event.preventDefault();
			show = link.dataset.filter ?? "";
			if (link.dataset.filter === undefined && search) search.value = "";
			choose();
		};
	const title = () => Array(2).fill(find("#count").textContent), take = (one) => dirty.set(one.device, one);
	begin({ devices: ["*"], take, draw: drawList, title });
	again = () => {
		for (const one of board.devices.values()) if (one.state) take(one);
		draw();
	};
	if (search?.value || show) refilter = true;
	draw();
}

if (search) {
	const page = () => (location.href = `${data.root}?q=${encodeURIComponent(search.value)}`);
	if (matchMedia("(hover)").matches) search.placeholder += /^(Mac|iP)/.test(navigator.platform) ? " (⌘ K)" : " (Ctrl K)";
	search.oninput = list && choose;
	search.onkeydown = ({ key }) => {
		if (key === "Enter" && !list) page();
		if (key !== "Escape") return;
		search.value = "";
		if (list) choose();
	};
	addEventListener("keydown", (event) => {
		if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || find("#find").hidden) return;
		event.preventDefault();
		search.focus();
		search.select();
	});
}

// The form that sends a change

/** `on=true name="two words"` as an object, values as JSON where they are. */
export function parse(line) {
	const change = Object.create(null);
	for (const [, name, value] of line.matchAll(/([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g))
		try {
			change[name] = JSON.parse(value);
		} catch {
			change[name] = value;
		}
	return change;
}

const form = find("#send form");
if (form) {
	const { device } = find("#device").dataset, { change: field } = form.elements, answer = find("#answer");
	const command = find("code", form);
	field.oninput = () => put(command, `${command.dataset.program} send ${device} ${field.value || field.placeholder}`);
	form.onsubmit = async (event) => {
		event.preventDefault();
		const state = parse(field.value || field.placeholder);
		if (!Object.keys(state)[0]) return put(answer, "Write fields like on=true.");
		answer.removeAttribute("role");
		put(answer, "Sending…");
		const body = JSON.stringify({ device, by: "user", state });
		const response = await fetch("/api/messages", { method: "POST", headers: { "Content-Type": "application/json" }, body }).catch(() => undefined);
		const { detail } = (await response?.json().catch(() => ({}))) ?? {};
		if (!response?.ok) answer.setAttribute("role", "alert");
		put(answer, response?.ok ? "In the queue. The page changes when it comes back." : `Not sent: ${detail ?? "the server cannot be reached."} Try again`);
	};
}

// Pages without a device turn live when it comes.

if (!list && !find("#device")) {
	board.position = undefined; // this page shows no state: tell it all
	const missing = find("[data-missing]")?.dataset.missing;
	const take = ({ device, state }) => {
		if (!state || (data.page !== "empty" && device !== missing)) return;
		import("./trouble.js").then(({ kept }) => kept("sessionStorage", `First device: ${device}.`)).finally(() => location.reload());
	};
	begin({ devices: [missing && find("#command") ? missing : "*"], take, draw() {} });
	draw();
}
