"""Writes that share a transaction end as if each had been committed alone, one after the other.

The oracle is the same store, given the same writes one by one, each device parsed from its row.
Everything is compared: what each caller got, and every row of every table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from statecast import strict_json
from statecast.access.records import AuditEntry
from statecast.errors import StatecastError, StoreUnavailable
from statecast.model import Change, Position
from statecast.stores.edits import Edit
from statecast.stores.group_commit import QueuedWrite
from statecast.stores.limits import Limits
from statecast.stores.sqlite.device_cache import DeviceCache
from statecast.stores.sqlite.queue import Append
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, oracle

LIMITS = Limits(max_devices=5, queue_messages=6, history_versions=1_000)
PRESENT = ("pillow", "chair", "proven", "lost")
DEVICES = (*PRESENT, "new", "newer", "x/history")
"""The last one is reserved: no new device may have the name."""
LARGE = "x" * 40_000
Wanted = tuple[Any, ...]
"""A write, before it belongs to a store."""

values = st.none() | st.integers(0, 2) | st.just({"deep": 1}) | st.just(LARGE)
edits = st.tuples(
    st.just("edit"),
    st.sampled_from(DEVICES),
    st.sampled_from(["merge", "merge", "merge", "replace", "delete"]),
    st.dictionaries(st.sampled_from("ab"), values, max_size=2),
    st.sampled_from(["", "", "", "right", "stale", "other"]),
    st.booleans(),
)
messages = st.tuples(st.just("send"), st.sampled_from(["one", "two"]), st.integers(1, 4))
groups = st.lists(st.lists(edits | edits | messages, min_size=1, max_size=5), max_size=3)


def edit(device: str, kind: str = "merge", **state: Any) -> Wanted:
    return ("edit", device, kind, state, "", False)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of four devices. The rows of two are damaged: one can be proven, one cannot."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    with closing(SqliteStore(path, LIMITS, VirtualClock())) as store:
        for device in PRESENT:
            store.edit(Change(device, "merge", {"a": 0, "c": 0}), cause_id="before")
    connection = apsw.Connection(str(path))
    damage = "UPDATE devices SET state = CAST('{\"a\":7}' AS BLOB), stamps = x'00' WHERE device = ?"
    connection.execute(damage, ("lost",))
    connection.execute(
        "DELETE FROM history WHERE device IN (SELECT id FROM devices WHERE device = 'lost')"
    )
    connection.execute(
        "UPDATE devices SET state = CAST('{\"a\":7}' AS BLOB) WHERE device = 'proven'"
    )
    connection.close()
    return path


class EmptyCache(DeviceCache):
    """Keeps nothing: each device is parsed from its row."""

    def put(self, row: Any, written: Any, now: int) -> None:
        pass


class Copy:
    """A copy of the template, and what its callers get."""

    def __init__(self, template: Path, path: Path) -> None:
        shutil.copy(template, path)
        self.path = path
        self.clock = VirtualClock()
        self.store = SqliteStore(path, LIMITS, self.clock, begin_epoch=False)
        self.epoch = self.store.read_position().epoch
        self.queues = {name: self.store.queue(name) for name in ("one", "two")}
        self.outcomes: list[Any] = []

    def write(self, wanted: Wanted, number: int) -> Edit | Append:
        what, name, *rest = wanted
        if what == "send":
            return Append(self.queues[name], [b"%d" % number] * rest[0], "")
        kind, state, match, is_audited = rest
        # what a caller can have read: before its group began
        offset = 0
        if match:
            with self.store.database.read() as connection:
                found = connection.execute(
                    "SELECT offset FROM devices WHERE device = ?", (name,)
                ).fetchall()
            offset = (found[0][0] if found else 0) - (match == "stale")
        epoch = "another" if match == "other" else self.epoch
        return Edit(
            Change(name, kind, {} if kind == "delete" else state, by="user"),
            f"edit {number}",
            Position(epoch, offset) if match else None,
            "",
            AuditEntry("user", "edit", name) if is_audited else None,
        )

    def commit(self, group: Sequence[Edit | Append]) -> None:
        queued = [QueuedWrite(one) for one in group]
        self.store._writes._commit_together(queued)
        for one in queued:
            try:
                self.outcomes.append(one.outcome())
            except StatecastError as error:
                self.outcomes.append((type(error), str(error)))

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table. Epochs have a random name, and devices keys in any order."""
        with self.store.database.read() as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            ).fetchall()
            found = {
                name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
                for (name,) in tables
            }
        found["epochs"] = [(number, first) for number, _, first, _ in found["epochs"]]
        names = {key: name for key, name, *_ in found["devices"]}
        found["devices"] = sorted((row[1:] for row in found["devices"]), key=lambda row: row[0])
        found["history"] = [
            (offset, names[key], *rest[:7], rest[8])  # the checksum covers the key
            for offset, key, *rest in found["history"]
        ]
        return found


