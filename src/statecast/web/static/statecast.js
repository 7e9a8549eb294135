// Live states for any page: `import {connect} from "/statecast/statecast.js"`. Types: statecast.d.ts. No DOM in here.

// Words: how values and times look, in the browser's languages.

const UNITS = new Map(
	"percent:% c:°C f:°F k:K w:W kw:kW wh:Wh kwh:kWh v:V a:A pa:Pa hpa:hPa bar:bar mm:mm cm:cm m:m km:km ms:ms s:s min:min h:h hz:Hz lux:lx db:dB ppm:ppm g:g kg:kg l:l deg:°"
		.split(" ").map((pair) => /** @type {[string, string]} */ (pair.split(":"))),
);
const format = (options) => new Intl.NumberFormat(undefined, options);
const four = { maximumSignificantDigits: 4 }, notation = "scientific";
const plain = format(four), compact = format({ ...four, notation: "compact" }), power = format({ ...four, notation });
const whole = format({ maximumSignificantDigits: 21 }), exact = format({ maximumSignificantDigits: 17, notation });
const relative = new Intl.RelativeTimeFormat(undefined, { style: "narrow" });
const minutes = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const time = new Intl.DateTimeFormat(undefined, { ...minutes, second: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined, { ...minutes, day: "numeric", month: "short" });

export const own = (state, name) => (Object.hasOwn(state, name) ? state[name] : undefined);

export function number(value, all) {
	const size = Math.abs(value);
	if (all && Number.isSafeInteger(value)) return whole.format(value);
	if (size >= 1e15 || (size && size < 1e-6)) return (all ? exact : power).format(value);
	return (all ? whole : size >= 1e6 ? compact : plain).format(value);
}

/** The name to show, and the unit. */
export function split(name, value) {
	const [, stem, end] = /^(.+)_([a-z]+)$/.exec(name) ?? [], share = /^(battery|humidity|level|brightness)$/.test(name);
	if (typeof value !== "number") return [name, ""];
	return share ? [name, "%"] : UNITS.has(end) ? [stem, UNITS.get(end)] : [name, ""];
}

/** A value with its unit; `all` shows every digit, not four. */
export function text(name, of, all) {
	if (typeof of === "boolean") return of ? "yes" : "no";
	const unit = split(name, of)[1];
	if (typeof of === "number") return number(of, all) + (unit && "\u00a0" + unit);
	if (!of || typeof of !== "object") return of || (of === "" ? "“”" : "");
	const list = Array.isArray(of), { length } = Object.keys(of);
	if (list && length && length < 4 && !of.some((part) => part && typeof part === "object"))
		return of.map((part) => text("", part, all)).join(", ");
	const says = `${number(length, true)} ${list ? "item" : "field"}${length === 1 ? "" : "s"}`;
	return list ? `[${says}]` : `{${says}}`;
}

function largest(ms) {
	const s = Math.max(0, ms) / 1000;
	if (s < 60) return [s, "second", "s"];
	return s < 3600 ? [s / 60, "minute", "min"] : s < 86400 ? [s / 3600, "hour", "h"] : [s / 86400, "day", "d"];
}

/** "48 s", "14 min". */
export const span = (ms) => `${Math.trunc(largest(ms)[0])} ${largest(ms)[2]}`;
/** The time of day, with the day if it was another. */
export const clock = (at, now) => (new Date(at).toDateString() === new Date(now).toDateString() ? time : dated).format(at);

/** "3s ago", never in the future. */
export function age(at, now) {
	const [count, unit] = largest(now - at);
	if (now - at < 2000) return "just now";
	return now - at > 2592e6 ? clock(at, now) : relative.format(-Math.trunc(count), unit);
}

// The board: the latest of every device, the place, the server's clock, and how fresh all that is.

export class Board {
	devices = new Map();
	place;
	sources = new Map();
	away = new Map();
	skew = 0;

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
		const changed = states.map(({ device, version, state, cause, source, ...item }) => {
			const before = this.devices.get(device), seen = Date.parse(item.seen_at) || undefined;
			const one = { device, version, state, cause, source, seen, changed: Date.parse(item.changed_at) };
			one.silentAfter = item.silent_after ?? undefined;
			this.named?.add(device);
			if (state) this.devices.set(device, one);
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
		for (const [device, one] of this.devices) if (Object.hasOwn(times, device)) one.seen = Date.parse(times[device]);
	}

	health({ now, sources = {} }) {
		this.skew = Date.parse(now) - this.ours();
		this.sources = new Map(Object.entries(sources));
		// A source that nobody reports is read by nobody.
		for (const { source } of this.devices.values()) if (source && !this.sources.has(source)) this.sources.set(source, {});
		for (const [name, { status, since }] of this.sources)
			if (status === "connected") this.away.delete(name);
			else if (!this.away.has(name)) this.away.set(name, Date.parse(since) || this.now());
	}

	get offline() {
		return this.gone !== undefined && this.ours() - this.gone >= 3000;
	}

	/** Since when a source is away, unless it is a blip. */
	awaySince(source) {
		const since = this.away.get(source);
		return this.now() - since >= 5000 ? since : undefined;
	}

	/** How fresh a device is: under which filter it falls, its mark, the word, and since when. */
	verdict({ state, seen, changed, source, silentAfter }) {
		const verdict = (key, mark, word, since, old) => ({ key, mark, word, since, old });
		const at = seen ?? changed, away = this.awaySince(source);
		if (state === null) return verdict("gone", "gone", "Removed", changed);
		if (this.offline) return verdict("lost", "lost", "Last known", this.heard + this.skew, true);
		if (away) return verdict("away", "away", "Queue away", away, true);
		if (silentAfter === undefined) return verdict("undated", "unknown", seen ? "Seen" : "Set", at);
		if (this.now() - at > silentAfter * 1000) return verdict("silent", "late", "Silent", at, true);
		return verdict("live", "live", "Live", changed);
	}
}

// The connection: Socket.IO v5 over Engine.IO v4, on WebSocket alone.

const SILENCE = 5000;
const hidden = () => globalThis.document?.hidden;

export const connect = (options) => new Connection(options);

export class Connection {
	listeners = new Map();
	tries = 0;
	retryAt = 0;
	joined = false;
	asked = 0;

	constructor({ devices = ["*"], url = new URL("/socket.io/", import.meta.url).href, board = new Board() } = {}) {
		this.devices = devices;
		this.board = board;
		this.url = url.replace(/^http/, "ws") + "?EIO=4&transport=websocket";
		const when = (target, event, act) => target?.addEventListener?.(event, act);
		when(globalThis, "online", () => this.retry());
		when(globalThis, "pagehide", () => this.close());
		when(globalThis, "pageshow", ({ persisted }) => persisted && this.retry());
		when(globalThis.document, "visibilitychange", () => (this.joined ? this.watch() : this.retry()));
		this.open();
	}

	/** Have `listener` called for states, seen, health, link, refused, or an application's own event. */
	on(event, listener) {
		this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
		return this;
	}

	tell(event, ...values) {
		for (const listener of this.listeners.get(event) ?? []) listener(...values);
	}

	emit(event, ...values) {
		if (this.joined) this.socket.send("42" + JSON.stringify([event, ...values]));
	}

	/** Watch `devices` from now on; a hidden page asks for no beats. */
	watch(devices = this.devices) {
		this.devices = devices;
		const wish = { devices, since: this.board.place, protocol: 1, health: !hidden() };
		if (this.joined) this.socket.send(`42${++this.asked}` + JSON.stringify(["watch", wish]));
		this.listen();
	}

	/** Try now, unless all is well. */
	retry() {
		if (this.joined) return;
		this.tries = 0;
		this.open();
	}

	close() {
		clearTimeout(this.timer);
		clearTimeout(this.silence);
		const { socket } = this;
		this.socket = undefined;
		this.joined = false;
		this.board.gone ??= this.board.ours();
		socket?.close();
	}

	open() {
		this.close();
		const socket = (this.socket = new WebSocket(this.url)), current = (act) => (event) => socket === this.socket && act(event);
		socket.onmessage = current(({ data }) => this.receive(data));
		socket.onclose = current(() => this.lose());
		this.listen();
	}

	/** A visible page hears something every 2 s; if not, the connection is dead, whatever TCP believes. */
	listen() {
		clearTimeout(this.silence);
		if (this.joined && hidden()) return;
		this.silence = setTimeout(() => {
			this.board.gone ??= this.board.heard;
			this.lose();
		}, SILENCE);
	}

	/** Full jitter: after a restart not all come back in the same moment. */
	lose() {
		this.close();
		const wait = Math.random() * Math.min(15000, 500 * 2 ** this.tries++);
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
			this.joined = true;
			this.watch();
		} else if (kind === "42") this.happen(JSON.parse(data));
		else if (kind === "43") {
			const { error } = JSON.parse(data)[0];
			if (error && +id === this.asked) this.tell("refused", error);
		} else if (/^(1|4[14])$/.test(kind)) this.lose();
	}

	happen([event, ...values]) {
		const { board } = this, [value] = values;
		if (event === "seen") board.see(value);
		if (event === "health") board.health(value);
		if (event !== "states") return this.tell(event, ...values);
		const changed = board.take(value), back = value.complete && board.gone !== undefined;
		if (value.complete) {
			board.gone = undefined;
			this.tries = 0;
		}
		this.tell("states", changed);
		if (back) this.tell("link");
	}
}
