// The page of one device: its state, its timeline, its history, and the hug.
import { board, begin, data, draw, every, find, fresh, known, label, main, make, moment, ordered, picture, put, speak, stamp } from "./page.js";
import { age, clock, number, own, span, split, text } from "./statecast.js";

const article = find("#device"), name = article.dataset.device, only = "only" in data;
const table = find("#state"), history = find("#history"), lanes = find("#lanes"), raw = find("#raw");
let one = known(article), range = 3600000, cursor, drawn = 0;
one.state = JSON.parse(raw.textContent);
one.version = +article.dataset.version;
if (article.classList.contains("gone")) one.state = null;
/** What is known of the past, oldest first: [ms, version, change, cause]. */
const rows = JSON.parse(find("#rows").textContent).reverse();

// State

/** Every field with its dotted name, objects opened two levels deep. */
function* leaves(state, open = 2, before = "") {
	for (const key of before ? Object.keys(state) : ordered(state)) {
		const of = state[key], path = before + key;
		if (of && typeof of === "object" && !Array.isArray(of) && Object.keys(of)[0] && open) yield* leaves(of, open - 1, path + ".");
		else yield [path, of];
	}
}
const flat = (state) => new Map(state ? leaves(state) : []);

function showState(before) {
	const now = flat(one.state), was = flat(before);
	const shown = new Map(every("#state>*").map((row) => [row.dataset.field, row]));
	let last = null;
	for (const [path, of] of now) {
		let row = shown.get(path);
		const words = text(path, of, true), old = was.has(path) ? text(path, was.get(path), true) : undefined;
		if (!row) {
			row = make("div", { "data-field": path }, make("dt", {}, split(path, of)[0]), make("dd", {}, make("bdi", { dir: "auto" })), make("dd", {}, make("time")));
			last ? last.after(row) : table.prepend(row);
		}
		last = row;
		row.classList.remove("struck");
		const [, value, when] = row.children;
		if (old === words && value.textContent) continue;
		put(find("bdi", value), words);
		value.classList.toggle("long", words.length > 240);
		stamp(find("time", when), one.changed);
		row.times = [...(row.times ?? []), Date.now()].filter((at) => at > Date.now() - 5000);
		if (row.times.length > 3) moment(row, "bar", 6000);
		else moment(row, "flash", 1600);
		find("i", value)?.remove();
		if (old === undefined) continue;
		const note = make("i", {}, " was " + old.slice(0, 40));
		value.append(note);
		setTimeout(() => note.remove(), 6000);
	}
	for (const [path, row] of shown)
		if (!now.has(path) && !row.classList.contains("struck")) {
			row.classList.add("struck");
			setTimeout(() => row.classList.contains("struck") && row.remove(), 5000);
		}
}

// History

const short = (id) => (id.length > 12 ? `${id.slice(0, 5)}…${id.slice(-4)}` : id);
export function version([at, count, change, cause], was) {
	const steps = change === null ? [make("span", {}, make("b", {}, "removed"))] : [...flat(change)].slice(0, 6).map(([path, of]) => {
		const old = was(path), words = of === null ? "removed" : text(path, of);
		const before = old === undefined || old === null ? [] : [make("s", {}, text(path, old).slice(0, 120)), " → "];
		return make("span", {}, split(path, of ?? old)[0] + " ", ...before, make("b", {}, words.slice(0, 120)));
	});
	const row = make("li", { "data-version": count }, make("time"), " ", make("span", {}, "v" + count), " ", make("span", { class: "change" }, ...steps));
	const source = cause.by === "user" ? "page" : cause.source;
	row.append(" ", make("code", {}, `${source} · ${short(cause.id)}`));
	stamp(find("time", row), at, clock(at, board.now()));
	return row;
}

function difference(before, after) {
	if (!after) return null;
	const old = flat(before), now = flat(after), change = {};
	for (const [path, of] of now) if (text(path, old.get(path), true) !== text(path, of, true)) change[path] = of;
	for (const path of old.keys()) if (!now.has(path)) change[path] = null;
	return change;
}

