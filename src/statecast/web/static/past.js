// The past of a device: the timeline, drawn as SVG, and the history.
import { flat } from "./change.js";
import { one, rows } from "./device.js";
import { board, every, find, give, make, put, stamp } from "./page.js";
import { formatClock as clock, formatNumber as number, getOwn as own, splitUnit as split, formatValue as text } from "./statecast.js";

const lanes = find("#lanes"), fields = JSON.parse(lanes.dataset.lanes);
let height = lanes.getAttribute("height") - 26, wanted = 3600000, range = wanted, cursor, drawn = 0;

// Timeline

/** The words of each lane in the order in which they came: a word keeps its colour. */
const colors = new Map();

/** A field that is new gets a lane, as in shown.py: it moves the page anyway, by its row. */
function widen(change, before) {
	for (const [name, of] of Object.entries(change ?? {})) {
		const kind = typeof of === "number" ? "number" : typeof of === "boolean" || (typeof of === "string" && of.length <= 32) ? "band" : "";
		if (!kind || own(before, name) != null || fields.length > 5 || fields.some(([field]) => field === name) || /^(label|kind|image)$|_at$/.test(name)) continue;
		fields.push([name, kind]);
		height += kind === "band" ? 54 : 82;
		give(lanes, { height: height + 26 });
	}
}

/** What a field was, and from when until when: [from, to, value]; equal neighbours are one. */
function pieces(field, from, to) {
	const found = [];
	for (const [at, , change] of rows) {
		const of = change && own(change, field), last = found.at(-1);
		if (of === undefined || last?.[2] === of) continue;
		if (last) last[1] = at;
		found.push([at, to, of]);
	}
	const known = own(one.state, field);
	if (!found[0] && known !== undefined) found.push([rows[0]?.[0] ?? one.changed, to, known]);
	return found.filter(([, end, of]) => end > from && of !== null).map(([at, ...rest]) => [Math.max(at, from), ...rest]);
}

