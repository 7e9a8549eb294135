"""The devices that a list keeps between two requests: they are those of the store."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from statecast.model import Change, Delivery, Message, Position
from statecast.stores.changes import Changes, ReadCursor
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import change
from statecast.web.known_devices import KnownDevices


class Clock:
    now = 1_769_868_131_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    clock = Clock()
    made: Store = (
        MemoryStore(Limits(), clock)
        if request.param == "memory"
        else SqliteStore(tmp_path / "store.db", Limits(), clock)
    )
    request.addfinalizer(made.close)
    return made


def send(store: Store, device: str, **state: object) -> None:
    delivery = Delivery(f"id{random.random()}", b"", store.clock())  # type: ignore[attr-defined]
    store.commit("queue", 1, [Message(delivery, (Change(device, "merge", state),))])


def check(known: KnownDevices, store: Store) -> None:
    """What is kept is what one would read now."""
    present, position = known.read(store)
    assert present == store.devices()
    assert position == store.read_position()


def test_after_any_changes_they_are_those_of_the_store(store: Store) -> None:
    known, chance = KnownDevices(), random.Random(7)
    check(known, store)
    for _ in range(150):
        device = f"d{chance.randrange(12)}"
        if chance.random() < 0.3:
            store.edit(change(device, kind="delete", by="user"))
        else:
            send(store, device, n=chance.randrange(3))  # often the same: only seen
        if chance.random() < 0.5:
            check(known, store)
    check(known, store)


def test_what_did_not_change_is_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownDevices()
    for number in range(20):
        send(store, f"d{number}", n=1)
    check(known, store)
    send(store, "d3", n=2)
    reads: list[Changes] = []
    read = store.read

    def noted(after: ReadCursor, limit: int | None = None) -> Changes:
        reads.append(read(after, limit))
        return reads[-1]

    monkeypatch.setattr(store, "read", noted)
    present, _ = known.read(store)
    assert len(present) == 20
    assert [[one.device for one in changes.updates] for changes in reads] == [["d3"]]


def test_where_the_position_is_not_valid_any_more_all_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that has gone back to a backup, or has forgotten a removal
    known = KnownDevices()
    send(store, "stays", n=1)
    send(store, "ghost", n=1)
    check(known, store)
    store.edit(change("ghost", kind="delete", by="user"))
    offset = store.read_position().offset
    read = store.read

    def without_tombstones(after: ReadCursor, limit: int | None = None) -> Changes:
        found = read(after, limit)
        updates = tuple(one for one in found.updates if one.state is not None)
        return Changes(found.position, found.cursor, updates)

    def is_valid(position: Position) -> bool:
        return position.offset >= offset

    monkeypatch.setattr(store, "read", without_tombstones)
    monkeypatch.setattr(store, "is_valid", is_valid)
    # then no device that is gone stays in the list
    present, _ = known.read(store)
    assert [one.device for one in present] == ["stays"]
