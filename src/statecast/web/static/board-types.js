// What a board holds, and what `states` and `health` events have on the wire. Types alone: no page
// loads this file.

/**
 * What made a version of a device.
 * @typedef {object} Cause
 * @property {string} source
 * @property {string} id
 * @property {"device" | "user" | "system"} by
 * @property {string} [sender] The key with which it was sent, like `key pillow-1`.
 */

/**
 * The latest that is known of a device. Times are milliseconds since 1970, by the server's clock.
 * @typedef {object} Device
 * @property {string} device Its name.
 * @property {number} [version] 1, 2, 3 ... per device; missing until its first update arrived.
 * @property {number} [offset] Where this version stands in the store.
 * @property {Record<string, any> | null} [state] Its fields; null once it was removed; missing
 *   until its first update arrived.
 * @property {string} [gone] Why the server does not send it any more: `forbidden`.
 * @property {number} changed When its state last changed.
 * @property {number} [arrived] When that was committed; missing: at once.
 * @property {number} [seen] When it last sent anything itself.
 * @property {number} [silentAfter] Seconds after which it counts as silent; none: no verdict.
 * @property {string[]} [commands] The commands that it takes; missing: it never said.
 * @property {string | null} [source] The source that its messages come from.
 * @property {Cause} [cause] What made this version.
 * @property {string[] | null} [commands] The commands that it takes; missing or null: it never
 *   said.
 */

/**
 * How far the state of a device can be believed.
 * @typedef {object} Verdict
 * @property {"live" | "silent" | "away" | "lost" | "undated" | "gone"} key
 * @property {"live" | "late" | "away" | "lost" | "unknown" | "gone"} mark The mark to draw.
 * @property {string} word One word for people.
 * @property {number} since Since when the verdict holds, or when the device was last heard.
 * @property {boolean} old Whether what is shown may no longer be true.
 */

/**
 * The health of a source as a `health` event reports it.
 * @typedef {object} SourceHealth
 * @property {string} [status]
 * @property {string} [since]
 * @property {number | null} [lag] Seconds that the newest applied message is behind; null: the
 *   queue was empty.
 * @property {number | null} [waiting] Messages in the queue, if the source knows.
 * @property {string | null} [sentence]
 */

/**
 * What is wrong on the server, as a `health` event reports it.
 * @typedef {object} Problem
 * @property {string} kind A word, like `disk-full`.
 * @property {string} subject What it concerns, like `store` or `source queue`.
 * @property {string} sentence
 * @property {"wrong" | "notice"} severity
 */

/**
 * A device in a `states` event, as it is on the wire.
 * @typedef {object} StateItem
 * @property {string} device
 * @property {number} version
 * @property {number} offset
 * @property {Record<string, any> | null} state
 * @property {string} [gone] Why the device is not sent any more, though it may exist.
 * @property {string} changed_at
 * @property {string} [arrived_at]
 * @property {string | null} [seen_at]
 * @property {number | null} [silent_after]
 * @property {string[]} [commands] what the device takes; missing: nothing is known
 * @property {string | null} [source]
 * @property {Cause} [cause]
 * @property {string[] | null} [commands]
 */

/**
 * What changed of a device: of one who has its version `from`. What is missing follows from the
 * rest; see docs/wire.md.
 * @typedef {object} PatchItem
 * @property {string} device
 * @property {number} from
 * @property {number} version
 * @property {number} offset
 * @property {Record<string, any>} patch A merge patch (RFC 7396) of the state.
 * @property {string} changed_at
 * @property {number} [delay] How many ms later it arrived.
 * @property {string | null} [seen_at]
 * @property {Record<string, any>} cause A merge patch of the cause.
 * @property {number | null} [silent_after]
 * @property {string | null} [source]
 * @property {string[]} [commands]
 * @property {undefined} [gone]
 */

/**
 * @typedef {object} StatesEvent
 * @property {string} [epoch] Missing, with the scope: that of the event before.
 * @property {number} offset
 * @property {string} [scope] For which devices the offset holds as a position.
 * @property {(StateItem | PatchItem)[]} states
 * @property {boolean} [reset] The position that was asked for is not part of this history.
 * @property {boolean} [complete] After this event everything has been sent.
 */

/**
 * @typedef {object} HealthEvent
 * @property {string} now The time of the server.
 * @property {Record<string, SourceHealth> | null} [sources]
 * @property {Problem[]} [problems]
 * @property {number} [quarantined] How many messages wait in quarantine.
 */

export {};
