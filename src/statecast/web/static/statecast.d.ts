/** What `statecast.js` offers to any page. See docs for the events; times are milliseconds since 1970. */

export interface Device {
	device: string;
	/** 1, 2, 3 ... per device; missing until its first update arrived. */
	version?: number;
	/** The fields; null once the device was removed; missing until its first update arrived. */
	state?: Record<string, any> | null;
	/** When its state last changed, by the server's clock. */
	changed: number;
	/** Its own last sign of life, by the server's clock. */
	seen?: number;
	/** Seconds after which it counts as silent; none: no verdict. */
	silentAfter?: number;
	/** Whose absence makes its state old. */
	source?: string | null;
	/** What made this version. */
	cause?: { source: string; id: string; by: "device" | "user" | "system" };
}

export interface Verdict {
	key: "live" | "silent" | "away" | "lost" | "undated" | "gone";
	mark: "live" | "late" | "away" | "lost" | "unknown" | "gone";
	/** In a word, for people. */
	word: string;
	since: number;
	/** Whether what is shown may no longer be true. */
	old: boolean;
}

/** The latest of every device, the place, the server's clock, and how fresh all that is. */
export class Board {
	constructor(ours?: () => number);
	devices: Map<string, Device>;
	sources: Map<string, { status?: string; since?: string; lag?: number; waiting?: number | null; sentence?: string | null }>;
	away: Map<string, number>;
	place?: { epoch: string; offset: number };
	/** While all there is is being told: the devices named until now. The others go when that is complete. */
	named?: Set<string>;
	ours: () => number;
	/** The server's clock minus ours. */
	skew: number;
	/** When something was heard last, by our clock. */
	heard: number;
	/** Since when there is no connection, by our clock; undefined while all is well. */
	gone?: number;
	readonly offline: boolean;
	/** The server's time, now. */
	now(): number;
	take(event: object): [Device, Device | undefined][];
	see(times: Record<string, string>): void;
	health(report: object): void;
	awaySince(source?: string | null): number | undefined;
	verdict(one: Device): Verdict;
}

export interface Options {
	/** Names and patterns, like ["pillow", "floor2/*"]; everything if left out. */
	devices?: string[];
	/** The live endpoint; if left out, that of the server this file came from. */
	url?: string;
	board?: Board;
}

/** One connection that comes back by itself, from its place; by server-sent events where WebSocket is blocked. */
export class Connection {
	constructor(options?: Options);
	readonly board: Board;
	devices: string[];
	/** Whether words are exchanged; `landed`, whether all of the present list is here. */
	joined: boolean;
	landed: boolean;
	/** When it will be tried again, by our clock. */
	retryAt: number;
	on(event: "states", listener: (changed: [Device, Device | undefined][]) => void): this;
	on(event: "seen" | "health" | "link" | "refused", listener: (value: any) => void): this;
	/** An application's own event; where WebSocket is blocked none comes, and none goes. */
	on(event: string, listener: (...values: any[]) => void): this;
	emit(event: string, ...values: unknown[]): void;
	/** Watch these from now on; others leave the board. A hidden page asks for no beats. */
	watch(devices?: string[]): void;
	/** Try now, unless all is well. */
	retry(): void;
	close(): void;
}

export function connect(options?: Options): Connection;

export function own(of: any, name: string): any;
export function number(value: number, all?: boolean): string;
export function split(name: string, value: unknown): [name: string, unit: string];
export function text(name: string, of: unknown, all?: boolean): string;
export function span(ms: number): string;
export function clock(at: number, now: number): string;
export function age(at: number, now: number): string;
