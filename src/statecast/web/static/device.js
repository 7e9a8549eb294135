// The page of one device: its state, and the hug. The past has its own file, loaded when that part of the page is seen.
import { begin, board, data, draw, every, find, fresh, give, known, label, main, make, moment, ordered, picture, put, speak, stamp } from "./page.js";
import { age, own, span, split, text } from "./statecast.js";

const article = find("#device"), { device } = article.dataset, table = find("#state"), raw = find("#raw");
export let one = known(article);
one.state = article.matches(".gone") ? null : JSON.parse(raw.textContent);
/** What is known of the past, oldest first: [ms, version, change, cause]. */
export const rows = JSON.parse(find("#rows").textContent).reverse();

/** Every field by its dotted name, objects opened two levels deep. */
export function flat(state) {
	const found = new Map(), open = (of, path, levels) => {
		const inside = levels && of && typeof of === "object" && !Array.isArray(of) ? (path ? Object.keys(of) : ordered(of)) : [];
		if (path && !inside[0]) found.set(path, of);
		for (const name of inside) open(of[name], path ? `${path}.${name}` : name, levels - 1);
	};
	open(state ?? {}, "", 3);
	return found;
}

/** A merge patch from one state to the next. */
function patch(before, after) {
	const names = Object.keys({ ...before, ...after }).filter((name) => JSON.stringify(own(before, name)) !== JSON.stringify(own(after, name)));
	return after && Object.fromEntries(names.map((name) => [name, own(after, name) ?? null]));
}

function showState(before) {
	const now = flat(one.state), was = flat(before), shown = new Map(every("#state>*").map((row) => [row.dataset.field, row]));
	let last;
	for (const [path, of] of now) {
		const words = text(path, of, true), old = was.has(path) && text(path, was.get(path), true), row = shown.get(path)
			?? make("div", { "data-field": path }, make("dt", {}, split(path, of)[0]), make("dd", {}, make("bdi", { dir: "auto" })), make("dd", {}, make("time")));
		if (!row.isConnected) last ? last.after(row) : table.prepend(row);
		last = row;
		row.classList.remove("struck");
		if (old === words) continue;
		const [, value] = row.children;
		put(find("bdi", row), words);
		value.classList.toggle("long", words.length > 240);
		stamp(find("time", row), one.changed);
		find("i", row)?.remove();
		// A field that never rests gets a steady bar: at most one flash a second, three in five.
		row.times = (row.times ?? []).filter((at) => at > one.changed - 5000).concat(one.changed);
		if (row.times.length > 3) moment(row, "bar", 6000);
		else if (!(one.changed - row.times.at(-2) < 1000)) moment(row, "flash", 1600);
		if (old === false) continue;
		const note = make("i", {}, ` was ${old.slice(0, 40)}`);
		value.append(note);
		setTimeout(() => note.remove(), 6000);
	}
	for (const [path, row] of shown)
		if (!now.has(path)) {
			row.classList.add("struck");
			setTimeout(() => row.matches(".struck") && row.remove(), 5000);
		}
}

table.onclick = ({ target }) => target.matches("button") && (target.closest("dd").classList.remove("long"), target.remove());

// The hug is a wish: pending until it comes back as the cause of an update.

const hug = find("#hug"), answer = find("#answer");
let wish;
const offer = (words) => put(find("span", hug), words);

async function send() {
	if (wish) return;
	const at = new Date(board.now()).toISOString(), begun = performance.now();
	const mine = (wish = { at, begun });
	give(hug, { "aria-disabled": true });
	offer("Sending…");
	put(answer, "");
	const body = JSON.stringify({ device, by: "user", state: { hugged: true, hugged_at: at } }), headers = { "Content-Type": "application/json" };
	const response = await fetch("/api/messages", { method: "POST", headers, body }).catch(() => undefined);
	const { id, detail } = (await response?.json().catch(() => undefined)) ?? {};
	if (!response?.ok) return settle("alert", `Not sent: ${detail ?? "The server cannot be reached."} Try again`);
	if (wish !== mine) return;
	wish.id = id;
	offer("Hug is in the queue…");
	put(answer, "The picture changes when it comes back.");
}

function settle(role, ...words) {
	wish = undefined;
	give(hug, { "aria-disabled": undefined });
	offer(`Hug ${label(one)}`);
	give(answer, { role });
	answer.replaceChildren(...words);
	if (role === "status") speak(answer.textContent);
}

if (hug) hug.onclick = send;

// All of it

let before, dirty = false, changes = 0, spoken = 0, past;

function take(next) {
	if (next.device === device) {
		if (!dirty) before = one.state;
		rows.push([next.changed, next.version, patch(one.state, next.state), next.cause]);
		one = next;
		dirty = true;
	} else if (next.state) {
		put(find("#others b"), `New: ${label(next)}.`);
		find("#others").hidden = false;
	}
}

function show() {
	const now = board.now(), key = fresh(article, one), fields = main(one.state), say = (name) => text(name, one.state[name]);
	article.classList.toggle("gone", key === "gone");
	if (dirty && (!one.state || picture(find("#one .sky"), one))) {
		dirty = false;
		if (one.state) moment(find("#one .sky"), "new", 4000);
		put(find("#one h1"), label(one));
		put(find("[data-show=version]"), one.version);
		put(find("[data-show=source]"), one.source ?? "–");
		put(raw, JSON.stringify(one.state, null, 2));
		showState(before);
		changes++;
		if (wish && (one.cause?.id === wish.id || own(one.state, "hugged_at") === wish.at))
			settle("status", make("b", {}, "Hugged."), ` ${Math.round(performance.now() - wish.begun)} ms from your click to this picture.`);
		past?.change();
	}
	past?.show();
	const waits = wish?.id ? performance.now() - wish.begun : 0;
	if (waits > 10000) put(answer, `In the queue for ${span(waits)}. The message is safe there.`);
	put(find("[data-show=heard]"), one.seen ? age(one.seen, now) + (one.silentAfter ? `, every ${one.silentAfter} s expected` : "") : "never");
	for (const time of every("#state time")) if ((time.at ??= Date.parse(time.dateTime))) put(time, age(time.at, now));
	if (!changes || now - spoken < 10000) return;
	const words = fields.filter((name) => typeof one.state[name] !== "number").map(say).join(", ") || (one.state ? "" : "removed");
	if (words) speak(`${label(one)}: ${words}. ${changes} change${changes > 1 ? "s" : ""}.`);
	changes = 0;
	spoken = now;
}

begin({
	devices: ["only" in data ? "*" : device],
	take,
	draw: show,
	entries: () => (one.state ? [one] : []),
	title() {
		const [field] = main(one.state), name = label(one);
		return [field ? `${text(field, one.state[field]).slice(0, 40)} · ${name}` : name, name];
	},
});
new IntersectionObserver(async ([{ isIntersecting }], watcher) => {
	if (!isIntersecting) return;
	watcher.disconnect();
	past = await import("./past.js");
	past.change();
}).observe(find("#timeline"));
draw();
