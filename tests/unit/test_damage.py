"""Damaged rows: every column of every table, damaged in every way. The neighbours stay live.

The cases are generated from the schema, so a new column is damaged too. Each column is damaged in
one way, the ways take turns; ``TEST_STATECAST_DAMAGES=all`` damages each column in every way.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import Any

import apsw
import pytest
from flask.testing import FlaskClient

from statecast.access.records import AuditEntry
from statecast.broadcast.watch_counts import part_of
from statecast.commands.request import new_command
from statecast.errors import StatecastError, StoreUnusable
from statecast.flask import create_app, runtime_of
from statecast.ingest.pipeline import Pipeline
from statecast.model import Event, Refusal
from statecast.outbox import Outbox
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.stores.leases import reaction_lease
from statecast.stores.limits import Limits
from statecast.stores.sqlite import tables
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing.values import change, message
from statecast.timestamps import now

EVERY_WAY = os.environ.get("TEST_STATECAST_DAMAGES") == "all"
DEVICES = 6
STATES = {f"d{n}": {"n": 2, "word": f"word {n}"} for n in range(1, DEVICES + 1)}
VICTIM = "d3"
ROWS = {
    "devices": f"device = '{VICTIM}'",
    "history": f"device = (SELECT id FROM devices WHERE device = '{VICTIM}') AND version = 2",
    "queue": "id = (SELECT min(id) FROM queue)",
    "queues": "name = 'queue'",
    "sources": "name = 'queue'",
    "totals": "source = 'queue'",
    "epochs": "number = (SELECT max(number) FROM epochs)",
    "known": "id = (SELECT min(id) FROM known)",
    "known_events": "id = (SELECT min(id) FROM known_events)",
    "reacted": f"device = '{VICTIM}'",
}
"""Which row of a table is damaged; else the first one."""

NUMBER = {
    "huge": str(2**62),
    "negative": "-5",
    "another": "coalesce({column}, 0) + 1000",
}
ANYTHING = {
    "null": "NULL",
    "text": "'garbage'",
    "bytes": "x'00ff10'",
    "no UTF-8": "CAST(x'7b28c3ff22' AS TEXT)",
    "long": f"'{'x' * 100_000}'",
}
TEXT = {
    "cut": "substr({column}, 1, length({column}) / 2)",
    "one character": "CAST(substr({column}, 1, 1) || 'Z' || substr({column}, 3) AS {type})",
}

PLAUSIBLE = {
    "known_events": "an id that is not known lets a repetition through, which stamps make harmless",
    "known": "the same; most damages are found, because the page has the ids too",
    "page_ids": "the list of unconfirmed ids only decides when the page is forgotten",
    "pages": "when a page is forgotten",
    "receipts": "a message appears a little later or earlier than it should",
    "in_flight": "the number of attempts only decides which messages are committed alone",
}
"""Tables without checksums, and why a value of the right form may go unnoticed there."""
HARMLESS_KEYS = {
    ("quarantine", "number"): "it is the same row under another number",
    ("epochs", "number"): "the number only orders the epochs",
    ("sources", "number"): "the known ids of the source are forgotten",
}
"""Keys that SQLite assigns: no checksum covers them."""
HARMLESS = {
    ("checksum", "null"): "the row is taken as one from before there were checksums",
}


@dataclass(frozen=True)
class Damage:
    table: str
    column: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}: {self.name}"

    @property
    def where(self) -> str:
        first = f"(SELECT min(rowid) FROM {self.table})"
        return ROWS.get(self.table, f"rowid = {first}" if self.has_rowid else "TRUE")

    @property
    def has_rowid(self) -> bool:
        return self.table not in {
            "known",
            "known_events",
            "queue",
            "in_flight",
            "reports",
            "totals",
            "reactions",
            "reacted",
            "watch_counts",
            "access",
        }


def damages() -> Iterator[Damage]:
    """All damages that SQLite itself would let a file have."""
    for table in tables.described().values():
        for column in [*table.columns, tables.Column(tables.CHECKSUM, (int,), True)]:
            if column.name == tables.CHECKSUM and not table.has_checksum:
                continue
            kind = next(name for name, types in tables.TYPES.items() if types == column.types)
            ways = dict(NUMBER)
            if not (column.name in table.keys and len(table.keys) == 1 and kind == "INTEGER"):
                ways = ANYTHING | (NUMBER if kind in ("INTEGER", "REAL") else TEXT)
            if column.name in table.keys:
                ways.pop("null", None)
            for name, value in ways.items():
                yield Damage(
                    table.name, column.name, name, value.format(column=column.name, type=kind)
                )


def one_of_each_column() -> Iterator[Damage]:
    """For each column one of its damages. Columns of as many ways take turns with the ways."""
    turns: dict[int, Iterator[int]] = {}
    for _, of_column in groupby(damages(), key=lambda one: (one.table, one.column)):
        ways = list(of_column)
        turn = turns.setdefault(len(ways), count())
        yield ways[next(turn) % len(ways)]


CASES = list(damages() if EVERY_WAY else one_of_each_column())


def test_the_cases_have_every_column_and_every_damage() -> None:
    chosen, all_ = list(one_of_each_column()), list(damages())
    assert {(one.table, one.column) for one in chosen} == {(one.table, one.column) for one in all_}
    assert {one.name for one in chosen} == {one.name for one in all_}
    assert {one.name for one in all_} == ANYTHING.keys() | NUMBER.keys() | TEXT.keys()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which every table has rows."""
    path = tmp_path_factory.mktemp("whole") / "store.db"
    store = SqliteStore(path, Limits(), now)
    lease = store.lease("queue")
    assert lease is not None
    for version in (1, 2):
        store.commit(
            "queue",
            1,
            [
                message(
                    f"{device}-{version}",
                    change(
                        device,
                        state | {"n": version},
                        event_id=f"{device}-{version}",
                        silent_after=60.0,
                        commands=("hug", "open"),
                    ),
                    sent_at=now(),
                )
                for device, state in STATES.items()
            ],
            term=lease.term,
        )
    bad = Refusal("It is not JSON.", b"{broken", 1, VICTIM)
    store.commit("queue", 1, [message("bad", sent_at=now(), refusals=(bad,))])
    store.emit([Event("/", "hello", b'["world"]', ("lobby",), origin="other")])
    store.announce("other", {"sources": {}, "viewers": 1})
    counts = b'{"numbers":{"%b":1},"names":{}}' % VICTIM.encode()
    store.count_watching("other", {part_of(VICTIM): counts})
    running = store.lease(reaction_lease("mail"))
    assert running is not None
    store.reaction("mail", ["*"]).begin(running.term)
    running.release()
    store.begin_command(new_command(VICTIM, "hug", by="Ada", key="click"))
    store.put_access(
        "session",
        "s1",
        {"user": "ada", "expires_at": now() + 60_000},
        audit=AuditEntry("user ada", "signed in", "ada"),
    )
    queue = store.queue("queue")
    queue.append([body(VICTIM, 3)])
    queue.append([body(VICTIM, 4)])
    queue.acknowledge_and_receive({}, 1, 0)
    lease.release()
    store.close()
    return path


