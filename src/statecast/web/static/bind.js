// Live fields on a page of one's own, by attributes alone: <script type=module src="/statecast/bind.js"></script> and
// <b data-live="pillow.mood"></b>, <svg data-live=pillow.mood data-to=data-mood>. What may be old is marked by data-fresh.
import { connect, own, text } from "./statecast.js";

const SAFE = /^(data-[\w-]+|aria-label|title|value)$/;

/** @param {Element} element */
function slot(element) {
	const live = element.getAttribute("data-live") ?? "", field = element.getAttribute("data-field");
	// A name may hold dots: the field begins at the first one after the last slash, or stands in data-field.
	const [, device, path] = /^((?:.*\/)?[^.]*)\.?(.*)$/.exec(live) ?? [];
	const to = element.getAttribute("data-to") ?? "";
	return field === null ? { element, to, device, path: path.split(".") } : { element, to, device: live, path: [field] };
}

/**
 * Keep every `[data-live]` under `root` up to date.
 * @param {ParentNode} [root] @param {import("./statecast.js").Options} [options]
 */
export function bind(root = document, options) {
	const slots = Array.from(root.querySelectorAll("[data-live]"), slot);
	const live = connect({ ...options, devices: [...new Set(slots.map((one) => one.device))] }), { board } = live;
	const show = () => {
		for (const { element, to, device, path } of slots) {
			const one = board.devices.get(device), known = one || board.gone === undefined;
			element.setAttribute("data-fresh", one ? board.verdict(one).key : board.offline ? "lost" : "none");
			if (!path[0] || !known) continue;
			const value = path.reduce((of, name) => (of && typeof of === "object" ? own(of, name) : undefined), one?.state);
			const words = text(path[path.length - 1], value);
			if (SAFE.test(to)) element.setAttribute(to, words);
			else if (!to && element.textContent !== words) element.textContent = words;
		}
	};
	for (const event of ["states", "seen", "health", "link"]) live.on(event, show);
	setInterval(show, 1000);
	return live;
}

if (globalThis.document?.querySelector("[data-live]")) bind();
