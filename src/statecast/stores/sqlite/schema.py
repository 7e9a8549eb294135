"""The tables, as numbered steps: a new file takes all of them, an older file those it lacks.

Rule 1: a step never changes. A change of the tables is a new step.
Rule 2: a step does not depend on code that may change, because a file may be many versions behind.
Rule 3: a step that changes what stands in the rows of a table with checksums, or adds a column to
it, sets its checksums to NULL. Such a row is taken as it is, and gets one when it is written next.
"""

from __future__ import annotations

from collections.abc import Sequence

APPLICATION_ID = 0x53744361
"""``StCa``: it tells our files from those of other programs."""

FIRST = """
-- See stores/counters.py.
CREATE TABLE counters (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    arrival INTEGER NOT NULL DEFAULT 0,
    offset INTEGER NOT NULL DEFAULT 0,
    seen INTEGER NOT NULL DEFAULT 0,
    event INTEGER NOT NULL DEFAULT 1,
    page INTEGER NOT NULL DEFAULT 0,
    handout INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0,
    history_rows INTEGER NOT NULL DEFAULT 0,
    history_bytes INTEGER NOT NULL DEFAULT 0,
    known_rows INTEGER NOT NULL DEFAULT 0,
    known_events INTEGER NOT NULL DEFAULT 0,
    quarantine_rows INTEGER NOT NULL DEFAULT 0
);
INSERT INTO counters (id) VALUES (1);

CREATE TABLE epochs (
    number INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, first_offset INTEGER NOT NULL
);

CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    state BLOB,                                -- NULL: removed; the row is its tombstone
    changed_at INTEGER NOT NULL,
    seen_at INTEGER,
    cause_source TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    cause_by TEXT NOT NULL,
    silent_after REAL,
    source TEXT,
    removed_at INTEGER,
    fields BLOB NOT NULL,
    stamps BLOB NOT NULL
);
CREATE INDEX devices_offset ON devices (offset);
CREATE INDEX devices_seen ON devices (seen);
CREATE INDEX devices_removed ON devices (removed_at) WHERE removed_at IS NOT NULL;

CREATE TABLE history (
    offset INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    change BLOB,
    cause_source TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    cause_by TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE UNIQUE INDEX history_version ON history (device, version);

CREATE TABLE sources (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, term INTEGER NOT NULL DEFAULT 0
);

-- Known message ids, one page per commit: to forget a page is one row, not one per message.
CREATE TABLE known (
    source INTEGER NOT NULL, id TEXT NOT NULL, page INTEGER NOT NULL, PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE TABLE pages (
    page INTEGER PRIMARY KEY, source INTEGER NOT NULL, size INTEGER NOT NULL, forget_at INTEGER
);
CREATE INDEX pages_forget ON pages (forget_at) WHERE forget_at IS NOT NULL;
CREATE TABLE page_ids (page INTEGER PRIMARY KEY, ids TEXT NOT NULL, open TEXT);

CREATE TABLE known_events (
    device TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (device, id)
) WITHOUT ROWID;
CREATE INDEX known_events_at ON known_events (at);

CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    item INTEGER,
    reason TEXT NOT NULL,
    body BLOB NOT NULL,
    sent_at INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL
);

CREATE TABLE events (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, namespace TEXT NOT NULL, room TEXT,
    name TEXT NOT NULL, data BLOB NOT NULL
);

CREATE TABLE reports (
    process TEXT PRIMARY KEY, at INTEGER NOT NULL, report TEXT NOT NULL
) WITHOUT ROWID;

-- A body is written once and deleted once: which messages are in flight is kept apart.
CREATE TABLE queues (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    messages INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
    handed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE queue (
    queue INTEGER NOT NULL, id INTEGER NOT NULL, sent_at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;
CREATE TABLE handouts (
    handout INTEGER PRIMARY KEY, queue INTEGER NOT NULL,
    hidden_at INTEGER NOT NULL, visible_at INTEGER NOT NULL
);
CREATE TABLE handed (
    handout INTEGER NOT NULL, id INTEGER NOT NULL, attempt INTEGER NOT NULL,
    PRIMARY KEY (handout, id)
) WITHOUT ROWID;
"""