// Timeline

const value = (change, field) => (change === null ? null : own(change, field));

/** What a field was and until when: [[from, to, value]], equal neighbours merged. */
function pieces(field, from, to) {
	const found = [];
	for (const [at, , change] of rows) {
		const of = value(change, field), last = found.at(-1);
		if (of === undefined || (last && last[2] === of)) continue;
		if (last) last[1] = at;
		found.push([at, to, of]);
	}
	if (!found[0] && own(one.state ?? {}, field) !== undefined) found.push([from, to, one.state[field]]);
	return found.filter((piece) => piece[1] > from && piece[2] !== null).map(([at, ...rest]) => [Math.max(at, from), ...rest]);
}

function showLanes() {
	const to = board.now(), from = to - range, width = lanes.clientWidth, height = lanes.getAttribute("height") - 26;
	const x = (at) => `${(((at - from) / range) * 100).toFixed(3)}%`, made = [];
	let y = 0;
	for (const [field, kind] of JSON.parse(lanes.dataset.lanes)) {
		const parts = pieces(field, from, to);
		made.push(make("svg:text", { class: "lane", y: y + 14 }, split(field, parts.at(-1)?.[2])[0]));
		if (kind === "band") {
			const words = [...new Set(parts.map((part) => part[2]))].filter((of) => of !== false);
			for (const [at, end, of] of parts) {
				const says = text(field, of), fits = ((end - at) / range) * width > says.length * 8 + 14;
				const color = of === false ? "off" : "l" + (of === true ? 3 : words.indexOf(of) % 5);
				const band = make("svg:rect", { width: "100%", height: 26, rx: 4, class: color });
				made.push(make("svg:svg", { x: x(at), y: y + 20, width: x(end - at + from), height: 26 }, band, ...(fits ? [make("svg:text", { class: "value", x: 8, y: 18 }, says)] : [])));
			}
		} else {
			const values = parts.map((part) => part[2]).filter((of) => typeof of === "number"), low = Math.min(...values), high = Math.max(...values);
			const up = (of) => (high > low ? 54 - ((of - low) / (high - low)) * 50 : 29).toFixed(1), left = (at) => (((at - from) / range) * 1000).toFixed(1);
			const line = parts.map(([at, end, of], place) => `${place ? "L" : "M"}${left(at)} ${up(of)}H${left(end)}`).join("");
			if (values[0] !== undefined) {
				const area = make("svg:path", { class: "area", d: `${line}V58H${left(parts[0][0])}` });
				const drawing = make("svg:path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" });
				made.push(make("svg:svg", { y: y + 18, width: "100%", height: 58, viewBox: "0 0 1000 58", preserveAspectRatio: "none" }, area, drawing));
				made.push(make("svg:text", { class: "range", x: "100%", y: y + 14 }, high > low ? `${number(low)} – ${text(field, high)}` : text(field, high)));
			}
		}
		y += kind === "band" ? 54 : 82;
	}
	const { old, key, since } = board.verdict(one), unknown = key === "gone" || old ? Math.max(since, from) : to;
	if (old) made.push(make("svg:rect", { x: x(unknown), y: 0, width: x(to - unknown + from), height, fill: "url(#hatch)" }));
	made.push(make("svg:line", { class: "axis", x2: "100%", y1: height, y2: height }));
	const ticks = width < 500 ? 2 : 4;
	for (let tick = 0; tick <= ticks; tick++) {
		const at = from + (range * tick) / ticks, anchor = ["start", "middle", "end"][tick ? (tick === ticks ? 2 : 1) : 0];
		const words = tick === ticks ? "now" : range > 864e5 ? new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "short" }) : clock(at, at).slice(0, 5);
		made.push(make("svg:text", { x: `${(100 * tick) / ticks}%`, y: height + 18, "text-anchor": anchor }, words));
	}
	if (cursor !== undefined && rows[cursor]) {
		const at = x(Math.max(from, rows[cursor][0]));
		made.push(make("svg:line", { class: "cursor", x1: at, x2: at, y1: 0, y2: height }), make("svg:circle", { class: "cursor", cx: at, cy: height, r: 6 }));
	}
	lanes.replaceChildren(...made);
	drawn = Date.now();
}

