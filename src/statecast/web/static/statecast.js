// Live states for any page: `import {connect} from "/statecast/statecast.js"`; types in statecast.d.ts. No DOM in here.

// Words: how values and times look, in the browser's languages.

const UNITS = new Map(
	"percent:% c:°C f:°F k:K w:W kw:kW wh:Wh kwh:kWh v:V a:A pa:Pa hpa:hPa bar:bar mm:mm cm:cm m:m km:km ms:ms s:s min:min h:h hz:Hz lux:lx db:dB ppm:ppm g:g kg:kg l:l deg:°"
		.split(" ").map((pair) => /** @type {[string, string]} */ (pair.split(":"))),
);
const digits = (maximumSignificantDigits, notation) => new Intl.NumberFormat([], { maximumSignificantDigits, notation });
const plain = digits(4), compact = digits(4, "compact"), power = digits(4, "scientific");
const whole = digits(21), exact = digits(17, "scientific");
const relative = new Intl.RelativeTimeFormat([], { style: "narrow" });
const times = (more) => new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...more });
const today = times({ second: "2-digit" }), dated = times({ day: "numeric", month: "short" });

export const own = (of, name) => (of && Object.hasOwn(of, name) ? of[name] : undefined);

export function number(value, all) {
	const size = Math.abs(value);
	if (all && Number.isSafeInteger(value)) return whole.format(value);
	const style = size >= 1e15 || (size && size < 1e-6) ? [power, exact] : [size < 1e6 ? plain : compact, whole];
	return style[all ? 1 : 0].format(value);
}

/** The name to show, and the unit. */
export function split(name, value) {
	if (typeof value !== "number") return [name, ""];
	if (/^(battery|humidity|level|brightness)$/.test(name)) return [name, "%"];
	const [, stem, end] = /^(.+)_([a-z]+)$/.exec(name) ?? [];
	return UNITS.has(end) ? [stem, UNITS.get(end)] : [name, ""];
}

/** A value with its unit; `all` shows every digit, not four. */
export function text(name, of, all) {
	if (typeof of === "boolean") return of ? "yes" : "no";
	if (typeof of === "number") return [number(of, all), split(name, of)[1]].filter(Boolean).join("\u00a0");
	if (!of || typeof of !== "object") return of || (of === "" ? "“”" : "");
	const list = Array.isArray(of), { length } = Object.keys(of);
	if (list && length && length < 4 && !of.some((part) => part && typeof part === "object"))
		return of.map((part) => text("", part, all)).join(", ");
	const says = `${number(length, true)} ${list ? "item" : "field"}${length === 1 ? "" : "s"}`;
	return list ? `[${says}]` : `{${says}}`;
}

/** @returns {[number, Intl.RelativeTimeFormatUnit, string]} */
function largest(ms) {
	const s = Math.max(0, ms) / 1000, count = (size) => Math.trunc(s / size);
	if (s < 60) return [count(1), "second", "s"];
	return s < 3600 ? [count(60), "minute", "min"] : s < 86400 ? [count(3600), "hour", "h"] : [count(86400), "day", "d"];
}

/** "48 s", "14 min". */
export function span(ms) {
	const [count, , unit] = largest(ms);
	return `${count} ${unit}`;
}

/** The time of day, with the day if it was another. */
export const clock = (at, now) => (new Date(at).toDateString() === new Date(now).toDateString() ? today : dated).format(at);

/** "3s ago", never in the future. */
export function age(at, now) {
	const [count, unit] = largest(now - at);
	return now - at < 2000 ? "just now" : now - at > 2592e6 ? clock(at, now) : relative.format(-count, unit);
}

// The board: the latest of every device, the place, the server's clock, and how fresh all that is.

export class Board {
	devices = new Map();
	sources = new Map();
	away = new Map();
	skew = 0;
	place = undefined;

	constructor(ours = Date.now) {
		this.ours = ours;
		/** Since when there is no connection, and when something was heard last, by our clock. */
		this.gone = this.heard = ours();
	}

	now() {
		return this.ours() + this.skew;
	}

	/** A `states` event: the devices it changed, each with what it was before. */
	take({ epoch, offset, states, reset, complete }) {
		if (reset) this.named = new Set();
		const changed = states.map(({ changed_at, seen_at, silent_after, ...one }) => {
			const { device } = one, before = this.devices.get(device);
			one.changed = Date.parse(changed_at);
			one.seen = Date.parse(seen_at) || undefined;
			one.silentAfter = silent_after ?? undefined;
			this.named?.add(device);
			if (one.state) this.devices.set(device, one);
			else this.devices.delete(device);
			return [one, before];
		});
		if (complete && this.named) {
			// A reset names all there is, even when a cut divides its slices: whatever it left out was removed.
			for (const [device, before] of this.devices)
				if (!this.named.has(device) && this.devices.delete(device)) changed.push([{ ...before, state: null }, before]);
			this.named = undefined;
		}
		this.place = { epoch, offset };
		return changed;
	}

	see(times) {
		for (const [device, at] of Object.entries(times)) {
			const one = this.devices.get(device);
			if (one) one.seen = Date.parse(at);
		}
	}

	health({ now, sources }) {
		this.skew = Date.parse(now) - this.ours();
		this.sources = new Map(Object.entries(sources ?? {}));
		// A source that nobody reports is read by nobody.
		for (const { source } of this.devices.values()) if (source && !this.sources.has(source)) this.sources.set(source, {});
		for (const [name, { status, since }] of this.sources)
			if (status === "connected") this.away.delete(name);
			else if (!this.away.has(name)) this.away.set(name, Date.parse(since) || this.now());
	}