def body(device: str, n: int) -> bytes:
    return json.dumps({"device": device, "state": {"n": n}}).encode()


def damage(path: Path, one: Damage) -> bool:
    """Change one value, as a program or a disk without scruples would; whether it is another."""
    connection = apsw.Connection(str(path))
    value = f"SELECT CAST({one.column} AS BLOB) FROM {one.table}"
    before = connection.execute(value).fetchall()

    def schema_text(find: str, put: str) -> None:
        connection.execute("PRAGMA writable_schema = ON").fetchall()
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ?",
            (find, put, one.table),
        ).fetchall()
        connection.execute("PRAGMA writable_schema = RESET").fetchall()

    schema_text("NOT NULL", "/*NOTNULL*/")
    schema_text("CHECK (id = 1)", "/*CHECKED*/")
    sql = f"UPDATE {one.table} SET {one.column} = {one.value} WHERE {one.where}"
    connection.execute(sql).fetchall()
    assert connection.changes() > 0, "the case damages nothing"
    schema_text("/*NOTNULL*/", "NOT NULL")
    schema_text("/*CHECKED*/", "CHECK (id = 1)")
    changed: bool = connection.execute(value).fetchall() != before
    connection.close()
    return changed


class Served:
    """A store with an application before it, in this process."""

    def __init__(self, path: Path, damaged: bool = True) -> None:
        self.path = path
        self.damaged = damaged
        settings = Settings(store=f"sqlite:///{path}")
        app = create_app(settings)
        self.live: Runtime = runtime_of(app)
        self.client: FlaskClient = app.test_client()
        self.settings = settings

    def get(self, path: str) -> tuple[int, Any]:
        response = self.client.get(path)
        assert response.status_code < 500 or response.status_code == 503, (path, response.text)
        return response.status_code, response.json if path.startswith("/api") else response.text

    def look(self) -> dict[str, Any]:
        """Look at everything that can be seen; the states of the devices."""
        for path in ("/", "/operator"):
            assert self.get(path)[0] == 200, path
        of_victim = f"/api/devices/{VICTIM}"
        for path in (f"/devices/{VICTIM}", f"{of_victim}/history", f"{of_victim}/viewers"):
            self.get(path)
        self.get("/api/changes")
        for record in (*self.store.access_records(), self.store.access_record("session", "s1")):
            assert record is None or record.body is None or record.body["user"] == "ada"
        assert all(one.by == "user ada" for one in self.store.audit_rows())
        return self.states()

    def states(self) -> dict[str, Any]:
        """The states of the devices that are shown."""
        status, listed = self.get("/api/devices")
        assert status == 200
        states = {one["device"]: one["state"] for one in listed["devices"]}
        status, one = self.get(f"/api/devices/{VICTIM}")
        assert (status == 200) is (VICTIM in states)
        assert status != 200 or one["state"] == states[VICTIM]
        return states

    def receive_all(self) -> None:
        """Consume the queue as the server does."""
        source, decode = Outbox(self.settings, lambda: self.live.store, now).open("embedded:queue")
        lease = self.live.store.lease("queue")
        assert lease is not None
        pipeline = Pipeline(source, decode, self.live.store, batch_size=100)
        while pipeline.step(lease.term, 0)[0]:
            pass
        pipeline.step(lease.term, 0)
        lease.release()

    @property
    def store(self) -> SqliteStore:
        store = self.live.store
        assert isinstance(store, SqliteStore)
        return store


