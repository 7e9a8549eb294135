"""The tables, as numbered steps: a new schema takes all of them, an older one those it lacks.

Rule 1: a step never changes once it is released. A change of the tables is a new step.
Rule 2: a step does not depend on code that may change, because a store may be many versions behind.
Rule 3: a step only adds, where it can: programs of several versions run side by side during a
rolling update. ``runs_from`` says which is the oldest that still runs after the step.

The tables are those of ``stores/sqlite/schema.py`` without checksums: PostgreSQL has its own.
Texts that are keys compare byte by byte (``COLLATE "C"``), whatever the database's language is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class SchemaStep(NamedTuple):
    """One step of the schema."""

    sql: str
    runs_from: int
    """A program runs on the tables after this step if it knows at least so many steps."""


FIRST = """
-- See stores/counters.py. One row, which every commit changes last: while it is locked, no other
-- transaction gets an offset, so offsets are in the order in which commits become visible.
CREATE TABLE counters (
    id int PRIMARY KEY CHECK (id = 1),
    "offset" bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    event bigint NOT NULL DEFAULT 1,
    forgotten bigint NOT NULL DEFAULT 0,
    history_rows bigint NOT NULL DEFAULT 0,
    history_bytes bigint NOT NULL DEFAULT 0,
    known_ids bigint NOT NULL DEFAULT 0,
    known_events bigint NOT NULL DEFAULT 0,
    quarantine_rows bigint NOT NULL DEFAULT 0,
    devices bigint NOT NULL DEFAULT 0,
    clock bigint NOT NULL DEFAULT 0,
    doubted_at bigint NOT NULL DEFAULT 0,
    doubted_by bigint NOT NULL DEFAULT 0,
    command bigint NOT NULL DEFAULT 0,
    doubted_offset bigint NOT NULL DEFAULT 0,
    doubted_seen bigint NOT NULL DEFAULT 0,
    watch bigint NOT NULL DEFAULT 0,
    access bigint NOT NULL DEFAULT 0,
    audit bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO counters (id) VALUES (1);

-- Numbers that must rise, but not in the order of commits: a sequence is never locked.
CREATE SEQUENCE arrivals;         -- order of first arrival, and ids of the queues' messages
CREATE SEQUENCE page_numbers;
CREATE SEQUENCE receipt_numbers;

-- ``server``: identity of the server under which the epoch began; see server.py.
CREATE TABLE epochs (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch text NOT NULL UNIQUE,
    first_offset bigint NOT NULL,
    server text NOT NULL
);

-- Ids of edits and commands whose transactions were committed: after a connection that broke
-- during a commit it is looked up here what became of it.
-- ``offset`` is the store's after that transaction.
CREATE TABLE requests (
    id text COLLATE "C" PRIMARY KEY, at bigint NOT NULL, "offset" bigint NOT NULL
);
CREATE INDEX requests_at ON requests (at);

CREATE TABLE devices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device text COLLATE "C" NOT NULL UNIQUE,
    version bigint NOT NULL DEFAULT 0,
    "offset" bigint NOT NULL DEFAULT 0,
    seen bigint NOT NULL DEFAULT 0,
    state bytea,                               -- NULL: removed; the row is its tombstone
    changed_at bigint NOT NULL DEFAULT 0,
    seen_at bigint,
    cause_source text NOT NULL DEFAULT '',
    cause_id text NOT NULL DEFAULT '',
    cause_by text NOT NULL DEFAULT '',
    silent_after double precision,
    source text,
    removed_at bigint,
    fields bytea NOT NULL DEFAULT '{}',
    stamps bytea NOT NULL DEFAULT '',
    arrived_at bigint NOT NULL DEFAULT 0,
    clock bytea NOT NULL DEFAULT '',           -- see merge/device_clock.py
    commands text                              -- JSON array of names; NULL: it never said
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX devices_offset ON devices ("offset");
CREATE INDEX devices_seen ON devices (seen) WHERE seen > 0;
CREATE INDEX devices_removed ON devices (removed_at) WHERE removed_at IS NOT NULL;

CREATE TABLE history (
    "offset" bigint PRIMARY KEY,
    device bigint NOT NULL,
    version bigint NOT NULL,
    at bigint NOT NULL,
    change bytea,
    cause_source text NOT NULL,
    cause_id text NOT NULL,
    cause_by text NOT NULL,
    size bigint NOT NULL,
    arrived_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX history_version ON history (device, version);

CREATE TABLE sources (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    term bigint NOT NULL DEFAULT 0
);

-- Known message ids, one page per commit; ``open`` has those whose deletion is not confirmed yet.
CREATE TABLE known (
    source bigint NOT NULL, id text COLLATE "C" NOT NULL, page bigint NOT NULL,
    PRIMARY KEY (source, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE pages (
    page bigint PRIMARY KEY, source bigint NOT NULL, ids text[] NOT NULL, open text[] NOT NULL,
    forget_at bigint
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX pages_forget ON pages (forget_at) WHERE forget_at IS NOT NULL;

CREATE TABLE known_events (
    device text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, at bigint NOT NULL,
    PRIMARY KEY (device, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX known_events_at ON known_events (at);

CREATE TABLE quarantine (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    id text NOT NULL,
    item bigint,
    reason text NOT NULL,
    body bytea NOT NULL,
    sent_at bigint NOT NULL,
    arrival bigint NOT NULL,
    attempts bigint NOT NULL,
    at bigint NOT NULL,
    device text COLLATE "C",
    sender text NOT NULL DEFAULT ''
);
CREATE INDEX quarantine_device ON quarantine (device, number) WHERE device IS NOT NULL;

CREATE TABLE totals (                          -- see stores/totals.py
    source text COLLATE "C" PRIMARY KEY,
    messages bigint NOT NULL DEFAULT 0,
    versions bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    evicted bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    left_out bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Between processes; see stores/event_row.py and docs/design/presence.md.
CREATE TABLE events (
    number bigint PRIMARY KEY, at bigint NOT NULL, origin text NOT NULL, event bytea NOT NULL
);
CREATE INDEX events_at ON events (at);
CREATE TABLE reports (
    process text COLLATE "C" PRIMARY KEY, at bigint NOT NULL, report text NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE watch_counts (
    process text COLLATE "C" NOT NULL,
    part bigint NOT NULL,
    change bigint NOT NULL,
    counts bytea NOT NULL,
    PRIMARY KEY (process, part)
) WITH (fillfactor = 50);

-- The embedded queues. A body is written once and deleted once: which messages are in flight is
-- kept apart.
CREATE TABLE queues (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    messages bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0,
    received bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE TABLE queue (
    queue bigint NOT NULL, id bigint NOT NULL, sent_at bigint NOT NULL, body bytea NOT NULL,
    sender text NOT NULL DEFAULT '',
    PRIMARY KEY (queue, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE receipts (
    receipt bigint PRIMARY KEY, queue bigint NOT NULL,
    hidden_at bigint NOT NULL, visible_at bigint NOT NULL
);
CREATE TABLE in_flight (
    receipt bigint NOT NULL, id bigint NOT NULL, attempt bigint NOT NULL,
    PRIMARY KEY (receipt, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- See stores/contract.py: StoredReaction. ``state`` is that of the last successful call.
CREATE TABLE reactions (name text COLLATE "C" PRIMARY KEY, patterns text NOT NULL);
CREATE TABLE reacted (
    reaction text COLLATE "C" NOT NULL, device text COLLATE "C" NOT NULL,
    "offset" bigint NOT NULL, state bytea NOT NULL,
    PRIMARY KEY (reaction, device)
);

CREATE TABLE commands (                        -- see commands/life.py
    number bigint PRIMARY KEY,
    change bigint NOT NULL,
    id text COLLATE "C" NOT NULL UNIQUE,
    device text COLLATE "C" NOT NULL,
    name text NOT NULL,
    arguments bytea NOT NULL,
    by text,
    key text COLLATE "C",
    status text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    delivered_at bigint,
    ended_at bigint,
    reason text,
    attempted_at bigint
);
CREATE INDEX commands_device ON commands (device, number);
CREATE INDEX commands_change ON commands (change);
CREATE UNIQUE INDEX commands_key ON commands (key) WHERE key IS NOT NULL;
CREATE INDEX commands_deadline ON commands (expires_at) WHERE status IN ('waiting', 'delivered');
CREATE INDEX commands_age ON commands (created_at);
CREATE INDEX commands_waiting ON commands (number, device) WHERE status = 'waiting';
CREATE INDEX commands_open ON commands (number) WHERE status IN ('waiting', 'delivered');

-- See access/records.py. A removed record has no body; its row tells every process of it.
CREATE TABLE access (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    change bigint NOT NULL,
    body text,
    expires_at bigint,
    PRIMARY KEY (kind, id)
);
CREATE INDEX access_change ON access (change);
CREATE INDEX access_sessions ON access (expires_at) WHERE kind = 'session';
CREATE TABLE audit (
    number bigint PRIMARY KEY,
    at bigint NOT NULL,
    by text COLLATE "C" NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    detail text NOT NULL
);
CREATE INDEX audit_by ON audit (by, number);
CREATE INDEX audit_deeds ON audit (number)
    WHERE action IN ('command', 'drop', 'edit', 'replay', 'signed in', 'signed out');
CREATE INDEX audit_rights ON audit (number)
    WHERE NOT action IN ('command', 'drop', 'edit', 'replay', 'signed in', 'signed out');

-- Who holds each lease, and when it noted progress. ``expires_at`` is 0 where a lock of a session
-- says that the lease is held; see leases.py.
CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    noted_at bigint NOT NULL,
    expires_at bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
"""

KNOWN_BY_ID = """
-- An id is looked up by its own text first: there are few sources, and many ids of each. With the
-- source first, a planner without statistics reads all ids of a source.
ALTER TABLE known DROP CONSTRAINT known_pkey;
ALTER TABLE known ADD PRIMARY KEY (id, source);
"""

COMMAND_ASKERS = """
-- See commands/life.py: ``asker``. A program that does not know it counts no one's share.
ALTER TABLE commands ADD COLUMN asker text COLLATE "C";
CREATE INDEX commands_asker ON commands (asker, device)
    WHERE status IN ('waiting', 'delivered') AND asker IS NOT NULL;
"""

SET_BACKS = """
-- What a process that had read further found to be gone when the epoch began; see epochs.py.
ALTER TABLE epochs ADD COLUMN set_back_at timestamptz, ADD COLUMN lacks bigint;
"""

HANDLED = """
-- See reactions.py: the offset up to which a reaction has handled all changes.
ALTER TABLE reactions ADD COLUMN handled bigint NOT NULL DEFAULT 0;
"""

STEPS: Sequence[SchemaStep] = (
    SchemaStep(FIRST, 1),
    SchemaStep(KNOWN_BY_ID, 1),
    SchemaStep(COMMAND_ASKERS, 1),
    SchemaStep(SET_BACKS, 1),
    SchemaStep(HANDLED, 1),
)
"""Step n leads from version n - 1 to version n."""

RUNS_ON = 5
"""The oldest version of the tables on which this program runs, where it may not migrate them."""
