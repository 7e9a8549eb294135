"""What a change of a device writes: its row, and the indexes in which something has changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.model import Change, Delivery, Message
from statecast.stores.limits import Limits
from statecast.stores.sqlite import devices
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())
    yield opened
    opened.close()


def indexes_written_by(store: SqliteStore, sql: str) -> int:
    values = (None,) * sql.count("?")
    with store.database.read() as connection:
        steps = rows(connection, f"EXPLAIN {sql}", values)
    return sum(step[1] == "IdxInsert" for step in steps)


def found_by_index(store: SqliteStore) -> list[str]:
    """What the indexes of the names and of ``seen`` and ``removed_at`` say of ``pillow``."""
    with store.database.read() as connection:
        return [
            name
            for name, sql in {
                "present": "device = 'pillow' AND state IS NOT NULL",
                "seen": "seen > 0",
                "removed": "removed_at IS NOT NULL",
            }.items()
            if rows(connection, f"SELECT 1 FROM devices WHERE {sql}")
        ]


def test_a_usual_change_writes_one_index_of_four(store: SqliteStore) -> None:
    assert indexes_written_by(store, devices.UPDATE_OTHERS) == 1, "that of the offsets"
    assert indexes_written_by(store, devices.DEVICES.update) == 4


def test_each_index_follows_what_happens_to_a_device(store: SqliteStore) -> None:
    """The row is written without the columns that stay the same; so those that change must not be
    missed."""

    def says(state: dict[str, int], id_: str) -> None:
        change = Change("pillow", "merge", state)
        delivery = Delivery(id_, b"", store.clock())
        store.commit("queue", 1, [Message(delivery, (change,))])

    says({"level": 1}, "1")
    assert found_by_index(store) == ["present"]

    store.clock.advance(1)
    says({"level": 1}, "2")  # nothing new, but it lives
    assert found_by_index(store) == ["present", "seen"]

    says({"level": 2}, "3")
    assert found_by_index(store) == ["present", "seen"]

    store.edit(Change("pillow", "delete", {}))
    assert found_by_index(store) == ["seen", "removed"]

    says({"level": 3}, "4")
    assert found_by_index(store) == ["present", "seen"]
    assert store.check() == []


@pytest.mark.parametrize(
    "damage", ["device = 'cushion'", "seen = 99", "removed_at = 5"], ids=["name", "seen", "removed"]
)
def test_a_row_that_was_damaged_is_written_whole(store: SqliteStore, damage: str) -> None:
    # given a device whose row is damaged in a column that most changes leave alone, and which the
    # checksum proves all the same
    store.edit(Change("pillow", "merge", {"level": 1}))
    with store.database.write() as connection:
        rows(connection, f"UPDATE devices SET {damage}")
    assert len(store.check()) == 1
    store.devices()  # it is met
    # when it changes
    update = store.edit(Change("pillow", "merge", {"mood": "calm"}))
    # then nothing of the damage is left
    assert update is not None
    assert update.state == b'{"level":1,"mood":"calm"}'
    assert store.check() == []
    assert store.get("cushion") is None
