// What a change does to the page of a device: its fields, and the hug that waits for it.
import { one, device } from "./device.js";
import { main, ordered } from "./fields.js";
import { board, every, find, give, label, make, put, stamp } from "./page.js";
import { flash } from "./picture.js";
import { getOwn as own, formatDuration as span, splitUnit as split, formatValue as text } from "./statecast.js";
import { everything, speak } from "./trouble.js";

const table = find("#state");

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

function showState(before) {
	const now = flat(one.state), was = flat(before), shown = new Map(every("#state>*").map((row) => [row.dataset.field, row]));
	let last;
	for (const [path, of] of now) {
		const words = text(path, of, true), old = was.has(path) ? text(path, was.get(path), true) : undefined, row = shown.get(path)
			?? make("div", { "data-field": path }, make("dt", {}, split(path, of)[0]), make("dd", {}, make("bdi", { dir: "auto" })), make("dd", {}, make("time")));
		if (!row.isConnected) last ? last.after(row) : table.prepend(row);
		last = row;
		row.classList.remove("struck");
		if (old === words) continue;
		const [, value] = row.children;
		put(find("bdi", row), words);
		value.classList.toggle("long", words.length > 240);
		if (words.length > 240 && !find("button", value)) value.append(make("button", { type: "button" }, "Show all"));
		stamp(find("time", row), one.changed);
		find("i", row)?.remove();
		flash(row, one.changed);
		if (old === undefined) continue;
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
/** @type {any} */ let wish;
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
	give(answer, { role: role === "alert" ? role : undefined });
	answer.replaceChildren(...words);
	if (role === "status") speak(answer.textContent);
}

if (hug) hug.onclick = send;


// Told by the device's page with every frame.

let changes = 0, spoken = 0;

export function show(changed, before) {
	const now = board.now(), ms = wish && Math.round(performance.now() - wish.begun);
	if (changed) {
		showState(before);
		changes++;
		const mine = wish && (one.cause?.id === wish.id || own(one.state, "hugged_at") === wish.at);
		if (mine) settle("status", make("b", {}, "Hugged."), ` ${ms} ms from your click to this picture.`);
	}
	if (wish?.id && ms > 10000) put(answer, `In the queue for ${span(ms)}. The message is safe there.`);
	for (const time of every("#state time")) {
		const at = time.at ?? Date.parse(time.dateTime);
		if (at) stamp(time, at);
	}
	if (!changes || now - spoken < 10000) return;
	const names = everything() ? ordered(one.state ?? {}) : main(one.state), told = names.filter((name) => typeof one.state[name] !== "number").map((name) => text(name, one.state[name]));
	if (told[0] || !one.state) speak(`${label(one)}: ${told.join(", ") || "removed"}. ${changes} change${changes > 1 ? "s" : ""}.`);
	changes = 0;
	spoken = now;
}
