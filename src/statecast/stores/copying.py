"""Copies a store into another kind of store: which tables, in which order, and how to go on.

Rule 1: a page of rows is one short snapshot of the source and one transaction of the target, in the
order of the table's key. So a copy that was interrupted goes on after the last key in the target.
Rule 2: nothing may write to the source meanwhile. The copy compares its numbers at the beginning
and at the end, and a copy that goes on compares them with those of its beginning.
Rule 3: the target appears under its name only when it is complete.
Rule 4: the target has an epoch of its own. So positions of the source are not valid there, and each
viewer is reset once.

What lives only seconds is left out: application events, reports and counts of viewers. Messages in
flight are visible again in the target, which knows their ids if they were committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from statecast.errors import BadSetting, StoreUnusable
from statecast.stores.counters import Counters

Row = tuple[Any, ...]
Progress = Callable[[int, int], None]
"""Called with the rows that are done and all rows."""
PAGE = 500
"""Rows of one snapshot. A row has 64 KiB at most, so it takes far less than a second."""


class CopiedTable(NamedTuple):
    """A table of which every kind of store has the rows, with the same values in this order."""

    name: str
    keys: int
    """How many of the first columns are the key, by which rows are ordered."""
    columns: tuple[str, ...]


def table(name: str, columns: str, keys: int = 1) -> CopiedTable:
    return CopiedTable(name, keys, tuple(columns.split()))


PAGES = table("pages", "page source ids open forget_at")
"""Known ids, one page per commit: the lists of a page's ids, and of those not confirmed yet."""
QUEUES = table("queues", "number name messages bytes received")
TABLES = (
    table("sources", "number name term"),
    table(
        "totals",
        "source messages versions duplicates dropped quarantined evicted refused left_out",
    ),
    table(
        "devices",
        "id device version offset seen state changed_at seen_at cause_source cause_id cause_by "
        "silent_after source removed_at fields stamps arrived_at clock commands",
    ),
    table(
        "history",
        "offset device version at change cause_source cause_id cause_by size arrived_at",
    ),
    PAGES,
    table("known_events", "device id at", keys=2),
    table(
        "quarantine",
        "number source id item reason body sent_at arrival attempts at device sender",
    ),
    QUEUES,
    table("queue", "queue id sent_at body sender", keys=2),
    table("reactions", "name patterns"),
    table("reacted", "reaction device offset state", keys=2),
    table(
        "commands",
        "number change id device name arguments by key status created_at expires_at delivered_at "
        "ended_at reason attempted_at asker",
    ),
    table("access", "kind id change body expires_at", keys=2),
    table("audit", "number at by action target detail"),
)


class CopySource(Protocol):
    """A store that is copied. It is not changed."""

    shown: str
    """Its URL in sentences, without a password."""

    def faults(self) -> list[str]:
        """What is wrong in it, as sentences."""

    def users(self) -> list[str]:
        """The processes that serve from it."""

    def size(self, of: CopiedTable) -> int:
        """The number of rows."""

    def page(self, of: CopiedTable, after: Row | None, limit: int) -> list[Row]:
        """Rows with keys above ``after`` (None: all), in the order of the keys."""

    def counters(self) -> Counters:
        """With the newest numbers of arrival, page and receipt."""

    def close(self) -> None:
        """End its connections."""


class CopyTarget(Protocol):
    """A store that comes to be, under another name until it is complete."""

    shown: str

    def begun_with(self) -> str | None:
        """The signature with which an interrupted copy began; None: nothing was copied yet."""

    def begin(self, signature: str) -> None:
        """Remember the signature of the source, and forget what was copied before."""

    def last_key(self, of: CopiedTable) -> tuple[Row | None, int]:
        """The key of the last row in it, and the number of rows."""

    def write(self, of: CopiedTable, rows: Sequence[Row]) -> None:
        """Write rows with keys above all others, durably."""

    def finish(self, counters: Counters) -> None:
        """Write the counters, and give the store its name."""

    def close(self) -> None:
        """End its connections. What is not finished stays, and can be continued."""


def copy(source: CopySource, target: CopyTarget, progress: Progress) -> dict[str, int]:
    """Copy all rows; how many there are of each table.

    Raises BadSetting, StoreUnusable and StoreUnavailable; then the same call goes on.
    """
    if users := source.users():
        raise BadSetting(
            f"{len(users)} processes use {source.shown}; stop them, because what they write during "
            "the copy would be lost."
        )
    if faults := source.faults():
        raise StoreUnusable(
            f"{source.shown} is damaged ({len(faults)} faults, such as: {faults[0]}); mend it "
            "first: `statecast store check --repair`."
        )
    sizes = {of.name: source.size(of) for of in TABLES}
    signature = signature_of(source, sizes)
    if target.begun_with() != signature:
        target.begin(signature)
    done, total = 0, sum(sizes.values())
    for of in TABLES:
        after, there = target.last_key(of)
        done += there
        while page := source.page(of, after, PAGE):
            target.write(of, page)
            after, done = page[-1][: of.keys], done + len(page)
            progress(done, total)
    if signature_of(source, {of.name: source.size(of) for of in TABLES}) != signature:
        raise StoreUnusable(
            f"{source.shown} was written to during the copy; stop all processes that use it, and "
            "begin again with the same command."
        )
    target.finish(source.counters())
    return sizes


def signature_of(source: CopySource, sizes: dict[str, int]) -> str:
    """A text that changes with each commit to the source."""
    return f"{source.counters()} {sizes}"
