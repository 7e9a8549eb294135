"""A device is taken from the cache only if its row is the one that this process wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from statecast.errors import Refused, StoreUnavailable
from statecast.model import Change, Event
from statecast.stores.leases import reaction_lease
from statecast.stores.limits import Limits
from statecast.stores.retention import TOMBSTONE_MS
from statecast.stores.sqlite import device_cache, devices
from statecast.stores.sqlite.connection_pool import Purpose
from statecast.stores.sqlite.device_cache import DeviceCache, WrittenDevice
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock


class Counted(DeviceCache):
    """Counts the devices that were taken from it."""

    taken = 0

    def device_of(self, known: WrittenDevice) -> Any:
        self.taken += 1
        return super().device_of(known)


class Open:
    """A store of one device, and what its cache was used for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = VirtualClock()
        self.store = SqliteStore(path, Limits(), self.clock)
        self.cache = self.store._cache = Counted()
        self.queue = self.store.queue("queue")
        self.reaction = self.store.reaction("bell", ["*"])
        lease = self.store.lease(reaction_lease("bell"))
        assert lease is not None
        self.lease = lease
        self.set(a={"b": 1})
        self.cache.taken = 0

    def set(self, device: str = "pillow", **state: Any) -> Any:
        update = self.store.edit(Change(device, "merge", state))
        assert update is not None
        assert update.state is not None
        return json.loads(update.state)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    made = Open(tmp_path / "store.db")
    yield made
    made.lease.release()
    made.store.close()


def by_another_process(opened: Open) -> None:
    other = SqliteStore(opened.path, Limits(), opened.clock, begin_epoch=False)
    other.edit(Change("pillow", "merge", {"c": 2}))
    other.close()


def by_a_transaction_that_failed(opened: Open) -> None:
    refused = opened.store._note

    def failing(*arguments: Any) -> None:
        raise apsw.FullError

    opened.store._note = failing  # type: ignore[method-assign]
    with suppress(Exception):
        opened.set(a={"b": 9}, lost=True)
    opened.store._note = refused  # type: ignore[method-assign]


def by_a_transaction_rolled_back_after_the_write(opened: Open) -> None:
    written = devices.save

    def failing(*arguments: Any) -> None:
        written(*arguments)
        raise apsw.FullError

    with pytest.MonkeyPatch.context() as patched, suppress(Exception):
        patched.setattr(devices, "save", failing)
        opened.set(a={"b": 9}, lost=True)


def by_a_clock_set_back(opened: Open) -> None:
    opened.clock.set(-3600)


def by_nothing(opened: Open) -> None:
    pass


@pytest.mark.parametrize(
    ("touched", "taken", "state"),
    [
        (by_nothing, 1, {"a": {"b": 1}, "d": 4}),
        (by_another_process, 0, {"a": {"b": 1}, "c": 2, "d": 4}),
        (by_a_transaction_that_failed, 1, {"a": {"b": 1}, "d": 4}),
        (by_a_transaction_rolled_back_after_the_write, 0, {"a": {"b": 1}, "d": 4}),
        (by_a_clock_set_back, 0, {"a": {"b": 1}, "d": 4}),
    ],
)
def test_an_entry_counts_for_its_own_row_only(
    opened: Open, touched: Callable[[Open], None], taken: int, state: dict[str, Any]
) -> None:
    # given a device that this process wrote last, and then something happened
    touched(opened)
    opened.cache.taken = 0
    # when it is written again, then its state is right, and it was parsed where it had to be
    assert opened.set(d=4) == state
    assert opened.cache.taken == taken


def test_a_damaged_row_is_noticed(opened: Open) -> None:
    # given a bit that flipped in the row of a device that the cache has
    connection = apsw.Connection(str(opened.path))
    connection.execute('UPDATE devices SET state = CAST(\'{"a":{"b":3}}\' AS BLOB)')
    connection.close()
    # when it is written again, then it is rebuilt from its history as ever
    assert opened.set(d=4) == {"a": {"b": 1}, "d": 4}
    assert opened.cache.taken == 0


def test_a_refused_edit_leaves_the_entry_as_it_is(opened: Open) -> None:
    with pytest.raises(Refused):
        opened.set(a="x" * 70_000)
    assert opened.set(d=4) == {"a": {"b": 1}, "d": 4}
    assert opened.cache.taken == 2