SECOND = """
-- The words of the glossary. Messages of one receive share a receipt and are in flight until they
-- are acknowledged; a queue's messages with ids above ``received`` were never received.
ALTER TABLE counters RENAME COLUMN handout TO receipt;
ALTER TABLE counters RENAME COLUMN known_rows TO known_ids;
ALTER TABLE queues RENAME COLUMN handed TO received;
ALTER TABLE handouts RENAME COLUMN handout TO receipt;
ALTER TABLE handouts RENAME TO receipts;
ALTER TABLE handed RENAME COLUMN handout TO receipt;
ALTER TABLE handed RENAME TO in_flight;
"""

TOTALS = """
-- See stores/totals.py.
CREATE TABLE totals (
    source TEXT PRIMARY KEY,
    messages INTEGER NOT NULL,
    versions INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    evicted INTEGER NOT NULL,
    refused INTEGER NOT NULL
) WITHOUT ROWID;
"""

ORIGIN = """
-- An event is one JSON object, see stores/event_row.py. Those of an older build are not kept: they
-- live for a minute.
DROP TABLE events;
CREATE TABLE events (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, origin TEXT NOT NULL, event BLOB NOT NULL
);
"""

QUARANTINE_DEVICE = """
-- The device that a message may be about, where it says so.
ALTER TABLE quarantine ADD COLUMN device TEXT;
CREATE INDEX quarantine_device ON quarantine (device, number) WHERE device IS NOT NULL;
"""

CHECKSUMS = """
-- See tables.py. NULL: the row was written before there were checksums.
ALTER TABLE counters ADD COLUMN checksum INTEGER;
ALTER TABLE epochs ADD COLUMN checksum INTEGER;
ALTER TABLE devices ADD COLUMN checksum INTEGER;
ALTER TABLE history ADD COLUMN checksum INTEGER;
ALTER TABLE sources ADD COLUMN checksum INTEGER;
ALTER TABLE totals ADD COLUMN checksum INTEGER;
ALTER TABLE quarantine ADD COLUMN checksum INTEGER;
ALTER TABLE events ADD COLUMN checksum INTEGER;
ALTER TABLE reports ADD COLUMN checksum INTEGER;
ALTER TABLE queues ADD COLUMN checksum INTEGER;
ALTER TABLE queue ADD COLUMN checksum INTEGER;
"""

DEVICE_COUNT = """
ALTER TABLE counters ADD COLUMN devices INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET
    devices = (SELECT count(*) FROM devices WHERE state IS NOT NULL),
    checksum = NULL;                           -- it covers all columns
"""

CLOCKS = """
-- Two times of a version: ``at`` when it happened, ``arrived_at`` when it was committed. Older rows
-- have no second time (NULL): a history may have a million rows, and none is rewritten.
ALTER TABLE history ADD COLUMN arrived_at INTEGER;
ALTER TABLE devices ADD COLUMN arrived_at INTEGER NOT NULL DEFAULT 0;
UPDATE devices SET arrived_at = changed_at;
-- See merge/device_clock.py.
ALTER TABLE devices ADD COLUMN clock BLOB NOT NULL DEFAULT x'';
-- See stores/clock_watch.py.
ALTER TABLE counters ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN doubted_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN doubted_by INTEGER NOT NULL DEFAULT 0;
-- A checksum covers all columns, the new ones too.
UPDATE history SET checksum = NULL WHERE checksum IS NOT NULL;
UPDATE devices SET checksum = NULL WHERE checksum IS NOT NULL;
UPDATE counters SET checksum = NULL;
"""

REACTIONS = """
-- See stores/contract.py: StoredReaction. ``state`` is that of the last successful call.
CREATE TABLE reactions (
    name TEXT PRIMARY KEY, patterns TEXT NOT NULL, checksum INTEGER
) WITHOUT ROWID;
CREATE TABLE reacted (
    reaction TEXT NOT NULL, device TEXT NOT NULL, offset INTEGER NOT NULL, state BLOB NOT NULL,
    checksum INTEGER, PRIMARY KEY (reaction, device)
) WITHOUT ROWID;
"""