function draw() {
	const to = board.now(), born = rows[0]?.[1] === 1 ? rows[0][0] : 0;
	// A life shorter than the range fills it.
	range = Math.max(10000, Math.min(wanted, to - born));
	const from = to - range, width = lanes.clientWidth, percent = (time) => `${((time / range) * 100).toFixed(3)}%`;
	const x = (at) => percent(at - from), parts = [], add = (...made) => parts.push(make(...made));
	let y = 0;
	for (const [field, kind] of fields) {
		const found = pieces(field, from, to), last = found.at(-1)?.[2];
		add("svg:text", { class: "lane", y: y + 14 }, split(field, last)[0]);
		if (kind === "band") {
			const words = colors.get(field) ?? colors.set(field, []).get(field);
			for (const [, , of] of found) if (typeof of !== "boolean" && !words.includes(of)) words.push(of);
			for (const [at, end, of] of found) {
				const says = text(field, of), color = of === false ? "off" : `l${of === true ? 3 : words.indexOf(of) % 5}`;
				const pixels = ((end - at) / range) * width, fits = pixels > says.length * 8 + 14;
				if (pixels < 0.5 && end < to) continue;
				add("svg:svg", { x: x(at), y: y + 20, width: percent(end - at), height: 26 },
					make("svg:rect", { width: "100%", height: 26, rx: 4, class: color }),
					...(fits ? [make("svg:text", { class: "value", x: 8, y: 18 }, says)] : []));
			}
		} else if (typeof last === "number") {
			const values = found.map(([, , of]) => of).filter(Number.isFinite), low = Math.min(...values), high = Math.max(...values);
			const up = (of) => (high > low ? 54 - ((of - low) / (high - low)) * 50 : 29).toFixed(1), left = (at) => ((at - from) / range * 1000).toFixed(1);
			const line = found.map(([at, end, of], place) => `${place ? "L" : "M"}${left(at)} ${up(of)}H${left(end)}`).join("");
			add("svg:svg", { y: y + 18, width: "100%", height: 58, viewBox: "0 0 1000 58", preserveAspectRatio: "none" },
				make("svg:path", { class: "area", d: `${line}V58H${left(found[0][0])}Z` }),
				make("svg:path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }));
			add("svg:text", { class: "range", x: "100%", y: y + 14 }, (high > low ? `${number(low)} – ` : "") + text(field, high));
		}
		y += kind === "band" ? 54 : 82;
	}
	const { old, since } = board.verdict(one), unknown = Math.max(from, since);
	if (old) add("svg:rect", { x: x(unknown), width: percent(to - unknown), height, fill: "url(#hatch)" });
	add("svg:line", { class: "axis", x2: "100%", y1: height, y2: height });
	const ticks = width < 500 ? 2 : 4, day = /** @type {any} */ ({ day: "numeric", month: "short" });
	for (let tick = 0; tick <= ticks; tick++) {
		const at = from + (range * tick) / ticks, hour = clock(at, at).slice(0, range < 6e5 ? 8 : 5);
		const words = range > 864e5 ? new Date(at).toLocaleDateString([], day) : hour;
		add("svg:text", { x: `${(100 * tick) / ticks}%`, y: height + 18, "text-anchor": tick ? (tick < ticks ? "middle" : "end") : "start" }, tick < ticks ? words : "now");
	}
	if (cursor !== undefined) {
		const at = x(Math.max(from, rows[cursor][0]));
		add("svg:line", { class: "cursor", x1: at, x2: at, y2: height });
		add("svg:circle", { class: "cursor", cx: at, cy: height, r: 6 });
	}
	lanes.replaceChildren(...parts);
	drawn = board.clock();
}

/** Read the past out at a row: above the lanes for eyes, as the slider's text for ears. */
function point(place) {
	const last = rows.length - 1, words = [];
	cursor = place === undefined || last < 0 ? undefined : Math.max(0, Math.min(last, place));
	if (cursor !== undefined) {
		words.push(clock(rows[cursor][0], board.now()), `version ${rows[cursor][1]}`);
		for (const [field] of fields) {
			const of = rows.slice(0, cursor + 1).map(([, , change]) => change && own(change, field)).findLast((of) => of !== undefined) ?? null;
			if (of !== null) words.push(`${split(field, of)[0]} ${text(field, of)}`);
		}
	}
	find("#readout").replaceChildren(...words.map((said, place) => make(place ? "span" : "b", {}, said)));
	give(lanes, { "aria-valuemin": 0, "aria-valuemax": Math.max(0, last), "aria-valuenow": cursor ?? Math.max(0, last), "aria-valuetext": words.join(", ") || "now" });
	draw();
}

give(lanes, { tabindex: 0, role: "slider", "aria-label": "Timeline" });
lanes.onpointermove = lanes.onpointerdown = ({ clientX }) => {
	const { left, width } = lanes.getBoundingClientRect(), at = board.now() - range * (1 - (clientX - left) / width);
	point(rows.findLastIndex((row) => row[0] <= at));
};
lanes.onpointerleave = lanes.onblur = () => point();
lanes.onkeydown = (event) => {
	const last = rows.length - 1, here = cursor ?? last;
	const to = { ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - 10, PageDown: here + 10, Home: 0, End: last }[event.key];
	if (to === undefined) return;
	event.preventDefault();
	point(to);
};

// History

const list = find("#history"), all = find("#more-history button"), shortest = (id) => (id.length > 12 ? `${id.slice(0, 5)}…${id.slice(-4)}` : id);

// What the server wrote in UTC, in the time of who looks, like all that comes after it.
for (const row of list.children) {
	const time = find("time", row), at = rows.find(([, version]) => version === +row.dataset.version)?.[0] ?? Date.parse(time.dateTime);
	if (at) stamp(time, at, clock(at, board.now()));
}

/** One version: what each field was, and became. */
function line([at, version, change, { source, id, by }], was) {
	const steps = [...flat(change ?? { removed: "" })].slice(0, 6).map(([path, of]) => {
		const old = was(path) ?? null, before = old === null ? [] : [make("s", {}, text(path, old).slice(0, 120)), " → "];
		return make("span", {}, split(path, of ?? old)[0] + " ", ...before, make("b", {}, of === null ? "removed" : change ? text(path, of).slice(0, 120) : ""));
	});
	const row = make("li", { "data-version": version }, make("time"), " ", make("span", {}, `v${version}`), " ", make("span", { class: "change" }, ...steps),
		" ", make("code", {}, `${by === "user" ? "page" : source} · ${shortest(id)}`));
	stamp(find("time", row), at, clock(at, board.now()));
	return row;
}

/** What a path was, in rows from the newest to the oldest. */
const before = (older) => (path) => older.map(([, , change]) => flat(change).get(path)).find((of) => of !== undefined);

async function fetched(limit, before) {
	const response = await fetch(`/api/devices/${one.device}/history?limit=${limit}${before ? `&before=${before}` : ""}`);
	if (!response.ok) return [];
	const { history } = await response.json();
	return history.map(([at, ...rest]) => [Date.parse(at), ...rest]);
}

/** Fetch the past as far as the timeline shows it. */
async function reach() {
	for (let page = 0; page < 5 && !board.disconnectedSince && !(rows[0]?.[1] === 1 || rows[0]?.[0] < board.now() - wanted); page++) {
		const older = await fetched(200, rows[0]?.[1]).catch(() => []);
		if (!older[0]) break;
		rows.unshift(...older.reverse().filter((row) => !(row[1] >= rows[0]?.[1])));
	}
	point(cursor);
}

for (const button of every("#ranges button"))
	button.onclick = () => {
		wanted = +button.dataset.range;
		for (const other of every("#ranges button")) give(other, { "aria-pressed": other === button });
		reach();
	};

all.onclick = async () => {
	const older = await fetched(51, list.lastElementChild?.dataset.version).catch(() => []);
	list.append(...older.slice(0, 50).map((row, place) => line(row, before(older.slice(place + 1)))));
	put(all, "Show more");
	all.hidden = older.length < 51;
};

/** Something changed: the newest rows come into the history. */
function change(state) {
	const top = list.firstElementChild?.dataset.version ?? 0, first = rows.findLastIndex((row) => row[1] <= top) + 1;
	for (let place = first; place < rows.length; place++) {
		const row = rows[place];
		if (!row[3]) continue;
		if (state) widen(row[2], state);
		// The words go down, the lines stay where they are: nothing jumps.
		const fresh = line(row, before(rows.slice(Math.max(0, place - 100), place).reverse()));
		if (list.children.length < 8 || all.textContent === "Show more") list.append(make("li"));
		for (const old of list.children) {
			const words = [...old.childNodes], { version } = old.dataset;
			old.replaceChildren(...fresh.childNodes);
			old.dataset.version = fresh.dataset.version;
			fresh.replaceChildren(...words);
			fresh.dataset.version = version;
		}
	}
	const total = find("#more-history").firstChild, count = one.version;
	if (total.nodeType === 3 && count) put(total, total.textContent.replace(/^[\s\S]*?version(s?)/, `${number(count, true)} version${count > 1 ? "s" : ""}`));
	all.hidden &&= list.children.length < 8 || one.version <= 8;
	point(cursor);
}

let reached = false;

/** Told by the device's page with every frame. */
export function show(changed, before) {
	if (!drawn || changed) change(changed && before);
	else if (board.clock() - drawn > 5000) draw();
	if (reached || board.disconnectedSince) return;
	reached = true;
	reach();
}