	get offline() {
		return this.ours() - this.gone >= 3000;
	}

	/** Since when a source is away, unless it is a blip. */
	awaySince(source) {
		const since = this.away.get(source);
		return this.now() - since >= 5000 ? since : undefined;
	}

	/** How fresh a device is: under which filter it falls, its mark, the word, since when, and whether it may be old. */
	verdict({ state, seen, changed, source, silentAfter }) {
		const at = seen ?? changed, away = this.awaySince(source);
		const [key, mark, word, since, old] =
			state === null ? ["gone", "gone", "Removed", changed]
			: this.offline ? ["lost", "lost", "Last known", this.heard + this.skew, true]
			: away ? ["away", "away", "Queue away", away, true]
			: !silentAfter ? ["undated", "unknown", seen ? "Seen" : "Set", at]
			: this.now() - at > silentAfter * 1000 ? ["silent", "late", "Silent", at, true]
			: ["live", "live", "Live", changed];
		return { key, mark, word, since, old: !!old };
	}
}

// The connection: Socket.IO v5 over Engine.IO v4, on WebSocket; events.js where that is blocked.

const hidden = () => globalThis.document?.hidden;

export const connect = (options) => new Connection(options);

export class Connection {
	listeners = new Map();
	tries = 0;
	retryAt = 0;
	asked = 0;
	joined = false;
	landed = false;
	fails = 0;
	probes = 0;

	constructor({ devices = ["*"], url = new URL("/socket.io/", import.meta.url).href, board = new Board() } = {}) {
		this.devices = [...devices];
		this.board = board;
		this.url = url.replace(/^http/, "ws") + "?EIO=4&transport=websocket";
		const when = (event, act, /** @type {any} */ target = globalThis) => target?.addEventListener?.(event, act);
		when("online", () => this.retry());
		when("pagehide", () => this.close());
		when("pageshow", ({ persisted }) => persisted && this.retry());
		when("visibilitychange", () => (this.joined ? this.watch() : this.retry()), globalThis.document);
		this.open();
	}

	on(event, listener) {
		this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
		return this;
	}

	tell(event, ...values) {
		for (const listener of this.listeners.get(event) ?? []) listener(...values);
	}

	emit(...event) {
		if (this.joined) this.socket.send("42" + JSON.stringify(event));
	}

	watch(devices = this.devices) {
		const { board } = this;
		// With the old list's place the new one would have holes.
		if (`${devices}` !== `${this.devices}`) {
			this.sure = board.place = undefined;
			import("./events.js").then(({ prune }) => prune(this));
		}
		this.devices = [...devices];
		const wish = { devices, since: board.place, protocol: 1, health: !hidden() };
		if (this.joined) this.socket.send(`42${++this.asked}` + JSON.stringify(["watch", wish]));
		this.listen();
	}

	retry() {
		this.probes = 0;
		if (this.landed) return this.socket.probe?.();
		this.tries = 0;
		this.open();
	}

	close() {
		clearTimeout(this.timer);
		clearTimeout(this.silence);
		const { socket } = this;
		this.socket = undefined;
		this.joined = this.landed = false;
		this.board.gone ??= this.board.ours();
		socket?.close();
	}

	open(/** @type {any} */ socket = this.fails < 2 ? new WebSocket(this.url) : this.events()) {
		this.close();
		this.socket = socket;
		socket.onmessage = ({ data }) => socket === this.socket && this.receive(data);
		socket.onclose = (event) => socket === this.socket && this.lose(event?.retry);
		this.listen();
	}

	events() {
		const none = { close() {} };
		import(`./events.js?${this.tries}`).then(({ over }) => over(this, none), () => none === this.socket && this.lose());
		return none;
	}

	// A visible page hears a beat every 2 s.
	listen() {
		clearTimeout(this.silence);
		if (this.landed && hidden()) return;
		this.silence = setTimeout(() => {
			this.board.gone ??= this.board.heard;
			this.lose();
		}, 5000);
	}

	// Full jitter
	lose(wait = Math.random() * Math.min(15000, 500 * 2 ** this.tries)) {
		this.tries++;
		if (!this.landed) this.fails = this.fails < 2 ? this.fails + 1 : 1;
		this.close();
		this.retryAt = this.board.ours() + wait;
		this.timer = setTimeout(() => this.open(), wait);
		this.tell("link");
	}

	receive(packet) {
		const [, kind, id, data] = /^(4[0-4]|.)(\d*)([^]*)$/.exec(packet) ?? [];
		this.board.heard = this.board.ours();
		this.listen();
		if (kind === "0") this.socket.send("40");
		else if (kind === "2") this.socket.send("3");
		else if (kind === "40") {
			this.joined = this.sure = true;
			if (!this.board.place) this.board.named = new Set();
			this.watch();
		} else if (kind === "42") this.happen(...JSON.parse(data));
		else if (kind === "43") {
			const { error } = JSON.parse(data)[0];
			if (+id !== this.asked) return;
			if (error) this.tell("refused", error);
			else this.sure = true;
		} else if (/^(1|4[14])$/.test(kind)) this.lose();
	}

	happen(event, ...values) {
		const { board } = this, [value] = values;
		if (event === "seen") board.see(value);
		if (event === "health") board.health(value);
		if (event !== "states") return this.tell(event, ...values);
		const landed = (value.complete &&= this.sure), changed = board.take(value);
		if (!this.sure) board.place = undefined;
		if (landed) {
			this.landed = true;
			board.gone = undefined;
			this.tries = 0;
			if (this.fails < 2) this.fails = this.probes = 0;
		}
		this.tell("states", changed);
		if (landed) this.tell("link");
	}
}
