"""What becomes of a damaged row: rebuilt from what proves it, set aside, or lost and said so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner

from statecast.cli.main import main
from statecast.errors import RowDamaged, StoreUnavailable
from statecast.flask import create_app, runtime_of
from statecast.model import Change
from statecast.settings import Settings
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.sqlite import schema, tables
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing.values import VirtualClock, change, message

Opener = Callable[..., SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    stores: list[SqliteStore] = []
    clock = VirtualClock()

    def opener(**limits: Any) -> SqliteStore:
        clock.advance(60)
        stores.append(SqliteStore(path, Limits(**limits), clock))
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def write(path: Path, sql: str) -> list[Any]:
    """Change the file as another program would."""
    connection = apsw.Connection(str(path))
    found = connection.execute(sql).fetchall()
    connection.close()
    return found


def say(store: SqliteStore, number: int, **state: Any) -> None:
    one = message(f"m{number}", change("pillow", state), sent_at=store.clock())
    store.commit("queue", 1, [one])


def filled(store: SqliteStore) -> SqliteStore:
    """A device with three versions beside another."""
    say(store, 1, mood="calm", battery=82)
    say(store, 2, mood="happy")
    say(store, 3, battery=None, hugs=1)
    store.edit(Change("lamp", "merge", {"on": True}))
    return store


def state_of(store: SqliteStore, device: str = "pillow") -> Any:
    update = store.get(device)
    return None if update is None or update.state is None else json.loads(update.state)


RIGHT = {"mood": "happy", "hugs": 1}
WRONG = 'CAST(\'{"mood":"happy","hugs":7}\' AS BLOB)'
DAMAGES = {
    "state": (f"state = {WRONG}", "nothing is lost"),
    "version": ("version = 9", "nothing is lost"),
    "offset": ("offset = 700", "nothing is lost"),
    "changed_at": ("changed_at = 5", "nothing is lost"),
    "two columns": (f"state = {WRONG}, version = 77", "nothing is lost"),
    "stamps": (
        "stamps = x'00'",
        "lost: its deadline, what it takes and the order of its late messages",
    ),
    "seen_at": (
        "seen_at = 1",
        "lost: its deadline, what it takes and the order of its late messages",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_device_is_rebuilt_at_its_next_message(path: Path, opened: Opener, name: str) -> None:
    # given a device whose row is damaged, and whose history is complete
    filled(opened()).close()
    write(path, f"UPDATE devices SET {DAMAGES[name][0]} WHERE device = 'pillow'")
    store = opened()
    with pytest.raises(RowDamaged, match="'pillow' cannot be shown"):
        store.get("pillow")
    # when it sends a message, then that is applied to the state before the damage
    say(store, 4, mood="sleepy")
    assert state_of(store) == RIGHT | {"mood": "sleepy"}
    assert state_of(store, "lamp") == {"on": True}
    # and readers that have nothing of it receive it, the problem is over, and a copy is kept
    before = store.read(ReadCursor())
    assert "pillow" in [one.device for one in before.updates]
    assert store.damaged() == [] and store.problems.current() == []
    (copy,) = store.quarantined()
    assert copy.source == "(store)" and copy.device == "pillow"
    assert json.loads(copy.body)["row"]["device"] == "pillow"
    assert store.check() == []


@pytest.mark.parametrize("name", DAMAGES)
def test_a_repair_rebuilds_and_says_what_is_lost(path: Path, opened: Opener, name: str) -> None:
    filled(opened()).close()
    write(path, f"UPDATE devices SET {DAMAGES[name][0]} WHERE device = 'pillow'")
    store = opened()
    assert len(store.check()) == 1
    done = store.repair()
    assert DAMAGES[name][1] in " ".join(done)
    assert state_of(store) == RIGHT and store.check() == []
    # and the next message finds the device as it was
    say(store, 4, mood="sleepy")
    assert state_of(store) == RIGHT | {"mood": "sleepy"}


def test_what_nothing_proves_waits_in_quarantine(path: Path, opened: Opener) -> None:
    # given a damaged device whose history was trimmed
    store = opened(history_versions=2)
    for number in range(40):
        say(store, number, n=number, **({"label": "sofa"} if number == 0 else {}))
    store.close()
    write(path, "UPDATE devices SET stamps = x'00' WHERE device = 'pillow'")
    store = opened(history_versions=2)
    # when it sends, then its message is kept with the reason, and its neighbour's is applied
    store.commit(
        "queue",
        1,
        [
            message("a", change("pillow", {"n": 100}), sent_at=store.clock()),
            message("b", change("lamp", {"on": False}), sent_at=store.clock()),
        ],
    )
    assert state_of(store, "lamp") == {"on": False}
    (row,) = store.quarantined()
    assert row.id == "a" and "has a damaged row in the store" in row.reason
    # and a repair says which fields it cannot know
    assert "fields that its history does not have" in " ".join(store.repair())
    assert state_of(store) == {"n": 39} and store.check() == []


def test_a_replacement_mends_what_nothing_proves(path: Path, opened: Opener) -> None:
    store = opened(history_versions=2)
    for number in range(40):
        say(store, number, n=number, **({"label": "sofa"} if number == 0 else {}))
    store.close()
    write(path, "UPDATE devices SET stamps = x'00' WHERE device = 'pillow'")
    store = opened(history_versions=2)
    update = store.edit(Change("pillow", "replace", {"n": 7}, by="user"))
    assert update is not None and update.version > 40
    assert state_of(store) == {"n": 7} and store.check() == []


def test_a_removed_device_stays_removed(path: Path, opened: Opener) -> None:
    store = filled(opened())
    store.edit(Change("pillow", "delete", {}, by="user"))
    store.close()
    write(path, f"UPDATE devices SET state = {WRONG} WHERE device = 'pillow'")
    store = opened()
    assert "nothing is lost" in " ".join(store.repair())
    assert state_of(store) is None and store.check() == []


def test_a_device_whose_name_is_damaged_keeps_its_row(path: Path, opened: Opener) -> None:
    # given a damaged name, when the device sends again, then the checksum tells that it is this row
    filled(opened()).close()
    write(path, "UPDATE devices SET device = 'pil1ow' WHERE device = 'pillow'")
    store = opened()
    assert [one.device for one in store.devices()] == ["lamp"]
    say(store, 4, mood="sleepy")
    assert state_of(store) == RIGHT | {"mood": "sleepy"}
    assert [one.device for one in store.devices()] == ["lamp", "pillow"]
    assert store.check() == []


def test_a_damaged_row_of_the_history_is_left_out(path: Path, opened: Opener) -> None:
    filled(opened()).close()
    sql = 'UPDATE history SET change = CAST(\'{"mood":"mad"}\' AS BLOB) WHERE version = 2'
    write(path, sql)
    store = opened()
    assert [row.version for row in store.history("pillow")] == [3, 1]
    assert [one.table for one in store.damaged()] == ["history"]
    assert state_of(store) == RIGHT


def test_a_row_in_the_place_of_the_next_version_stops_nothing(path: Path, opened: Opener) -> None:
    # given a row of the history that has moved to where the next one belongs
    store = filled(opened())
    newest = store.read_position().offset
    store.close()
    write(path, f"UPDATE history SET offset = {newest + 1} WHERE offset = 1")
    store = opened()
    say(store, 4, mood="sleepy")
    assert state_of(store) == RIGHT | {"mood": "sleepy"}


@pytest.mark.parametrize("sql", ["DELETE FROM counters", "UPDATE counters SET offset = 1"])
def test_counters_are_derived_from_the_tables(path: Path, opened: Opener, sql: str) -> None:
    store = filled(opened())
    before = store.read_position()
    store.close()
    write(path, sql)
    store = opened()
    say(store, 4, mood="sleepy")
    after = store.read_position()
    assert after.offset == before.offset + 1
    # which removals a reader knows is not known, unless it has everything
    assert store.is_valid(before)
    assert not store.is_valid(before._replace(offset=before.offset - 1))
    assert store.check() == []


def test_a_damaged_index_is_made_again(path: Path, opened: Opener) -> None:
    # given an index that lacks a device: a message would make a second row of it
    filled(opened()).close()
    connection = apsw.Connection(str(path))
    for sql in (
        "PRAGMA writable_schema = ON",
        "CREATE TABLE kept (sql)",
        "INSERT INTO kept SELECT sql FROM sqlite_master WHERE name = 'devices_offset'",
        "UPDATE sqlite_master SET sql = sql || ' WHERE device <> ''pillow''' "
        "WHERE name = 'devices_offset'",
        "PRAGMA writable_schema = RESET",
        "REINDEX devices_offset",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = (SELECT sql FROM kept) WHERE name = 'devices_offset'",
        "DROP TABLE kept",
        "PRAGMA writable_schema = RESET",
    ):
        connection.execute(sql).fetchall()
    connection.close()
    command = CliRunner().invoke(main, ["store", "check", "--store", f"sqlite:///{path}"])
    assert "missing from index devices_offset" in command.output and command.exit_code == 1
    # when a server opens the store, then every device is there
    store = opened()
    assert [one.device for one in store.read(ReadCursor()).updates] == ["pillow", "lamp"]
    assert store.check() == []


def test_rows_from_before_checksums_are_taken_and_get_one(path: Path, opened: Opener) -> None:
    # given a store of which no row has a checksum
    filled(opened()).close()
    for name, table in tables.described().items():
        if table.has_checksum:
            write(path, f"UPDATE {name} SET checksum = NULL")
    # when it is opened, then it is whole, and a row gets its checksum when it is written
    store = opened()
    assert state_of(store) == RIGHT and store.check() == []
    say(store, 4, mood="sleepy")
    sums = dict(write(path, "SELECT device, checksum FROM devices"))
    assert sums["pillow"] is not None and sums["lamp"] is None
    # and what cannot be read is still set aside
    store.close()
    write(path, "UPDATE devices SET state = CAST('[1]' AS BLOB) WHERE device = 'lamp'")
    store = opened()
    assert [one.device for one in store.devices()] == ["pillow"]
    assert [one.device for one in store.damaged()] == ["lamp"]


@pytest.mark.parametrize(
    "before", range(schema.STEPS.index(schema.CHECKSUMS) + 1, 1 + len(schema.STEPS))
)
def test_later_steps_leave_no_checksum_that_does_not_fit(path: Path, before: int) -> None:
    # given a file of an older version, with a row in each table
    old = tables.described(schema.STEPS[:before])
    connection = apsw.Connection(str(path))
    for step in schema.STEPS[:before]:
        connection.execute(step).fetchall()
    samples: dict[type, Any] = {int: 1, float: 1.0, str: "x", bytes: b"{}"}
    for table in old.values():
        if table.has_checksum and table.name != "counters":
            columns = table.columns[table.uncovered :]
            row = tables.sealed(tuple(samples[one.types[0]] for one in columns))
            connection.execute(table.insert, row).fetchall()
    # when it takes the later steps, then no row is damaged by them
    for step in schema.STEPS[before:]:
        connection.execute(step).fetchall()
    for table in tables.described().values():
        for row in connection.execute(table.select).fetchall():
            assert table.fault(row) is None, table.name
    connection.close()


# The command


def run(path: Path, *words: str) -> tuple[int, str]:
    ended = CliRunner().invoke(main, ["store", "check", "--store", f"sqlite:///{path}", *words])
    return ended.exit_code, ended.output


def test_the_command_finds_and_mends(path: Path, opened: Opener) -> None:
    filled(opened()).close()
    assert run(path) == (0, "Nothing is wrong.\n")
    write(path, f"UPDATE devices SET state = {WRONG} WHERE device = 'pillow'")
    content = path.read_bytes()
    status, text = run(path)
    assert status == 1 and "device pillow" in text and "store check --repair" in text
    assert path.read_bytes() == content
    status, text = run(path, "--json")
    assert status == 1 and len(json.loads(text.splitlines()[0])["wrong"]) == 1
    status, text = run(path, "--repair")
    assert status == 0 and "nothing is lost" in text
    assert run(path, "--json") == (0, '{"repaired":[],"wrong":[]}\n')


def test_a_repair_needs_the_store_alone(path: Path, opened: Opener) -> None:
    store = filled(opened())
    write(path, f"UPDATE devices SET state = {WRONG} WHERE device = 'pillow'")
    # a check may run beside a server, a repair may not
    assert run(path)[0] == 1
    status, text = run(path, "--repair")
    assert status == 1 and "Another process uses" in text
    with pytest.raises(RowDamaged):
        store.get("pillow")
    other = SqliteStore(path, Limits(), store.clock, begin_epoch=False)
    with pytest.raises(StoreUnavailable, match="Another process uses"):
        other.repair()
    other.close()


def test_damaged_pages_are_said_and_left(path: Path, opened: Opener) -> None:
    store = opened()
    for number in range(60):
        say(store, number, text="x" * 500, n=number)
    store.close()
    content = bytearray(path.read_bytes())
    with apsw.Connection(str(path)) as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'known_events_at'"
        ((page,),) = connection.execute(find).fetchall()
    connection.close()
    middle = (page - 1) * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    status, text = run(path)
    assert status == 1 and "SQLite finds" in text
    status, text = run(path, "--repair")
    assert status == 1 and "statecast store restore FILE" in text.replace(main.name or "", "")
    assert path.read_bytes()[middle : middle + 4096] == b"\xff" * 4096


def test_there_must_be_a_store(path: Path) -> None:
    status, text = run(path)
    assert status == 1 and "There is no store" in text and not path.exists()


# What people see


def test_a_damaged_row_does_not_end_the_pages_of_a_list(path: Path, opened: Opener) -> None:
    # given some devices, of which neighbours are damaged
    filled(opened()).close()
    app = create_app(Settings(store=f"sqlite:///{path}"))
    client = app.test_client()
    for name in ("pillow/2", "pillow/3", "zebra"):
        client.put(f"/api/devices/{name}", json={"n": 1})
    write(path, f"UPDATE devices SET state = {WRONG} WHERE device LIKE 'pillow%'")
    # when they are read in pages, then those behind are there, and each damaged one is named
    found, damaged, after = [], [], ""
    while after is not None:
        page = client.get(f"/api/devices?limit=1&after={after}").json
        found += [one["device"] for one in page["devices"]]
        damaged += page.get("damaged", [])
        after = page["next"]
    assert (found[-1], damaged) == ("zebra", ["pillow", "pillow/2", "pillow/3"])
    runtime_of(app).stop()


def test_pages_and_rest_say_what_is_damaged(path: Path, opened: Opener) -> None:
    filled(opened()).close()
    write(path, f"UPDATE devices SET state = {WRONG} WHERE device = 'pillow'")
    app = create_app(Settings(store=f"sqlite:///{path}"))
    client = app.test_client()
    front = client.get("/")
    assert front.status_code == 200 and "1 device cannot be shown" in front.text
    page = client.get("/devices/pillow")
    assert page.status_code == 503 and "This device cannot be shown" in page.text
    one = client.get("/api/devices/pillow")
    assert one.status_code == 503 and "store check --repair" in one.json["detail"]
    assert "Retry-After" in one.headers
    assert client.get("/api/devices").json["damaged"] == ["pillow"]
    # on the page of the list where it would stand, which goes on after it
    names_before = [one["device"] for one in client.get("/api/devices").json["devices"]]
    first = client.get(f"/api/devices?limit={len(names_before)}").json
    assert (first["next"], first["damaged"]) == (None, ["pillow"])
    assert "damaged" not in client.get("/api/devices?after=pillow").json
    for text in (front.text, page.text, one.text):
        assert str(path.parent) not in text
    # and a replacement mends it
    ended = client.put("/api/devices/pillow", json={"mood": "new"})
    assert ended.status_code == 200 and ended.json["state"] == {"mood": "new"}
    assert "damaged" not in client.get("/api/devices").json
    runtime_of(app).stop()
