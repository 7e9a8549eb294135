// The picture of a state: HTML has its parts, `data-set` says what of the state is bound to them. No code knows clouds.
import { draw, every, find, give, label, moment, put } from "./page.js";
import { getOwn as own, splitUnit as split, formatValue as text } from "./statecast.js";

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
/** A field changed: at most one flash a second; one that never rests, over three in five, gets a steady bar. */
export function flash(row, at) {
	const times = (row.times ?? []).filter((before) => before > at - 5000);
	row.times = [...times.slice(-3), at];
	if (times.length > 2) moment(row, "bar", 6000);
	else if (!(at - times.at(-1) < 1000)) moment(row, "flash", 1600);
}

/** More pictures than the cloud, and how to choose one: in more.js. */
export const gallery = { choose: undefined, watch: undefined };

function choose(state) {
	if (gallery.choose) return gallery.choose(state);
	const other = own(state, "image") ?? own(state, "kind"), cloud = find("template[data-picture=cloud]");
	if (other === undefined && word(own(state, "mood")) && cloud) return [cloud, "mood"];
	import("./more.js").then(draw);
	return [];
}

export function picture(sky, one) {
	const { state } = one, [template, field] = choose(state);
	if (!template) return false;
	const { picture: name, alt } = template.dataset;
	// An old image must not stand beside new text while the new one loads.
	const old = name === "image" && find("img", sky)?.getAttribute("src") !== state.image;
	if (old || sky.dataset.picture !== name) sky.replaceChildren(template.content.cloneNode(true));
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
	if (old) gallery.watch(find("img", sky));
	if (sky.role !== "img") return true;
	const spoken = (part) => {
		const of = part.split("|").find((binding) => result(binding) !== undefined);
		return of && (result(of) || of.split(":")[0]);
	};
	const words = (alt ?? "").split(" ").map(spoken).filter(Boolean).join(", ");
	give(sky, { "aria-label": `${name[0].toUpperCase() + name.slice(1)} ${label(one)}${words && ": " + words}` });
	return true;
}