@pytest.mark.parametrize("bound", ["MAX_DEVICES", "MAX_BYTES"])
def test_it_has_bounds(opened: Open, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    # given room for two devices
    opened.set("chair0", n=0)
    size = list(opened.cache._written.values())[-1].size
    monkeypatch.setattr(device_cache, bound, 2 if bound == "MAX_DEVICES" else 2 * size)
    # when there are more
    for number in range(1, 4):
        opened.set(f"chair{number}", n=number)
    # then those that were written last are kept
    kept = list(opened.cache._written.values())
    assert [one.record.device for one in kept] == ["chair2", "chair3"]
    assert opened.cache._bytes == sum(one.size for one in kept)


def test_a_device_of_many_stamps_is_parsed_again(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a device whose stamps may be too many to keep
    monkeypatch.setattr(device_cache, "MAX_STAMPS", 3)
    opened.set(a={"b": 2}, c=3)
    # when it is written, then from its row
    opened.set(d=4)
    assert opened.cache.taken == 1


# While nothing else writes, no row is read


def rows_read_by(opened: Open, write: Callable[[], Any]) -> int:
    """How many statements of a write read rows of devices."""
    read: list[str] = []

    def trace(cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        if sql.startswith(devices.DEVICES.select) and "json_each" in sql:
            read.append(sql)
        return True

    with opened.store.database._use(Purpose.WRITE) as writer:
        writer.exec_trace = trace
    write()
    writer.exec_trace = None
    return len(read)


def by_what_writes_no_device(opened: Open) -> None:
    opened.store.announce("this", {})
    opened.store.count_watching("this", {1: b"{}"})
    opened.store.emit([Event("/", "rang")])
    opened.reaction.note("pillow", opened.store.get("pillow"), opened.lease.term)
    opened.queue.append([b"x"])
    assert opened.queue.acknowledge_and_receive({}, 1, 1000) != []


def by_a_write_of_this_process(opened: Open) -> None:
    with opened.store.database.write() as connection:
        connection.execute("DELETE FROM devices WHERE device = 'nothing'")


def by_repair(opened: Open) -> None:
    assert opened.store.repair() == []


def by_forgetting_the_device(opened: Open) -> None:
    opened.store.forget_device("pillow")


def by_another_connection(opened: Open) -> None:
    connection = apsw.Connection(str(opened.path))
    connection.execute("DELETE FROM totals")
    connection.close()


def by_a_commit_that_failed(opened: Open) -> None:
    """The transaction has written everything, and its end fails."""

    def failing(*arguments: Any) -> None:
        raise apsw.FullError

    with pytest.MonkeyPatch.context() as patched, suppress(Exception):
        patched.setattr(devices, "forget_tombstones", failing)
        opened.set(lost=True)


@pytest.mark.parametrize(
    ("happened", "read"),
    [
        (by_nothing, 0),
        (by_what_writes_no_device, 0),
        (by_a_write_of_this_process, 1),
        (by_repair, 1),
        (by_forgetting_the_device, 1),
        (by_another_connection, 1),
        (by_another_process, 1),
        (by_a_transaction_that_failed, 1),
        (by_a_commit_that_failed, 1),
        (by_a_clock_set_back, 1),
    ],
)
def test_rows_are_read_unless_nothing_else_has_written(
    opened: Open, happened: Callable[[Open], None], read: int
) -> None:
    # given a device that was written twice in a row, and then something happened
    opened.set(d=1)
    happened(opened)
    # when it is written, then its row is read unless it is certainly as it was written
    assert rows_read_by(opened, lambda: opened.set(d=2)) == read
    assert opened.set(d=3)["d"] == 3
    assert opened.store.check() == []


def test_what_says_that_it_writes_no_device_writes_none(opened: Open) -> None:
    # given a connection that notes the tables of changed rows
    tables: set[str] = set()
    with opened.store.database._use(Purpose.WRITE) as writer:
        writer.set_update_hook(lambda kind, database, table, row: tables.add(table))
    # when everything is written that keeps the devices
    by_what_writes_no_device(opened)
    writer.set_update_hook(None)
    # then they are kept
    assert "counters" in tables
    assert "devices" not in tables


def test_what_was_written_before_another_write_is_read_again(opened: Open) -> None:
    # given two devices in the cache, of which another process changes one
    opened.set("chair", n=1)
    by_another_process(opened)
    # when the other one is written, and the cache is right again from there on
    opened.set("chair", n=2)
    opened.set("chair", n=3)
    # then the changed one is still read when it is written next
    assert rows_read_by(opened, lambda: opened.set("chair", n=4)) == 0
    assert opened.set(d=4) == {"a": {"b": 1}, "c": 2, "d": 4}


def test_a_device_whose_mark_was_deleted_comes_back(opened: Open) -> None:
    # given a removed device, whose mark is deleted by a commit after its time
    opened.store.edit(Change("pillow", "delete", {}))
    opened.clock.advance(TOMBSTONE_MS + 1000)
    opened.set("chair", n=1)
    # when the device is written again
    assert opened.set(e=5) == {"e": 5}
    # then it has a row of its own
    found = opened.store.get("pillow")
    assert found is not None and (found.version, found.state) == (1, b'{"e":5}')


def test_a_write_to_a_row_that_is_gone_is_not_lost(opened: Open) -> None:
    # given a row that disappeared although nothing else may have written: a defect of ours
    with opened.store.database.write(keeps_devices=True) as connection:
        connection.execute("DELETE FROM devices WHERE device = 'pillow'")
    # when it is written, then that fails, and works at the next attempt
    with pytest.raises(StoreUnavailable):
        opened.set(d=4)
    assert opened.set(d=4) == {"d": 4}
