// The live endpoint by server-sent events, where WebSocket is blocked. To the connection it is a socket that hears packets.
// After two sockets that led nowhere (`fails`) this is tried; if it fails too, it is the server, and WebSocket's turn.

const LONGEST = 8000; // bytes of a URL: ours and most proxies take 8 KiB
const PATIENCE = 5000;

const among = (list, name) =>
	list.some((one) => one === "*" || one === name || (one.endsWith("/*") && name.startsWith(one.slice(0, -1))));

/** From now on, when all of its list is here, a connection forgets what is on none. */
export function prune(live) {
	const now = () => {
		if (!live.landed || !live.sure) return;
		for (const name of live.board.devices.keys()) if (!among(live.devices, name)) live.board.devices.delete(name);
	};
	live.prunes ??= live.on("link", now);
	now();
}

/** Put events in the place of a stand-in, unless that is of the past. */
export const over = (live, none) => none === live.socket && live.open(new Events(live));

export class Events {
	/** @type {(event: {data: string}) => void} */
	onmessage;
	/** @type {(event: {retry?: number}) => void} */
	onclose;
	/** @type {AbortController | undefined} */
	request;
	/** @type {WebSocket | undefined} */
	trial;
	next;
	wide = false;

	/** @param {import("./statecast.js").Connection & {url: string, probes: number, fails: number, [more: string]: any}} live */
	constructor(live) {
		this.live = live;
		this.url = new URL("../events", live.url.replace(/^ws/, "http")).href;
		// There is nothing to join; what to watch is asked with the request.
		queueMicrotask(() => this.hear("40"));
	}

	hear(data) {
		this.onmessage?.({ data });
	}

	close() {
		clearTimeout(this.next);
		this.onmessage = this.onclose = undefined;
		this.request?.abort();
		this.trial?.close();
	}

	/** Of what a viewer says only `watch` can be asked; an application's own events need WebSocket. */
	send(packet) {
		const [, id, data] = /^42(\d+)(\["watch",.*)$/s.exec(packet) ?? [];
		if (id) this.follow(id, JSON.parse(data)[1]);
	}

	address({ devices, since, health }) {
		const query = new URLSearchParams();
		if (health) query.set("health", "1");
		if (since) query.set("since", `${since.epoch}:${since.offset}`);
		const short = `${this.url}?${query}`;
		for (const one of devices) query.append("device", one);
		const long = `${this.url}?${query}`;
		// A list that is too long is left out: the connection passes over what is not on it.
		this.wide ||= long.length > LONGEST;
		return this.wide ? short : long;
	}

	async follow(id, wish) {
		this.request?.abort();
		const { signal } = (this.request = new AbortController());
		// Each request joins anew: without a place it is told what there is, and not what was removed.
		if (!wish.since) this.live.board.named = new Set();
		const stop = () => signal.aborted || this.onclose?.({});
		const limit = setTimeout(stop, PATIENCE);
		let retry;
		try {
			const options = { signal, cache: /** @type {const} */ ("no-store"), headers: { accept: "text/event-stream" } };
			let answer = await fetch(this.address(wish), options);
			if (/^4(14|31)$/.test(`${answer.status}`) && !this.wide) {
				this.wide = true;
				answer = await fetch(this.address(wish), options);
			}
			clearTimeout(limit);
			if (answer.status === 400) this.hear(`43${id}[${JSON.stringify({ error: (await answer.text()).trim() })}]`);
			if (answer.ok && answer.headers.get("content-type")?.startsWith("text/event-stream")) {
				this.hear(`43${id}[{}]`);
				this.next ??= this.later();
				retry = await this.read(answer.body, signal);
			}
		} catch {
			// It ended; how, nobody can say.
		}
		clearTimeout(limit);
		if (!signal.aborted) this.onclose?.({ retry });
	}

	/** Hear a stream to its end; what it said of when to come back. */
	async read(body, signal) {
		const reader = body.getReader(), decoder = new TextDecoder();
		let rest = "", retry;
		for (;;) {
			const { done, value } = await reader.read();
			if (done || signal.aborted) return retry;
			const events = (rest + decoder.decode(value, { stream: true })).split("\n\n");
			rest = events.pop();
			for (const event of events) {
				const of = (name) => new RegExp(`(?:^|\\n)${name}: ?([^\\n]*)`).exec(event)?.[1];
				retry = of("retry") ? +of("retry") : retry;
				// A mere sign of life is Engine.IO's packet without meaning.
				this.hear(of("data") ? `42[${JSON.stringify(of("event"))},${this.sift(of("data"))}]` : "6");
				if (signal.aborted) return retry;
			}
		}
	}

	/** Of a wider list only what was asked for. */
	sift(data) {
		if (!this.wide || !data.startsWith('{"epoch"')) return data;
		const { states, ...more } = JSON.parse(data);
		return JSON.stringify({ ...more, states: states.filter(({ device }) => among(this.live.devices, device)) });
	}

	/** HTTP works, so it is worth asking soon whether WebSocket does, and then ever less often, up to every 16 minutes. */
	later() {
		const { live } = this, wait = live.probes ? 30_000 * 2 ** Math.min(live.probes - 1, 5) : 1000;
		live.probes++;
		return setTimeout(() => this.probe(), wait * (0.5 + Math.random()));
	}

	/** Go over to WebSocket, if by now it can be joined; this stream goes on until it is. */
	probe() {
		clearTimeout(this.next);
		this.next = this.later();
		this.trial?.close();
		const { live } = this, socket = (this.trial = new WebSocket(live.url));
		const limit = setTimeout(() => socket.close(), PATIENCE);
		socket.onclose = () => clearTimeout(limit);
		socket.onmessage = ({ data }) => {
			if (data[0] === "0") return socket.send("40");
			if (!/^40/.test(data)) return socket.close();
			clearTimeout(limit);
			this.trial = undefined;
			live.fails = 0;
			live.open(socket);
			live.receive(data);
		};
	}
}