@contextmanager
def both(template: Path, folder: Path) -> Iterator[tuple[Copy, Copy]]:
    alone, together = Copy(template, folder / "alone.db"), Copy(template, folder / "together.db")
    alone.store._cache = EmptyCache()
    with closing(alone.store), closing(together.store):
        yield alone, together
    for path in folder.glob("*.db*"):
        path.unlink()


def test_groups_end_as_writes_one_after_the_other(template: Path, tmp_path: Path) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(groups)
    @example([[edit("new", a=1), edit("newer", a=1), edit("new", a=2)]])  # one is too many
    @example([[edit("new", a=1), edit("chair", "delete"), edit("newer", a=1)]])
    @example([[edit("pillow", a=LARGE), edit("pillow", b=LARGE), edit("pillow", a=None)]])
    @example([[edit("lost", a=1), edit("lost", "replace", a=LARGE, b=LARGE), edit("lost")]])
    @example([[edit("lost", "replace", a=1), edit("lost", a=2), edit("lost", "delete")]])
    @example([[edit("newer"), edit("new", "delete")]])  # a removal has no offset, and goes first
    @example([[edit("proven", a=LARGE, b=LARGE), edit("proven", a=1)]])
    @example([[("send", "one", 4), ("send", "one", 4), edit("pillow", a=2), ("send", "one", 2)]])
    def check(found: list[list[Wanted]]) -> None:
        # given two copies of a store
        with both(template, tmp_path) as (alone, together):
            number = 0
            for group in found:
                numbered = list(enumerate(group, number))
                number += len(group)
                # when the same writes are committed in groups, and one after the other
                together.commit([together.write(one, at) for at, one in numbered])
                for one in [alone.write(one, at) for at, one in numbered]:
                    alone.commit([one])
                for copy in (alone, together):
                    copy.clock.advance(1)
            # then each caller got the same, and every row is the same
            assert together.outcomes == alone.outcomes
            assert together.rows() == alone.rows()
            assert together.store.check() == alone.store.check()

    check()


def test_a_state_is_its_edits_folded(template: Path, tmp_path: Path) -> None:
    # given a group of edits of one device, one of them refused
    with both(template, tmp_path) as (_, together):
        group = [
            edit("pillow", a=1),
            edit("pillow", a=LARGE, b=LARGE),
            edit("pillow", b={"deep": 2}),
            edit("pillow", c=None),
        ]
        # when
        together.commit([together.write(one, at) for at, one in enumerate(group)])
        # then each update has the state after its own edit
        state: Any = {"a": 0, "c": 0}
        for one, outcome in zip(group, together.outcomes, strict=True):
            if LARGE in one[3].values():
                assert outcome[0].__name__ == "TooLarge"
                continue
            state = oracle.merged(state, one[3])
            assert strict_json.decode(outcome.state) == state
        assert [one.version for one in together.outcomes if not isinstance(one, tuple)] == [2, 3, 4]


@pytest.mark.parametrize("table", ["devices", "history", "queue", "counters", "totals", "audit"])
def test_if_the_driver_fails_nothing_of_the_group_is_written(
    template: Path, tmp_path: Path, table: str
) -> None:
    # given a table into which the driver fails to write
    with both(template, tmp_path) as (_, together):
        with together.store.database.write() as connection:
            for what in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER no_{what} BEFORE {what} ON {table} "
                    "BEGIN SELECT RAISE(FAIL, 'planted'); END"
                )
        before = together.rows()
        # when a group is committed
        group = [edit("new", a=1), ("edit", "pillow", "merge", {"a": 1}, "", True)]
        wanted = [*group, ("send", "one", 1), ("edit", "pillow", "merge", {}, "stale", False)]
        together.commit([together.write(one, at) for at, one in enumerate(wanted)])
        # then each of its writes learns it, the one that would be refused as well
        assert [kind for kind, _ in together.outcomes] == [StoreUnavailable] * 4
        assert "planted" in together.outcomes[0][1]
        assert together.rows() == before