@pytest.fixture
def served(whole: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    path = tmp_path / "store.db"
    shutil.copy(whole, path)
    one = Served(path, damage(path, request.param))  # NULL may be NULL already
    yield one
    one.live.stop()


def found_by_doctor(served: Served) -> list[str]:
    """What another process finds, before the server has opened the store."""
    store = SqliteStore(served.path, Limits(), now, begin_epoch=False)
    try:
        return store.check()
    finally:
        store.close()


def may_go_unnoticed(one: Damage) -> bool:
    return (
        one.table in PLAUSIBLE
        or (one.table, one.column) in HARMLESS_KEYS
        or (one.column, one.name) in HARMLESS
    )


@pytest.mark.parametrize(
    ("served", "case"), [(one, one) for one in CASES], ids=str, indirect=["served"]
)
def test_one_damaged_value_stops_nothing(served: Served, case: Damage) -> None:
    # given a store with one damaged value
    named = found_by_doctor(served)
    assert named or may_go_unnoticed(case) or not served.damaged
    # when pages and programs look at it
    states = served.look()
    # then each device is right, or it is left out and named
    for device, state in STATES.items():
        assert states.get(device, state) == state
        if device not in states:
            assert device == VICTIM
    # and when a message for a neighbour comes, it is applied
    served.live.send(body("d4", 9))
    served.receive_all()
    states = served.states()
    neighbours = STATES | {"d4": STATES["d4"] | {"n": 9}}
    for device, state in neighbours.items():
        if device != VICTIM:
            assert states[device] == state
    victim = states.get(VICTIM, STATES[VICTIM])
    assert victim in ({**STATES[VICTIM], "n": n} for n in (2, 3, 4)), victim
    # and a repair leaves nothing to find, and the neighbours as they are
    served.store.repair()
    assert served.store.check() == []
    states = served.states()
    for device, state in neighbours.items():
        if device != VICTIM:
            assert states[device] == state


@pytest.mark.parametrize(
    ("served", "case"),
    [(one, one) for one in CASES if one.table in ("reactions", "reacted")],
    ids=str,
    indirect=["served"],
)
def test_a_reaction_with_a_damaged_row_goes_on(served: Served, case: Damage) -> None:
    # given a reaction of which one value is damaged, and two devices that change
    served.live.send(body("d4", 9))
    served.receive_all()
    # when it continues
    lease = served.store.lease(reaction_lease("mail"))
    assert lease is not None
    reaction = served.store.reaction("mail", ["*"])
    reaction.begin(lease.term)
    # then the neighbours are known as they were, and what has changed is to be handled
    found = reaction.unhandled()
    assert {VICTIM, "d4"} <= set(found) and not set(STATES) - {VICTIM, "d4"} & set(found)
    before = {device: reaction.last(device) for device in STATES}
    for device, state in STATES.items():
        if device != VICTIM:
            assert json.loads(before[device] or b"null") == state
    assert before[VICTIM] is None or json.loads(before[VICTIM]) == STATES[VICTIM]
    # and after its next call, the damaged device is as any other
    for device in found:
        reaction.note(device, served.store.get(device), lease.term)
    assert set(reaction.unhandled()) & set(STATES) == set()
    assert json.loads(reaction.last(VICTIM) or b"null") == served.states()[VICTIM]
    lease.release()


# Bits that a disk has flipped


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_show_no_wrong_state(whole: Path, tmp_path: Path, seed: int) -> None:
    # given a store at rest in which some bits have flipped
    chance = random.Random(seed)
    content = bytearray(whole.read_bytes())
    used = [place for place, byte in enumerate(content) if byte]  # most of so small a file is empty
    for _ in range(chance.choice([1, 4, 16])):
        content[chance.choice(used)] ^= 1 << chance.randrange(8)
    path = tmp_path / "store.db"
    path.write_bytes(content)
    # when it is opened, then it is refused with a sentence
    try:
        served = Served(path)
        named = found_by_doctor(served)
        served.store
    except StatecastError as error:
        assert str(error).endswith(".")
        return
    # or nothing wrong is shown that the doctor does not name
    try:
        for path_ in ("/", "/operator", f"/devices/{VICTIM}", f"/api/devices/{VICTIM}/history"):
            served.get(path_)
        status, listed = served.get("/api/devices")
        states = {one["device"]: one["state"] for one in listed.get("devices", [])}
        assert named or (status == 200 and states == STATES)
        for device, state in states.items():
            assert STATES.get(device) == state
    finally:
        served.live.stop()


def test_a_flipped_bit_in_a_state_is_noticed(whole: Path, tmp_path: Path) -> None:
    # given each bit of one state flipped in its turn, valid JSON or not
    content = whole.read_bytes()
    state = b'{"n":2,"word":"word 3"}'
    at = content.index(state)  # of the device; a reaction, in a later page, has a copy
    path = tmp_path / "store.db"
    for bit in range(0, len(state) * 8, 7):
        flipped = bytearray(content)
        flipped[at + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        # when it is read, then the device is left out and named, never wrong
        store = SqliteStore(path, Limits(), now, begin_epoch=False)
        shown = {one.device: one.state for one in store.devices()}
        assert VICTIM not in shown and len(shown) == DEVICES - 1
        assert [one.device for one in store.damaged()] == [VICTIM]
        store.close()


def test_a_python_with_other_checksums_opens_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a Python that would write values in another form
    monkeypatch.setattr(tables, "FORMAT", 4)
    # then the store says so, instead of taking each row for damaged
    with pytest.raises(StoreUnusable, match="version of Python"):
        open_store(f"sqlite:///{tmp_path}/statecast.db")