/** Read the past out at a row: for eyes above the lanes, for ears as the slider's text. */
function point(place) {
	const last = rows.length - 1;
	cursor = place === undefined ? undefined : Math.max(0, Math.min(last, place));
	const words = [];
	if (cursor !== undefined && rows[cursor]) {
		const [at, count] = rows[cursor];
		words.push(clock(at, board.now()), `version ${count}`);
		for (const [field] of JSON.parse(lanes.dataset.lanes)) {
			const of = rows.slice(0, cursor + 1).map((row) => value(row[2], field)).filter((of) => of !== undefined).at(-1);
			if (of !== undefined && of !== null) words.push(`${split(field, of)[0]} ${text(field, of)}`);
		}
	}
	find("#readout").replaceChildren(...words.map((word, place) => make(place ? "span" : "b", {}, word)));
	for (const [key, of] of Object.entries({ valuemin: 0, valuemax: last, valuenow: cursor ?? last, valuetext: words.join(", ") || "now" })) lanes.setAttribute("aria-" + key, of);
	showLanes();
}

for (const [key, of] of Object.entries({ tabindex: 0, role: "slider", "aria-label": "Timeline" })) lanes.setAttribute(key, of);
lanes.onpointermove = lanes.onpointerdown = ({ clientX }) => {
	const box = lanes.getBoundingClientRect(), at = board.now() - range * (1 - (clientX - box.left) / box.width);
	point(rows.findLastIndex((row) => row[0] <= at));
};
lanes.onpointerleave = lanes.onblur = () => point();
lanes.onkeydown = (event) => {
	const here = cursor ?? rows.length - 1;
	const to = { ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - 10, PageDown: here + 10, Home: 0, End: rows.length - 1 }[event.key];
	if (to === undefined) return;
	event.preventDefault();
	point(to);
};

/** Older rows from the server: [ms, version, change, cause], newest first. */
async function older(before, limit) {
	const answer = await fetch(`/api/devices/${name}/history?limit=${limit}${before ? "&before=" + before : ""}`);
	const { history } = await answer.json();
	return history.map(([at, ...rest]) => [Date.parse(at), ...rest]);
}
async function reach() {
	for (let page = 0; page < 5 && board.gone === undefined && !(rows[0]?.[0] < board.now() - range); page++) {
		const found = await older(rows[0]?.[1], 200);
		if (!found[0]) break;
		rows.unshift(...found.reverse());
	}
	point(cursor);
}
for (const button of every("#ranges button"))
	button.onclick = () => {
		range = +button.dataset.range;
		for (const other of every("#ranges button")) other.setAttribute("aria-pressed", other === button);
		reach();
	};

const all = find("#more-history button");
all.onclick = async () => {
	const found = await older(+history.lastElementChild?.dataset.version || 0, 51);
	found.slice(0, 50).forEach((row, place) => history.append(version(row, (path) => found.slice(place + 1).map((old) => flat(old[2] ?? {}).get(path)).find((of) => of !== undefined))));
	put(all, "Show more");
	all.hidden = found.length < 51;
};

// The hug: a wish, pending until it comes back as the cause of an update.

