// The page of one device: its picture and what is said of it. What changes do to the rest is loaded once it is live.
import { begin, board, data, draw, find, fresh, known, label, moment, put } from "./page.js";
import { formatAge as age, getOwn as own, formatValue as text } from "./statecast.js";

const article = find("#device"), raw = find("#raw");
export const { device } = article.dataset;
export let one = known(article);
one.state = article.matches(".gone") ? null : JSON.parse(raw.textContent);
/** What is known of the past, oldest first: [ms, version, change, cause]. */
export const rows = JSON.parse(find("#rows").textContent).reverse();

/** A merge patch from one state to the next. */
function patch(before, after) {
	const names = Object.keys({ ...before, ...after }).filter((name) => JSON.stringify(own(before, name)) !== JSON.stringify(own(after, name)));
	return after && Object.fromEntries(names.map((name) => [name, own(after, name) ?? null]));
}

let before, parts, dirty = false;

function take(next) {
	if (next.device === device) {
		if (!dirty) before = one.state;
		if (rows.length > 5000) rows.shift();
		rows.push([next.changed, next.version, patch(one.state, next.state), next.cause]);
		one = next;
		dirty = true;
	} else if (next.state) {
		put(find("#others b"), `New: ${label(next)}.`);
		find("#others").hidden = false;
	}
}

function show() {
	const key = fresh(article, one), heard = one.seen ? age(one.seen, board.now()) : "never";
	parts ??= Promise.all([import("./picture.js"), import("./fields.js"), import("./change.js"), import("./past.js")]).then((loaded) => (parts = loaded)).then(draw);
	article.classList.toggle("gone", key === "gone");
	put(find("[data-show=heard]"), heard + (one.seen && one.silentAfter ? `, every ${one.silentAfter} s expected` : ""));
	if (!parts[0]) return;
	// Picture and words change together, or not yet.
	const changed = dirty && (!one.state || parts[0].picture(find("#one .sky"), one));
	if (changed) {
		dirty = false;
		if (one.state) moment(find("#one .sky"), "new", 4000, true);
		put(find("#one h1"), label(one));
		put(find("[data-show=version]"), one.version);
		put(find("[data-show=source]"), one.source ?? "–");
		put(raw, JSON.stringify(one.state, null, 2));
	}
	for (const part of parts.slice(2)) part.show(changed, before);
}

begin({
	devices: ["only" in data ? "*" : device],
	take,
	draw: show,
	entries: () => (one.state ? [one] : []),
	title() {
		const [field] = parts[1]?.main(one.state) ?? [], name = label(one);
		return [field ? `${text(field, one.state[field]).slice(0, 40)} · ${name}` : name, name];
	},
});
draw();