COMMANDS = """
-- See commands/life.py: what is asked of devices.
CREATE TABLE commands (
    number INTEGER PRIMARY KEY,
    change INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL,
    name TEXT NOT NULL,
    arguments BLOB NOT NULL,
    by TEXT,
    key TEXT,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    delivered_at INTEGER,
    ended_at INTEGER,
    reason TEXT,
    checksum INTEGER
);
CREATE INDEX commands_device ON commands (device, number);
CREATE INDEX commands_change ON commands (change);
CREATE UNIQUE INDEX commands_key ON commands (key) WHERE key IS NOT NULL;
CREATE INDEX commands_deadline ON commands (expires_at)
    WHERE status IN ('waiting', 'delivered');
CREATE INDEX commands_age ON commands (created_at);
ALTER TABLE counters ADD COLUMN command INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET checksum = NULL;
"""

DOUBTED_ROWS = """
-- See stores/clock_watch.py and stores/totals.py.
ALTER TABLE counters ADD COLUMN doubted_offset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN doubted_seen INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET checksum = NULL;
ALTER TABLE totals ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
UPDATE totals SET checksum = NULL;
-- Their times are of the uptime now, see stores/retention.py. They live for a minute.
DELETE FROM events;
DELETE FROM reports;
"""

WATCH_COUNTS = """
-- See docs/design/presence.md.
CREATE TABLE watch_counts (
    process TEXT NOT NULL,
    part INTEGER NOT NULL,
    change INTEGER NOT NULL,
    counts BLOB NOT NULL,
    checksum INTEGER,
    PRIMARY KEY (process, part)
) WITHOUT ROWID;
ALTER TABLE counters ADD COLUMN watch INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET checksum = NULL;
"""

DEVICE_COMMANDS = """
-- The names of the commands that a device takes, as a JSON array. NULL: it never said.
ALTER TABLE devices ADD COLUMN commands TEXT;
UPDATE devices SET checksum = NULL WHERE checksum IS NOT NULL;
"""

COMMAND_QUEUES = """
-- See commands/life.py: ``attempted_at``.
ALTER TABLE commands ADD COLUMN attempted_at INTEGER;
UPDATE commands SET checksum = NULL;
CREATE INDEX commands_waiting ON commands (number, device) WHERE status = 'waiting';
CREATE INDEX commands_open ON commands (number) WHERE status IN ('waiting', 'delivered');
"""

ACCESS = """
-- See access/records.py. A removed record has no body; its row tells every process of it.
CREATE TABLE access (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    change INTEGER NOT NULL,
    body TEXT,
    expires_at INTEGER,
    checksum INTEGER,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX access_change ON access (change);
CREATE INDEX access_sessions ON access (expires_at) WHERE kind = 'session';
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    checksum INTEGER
);
CREATE INDEX audit_by ON audit (by, number);
ALTER TABLE counters ADD COLUMN access INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN audit INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET checksum = NULL;
"""

SENDERS = """
-- See model.py: ``Delivery.sender``. Devices and the history have it in ``cause_by``.
ALTER TABLE queue ADD COLUMN sender TEXT NOT NULL DEFAULT '';
UPDATE queue SET checksum = NULL;
ALTER TABLE quarantine ADD COLUMN sender TEXT NOT NULL DEFAULT '';
UPDATE quarantine SET checksum = NULL;
"""

AUDIT_BOUNDS = """
-- Entries about rights have a bound of their own; see access.py.
CREATE INDEX audit_deeds ON audit (number)
    WHERE action IN ('command', 'drop', 'edit', 'replay', 'signed in', 'signed out');
CREATE INDEX audit_rights ON audit (number)
    WHERE NOT action IN ('command', 'drop', 'edit', 'replay', 'signed in', 'signed out');
"""

COMMAND_ASKERS = """
-- See commands/life.py: ``asker``.
ALTER TABLE commands ADD COLUMN asker TEXT;
UPDATE commands SET checksum = NULL;
CREATE INDEX commands_asker ON commands (asker, device)
    WHERE status IN ('waiting', 'delivered') AND asker IS NOT NULL;
"""

STEPS: Sequence[str] = (
    FIRST,
    SECOND,
    TOTALS,
    ORIGIN,
    QUARANTINE_DEVICE,
    CHECKSUMS,
    DEVICE_COUNT,
    CLOCKS,
    REACTIONS,
    COMMANDS,
    DOUBTED_ROWS,
    WATCH_COUNTS,
    DEVICE_COMMANDS,
    COMMAND_QUEUES,
    ACCESS,
    SENDERS,
    AUDIT_BOUNDS,
    COMMAND_ASKERS,
)
"""Step n leads from version n - 1 to version n."""