const hug = find("#hug"), answer = find("#answer");
let wish;
if (hug)
	hug.onclick = async () => {
		if (wish) return;
		const at = new Date(board.now()).toISOString();
		wish = { at, begun: performance.now(), done: false };
		hug.setAttribute("aria-disabled", true);
		put(find("span", hug), "Sending…");
		const response = await fetch("/api/messages", {
			method: "POST", headers: { "Content-Type": "application/json" },
			body: JSON.stringify({ device: name, by: "user", state: { hugged: true, hugged_at: at } }),
		}).catch(() => undefined);
		const { id, detail } = (await response?.json().catch(() => ({}))) ?? {};
		if (!response?.ok) return settle(`Not sent: ${detail ?? "the server cannot be reached."} Try again`, "alert");
		wish && Object.assign(wish, { id });
		if (!wish) return;
		put(find("span", hug), "Hug is in the queue…");
		put(answer, "The picture changes when it comes back.");
	};

function settle(words, role = "status") {
	wish = undefined;
	hug.removeAttribute("aria-disabled");
	put(find("span", hug), "Hug " + label(one));
	answer.setAttribute("role", role);
	answer.replaceChildren(...words);
	if (role === "status") speak(answer.textContent);
}

// All of it

let spoken = 0, changes = 0, dirty = false, before;
function take(next) {
	if (next.device !== name) {
		if (!next.state) return;
		put(find("#others b"), `New: ${label(next)}.`);
		find("#others").hidden = false;
		return;
	}
	if (!dirty) before = one.state;
	one = next;
	dirty = true;
	const at = rows.at(-1)?.[1];
	if (at === undefined || next.version > at) rows.push([next.changed, next.version, rowOf(before, next.state), next.cause]);
}
const rowOf = (before, after) => after && Object.fromEntries(Object.keys({ ...before, ...after }).filter((key) => JSON.stringify(own(before ?? {}, key)) !== JSON.stringify(own(after, key))).map((key) => [key, after[key] ?? null]));

function show() {
	const now = board.now(), key = fresh(article, one);
	article.classList.toggle("gone", key === "gone");
	if (dirty) {
		dirty = false;
		if (one.state) {
			picture(find("#one .sky"), one);
			moment(find("#one .sky"), "new", 4000);
			put(find("#one h1"), label(one));
		}
		showState(before);
		put(raw, JSON.stringify(one.state, null, 2));
		put(find("[data-show=version]"), one.version);
		put(find("[data-show=source]"), one.source ?? "–");
		if (one.version > (+history.firstElementChild?.dataset.version || 0)) {
			const old = flat(before);
			history.prepend(version([one.changed, one.version, difference(before, one.state), one.cause], (path) => old.get(path)));
			if (history.children.length > 8 && !all.textContent.includes("more")) history.lastElementChild.remove();
		}
		if (wish && (one.cause.id === wish.id || own(one.state ?? {}, "hugged_at") === wish.at)) {
			const took = Math.round(performance.now() - wish.begun);
			settle([make("b", {}, "Hugged."), ` ${took} ms from your click to this picture.`]);
		}
		point(cursor);
		changes++;
	}
	if (wish?.id && performance.now() - wish.begun > 10000) put(answer, `In the queue for ${span(performance.now() - wish.begun)}. The message is safe there.`);
	put(find("[data-show=heard]"), one.seen ? age(one.seen, now) + (one.silentAfter ? `, every ${one.silentAfter} s expected` : "") : "never");
	for (const time of every("#state time")) {
		time.at ??= Date.parse(time.dateTime);
		if (time.at) put(time, age(time.at, now));
	}
	if (changes && now - spoken > 10000) {
		const words = main(one.state ?? {}).filter((field) => typeof one.state[field] !== "number").map((field) => text(field, one.state[field]));
		speak(`${label(one)}: ${words.join(", ")}. ${changes} change${changes > 1 ? "s" : ""}.`);
		changes = 0;
		spoken = now;
	}
	if (Date.now() - drawn > 5000) showLanes();
}

begin({
	devices: [only ? "*" : name],
	take,
	draw: show,
	again: () => (dirty = true),
	entries: () => (one.state ? [one] : []),
	title: () => {
		const field = main(one.state ?? {})[0];
		return [(field ? text(field, one.state[field]).slice(0, 40) + " · " : "") + label(one), label(one)];
	},
}).on("link", reach);
point();
draw();
