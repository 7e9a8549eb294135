// Which fields of a state come first: as in formats.py.
import { data } from "./page.js";
import { splitUnit as split } from "./statecast.js";

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
	const nested = names.filter((name) => !flat.includes(name));
	return [wanted.filter((name) => names.includes(name)), loud, nested].find((some) => some[0])?.slice(0, 3) ?? [];
}
