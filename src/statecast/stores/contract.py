"""Step 4, store: states, offsets, history, known ids, quarantine, leases and application events.

``statecast.testing.StoreContract`` guards what every store must keep (DESIGN: docs/design).
A store never calls the broadcaster: readers ask it "what has changed since my place?".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from statecast.model import (
    Change,
    Delivery,
    Event,
    HistoryRow,
    Message,
    Position,
    Quarantined,
    Update,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the store; the settings of the same names set them."""

    history_versions: int = 1_000
    history_days: float = 7.0
    history_rows: int = 1_000_000
    history_bytes: int = 1_000_000_000
    quarantine_rows: int = 10_000
    queue_messages: int = 1_000_000
    queue_bytes: int = 1_000_000_000
    late_message_hours: float = 24.0
    """Stamps further behind the device's newest are folded into one floor."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit did."""

    applied: int = 0
    """Changes folded in, whether or not they were visible."""
    versions: int = 0
    duplicates: int = 0
    quarantined: int = 0
    dropped: int = 0
    """Changes below a device's floor."""
    refused: tuple[str, ...] = field(default=(), compare=False)
    """Ids of the messages of which something went into quarantine."""

    def __add__(self, other: Committed) -> Committed:
        return Committed(
            self.applied + other.applied,
            self.versions + other.versions,
            self.duplicates + other.duplicates,
            self.quarantined + other.quarantined,
            self.dropped + other.dropped,
            self.refused + other.refused,
        )


class EpochHistory(NamedTuple):
    """What decides whether a place is good: the epochs with their first offsets, ascending, and what was forgotten."""

    epochs: tuple[tuple[str, int], ...]
    forgotten: int
    """Offset of the newest forgotten tombstone."""
    offset: int
    """The store's offset when this was read."""

    def is_valid(self, position: Position, offset: int | None = None) -> bool:
        """Whether ``place`` is of this history; ``offset`` is the store's newest, if the asker knows a newer one."""
        head = max(self.offset, offset or 0)
        names = [epoch for epoch, _ in self.epochs]
        if position.epoch not in names or 0 < position.offset < self.forgotten:
            return False
        following = names.index(position.epoch) + 1
        last = self.epochs[following][1] - 1 if following < len(names) else head
        return 0 <= position.offset <= last


class ReadCursor(NamedTuple):
    """How far a reader has read each of the store's rising numbers."""

    offset: int = 0
    seen: int = 0
    event: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """One consistent cut: everything committed after a cursor."""

    position: Position
    """The newest epoch and the store's offset at this cut."""
    cursor: ReadCursor
    """Pass it to the next ``read``. Its offset may be below ``place.offset`` if ``limit`` cut the answer."""
    updates: Sequence[Update] = ()
    """Latest state of each device changed after the cursor, in ascending order of offset."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """device -> seen_at in ms, of devices heard without a visible change."""
    events: Sequence[Event] = ()


class Lease(Protocol):
    """The right to consume one source; its term rises with every take-over."""

    term: int

    def release(self) -> None:
        """Let another process take over at once."""


class Store(Protocol):
    """Durable state. Every method may be called from any thread."""

    def commit(
        self,
        source: str,
        resolution: int,
        messages: Sequence[Message],
        *,
        term: int | None = None,
        confirmed: Iterable[str] = (),
    ) -> Committed:
        """Steps 3 and 4 in one transaction: apply, versions, history, known ids, quarantine; durable on return.

        ``confirmed`` are ids whose acknowledgement the queue has confirmed: they are forgotten an hour later.
        Raises LeaseLost when ``term`` is not the source's newest, StoreUnavailable when nothing was written.
        """

    def edit(
        self, change: Change, *, cause_id: str | None = None, if_match: Position | None = None
    ) -> Update | None:
        """Commit one change directly as source ``api``, stamp = now (REST, ``live.set``); the device's update.

        Raises Refused (and quarantines nothing), Conflict when ``if_match`` is not the device's place.
        """

    def replay(self, number: int, message: Message, resolution: int) -> Committed:
        """Commit a quarantined row's message again, with its original id and stamp, and drop the row if it worked."""

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """Answer the one question, from one snapshot. ``Cursor()`` reads all states (but no old events)."""

    def epoch_history(self) -> EpochHistory:
        """What decides whether a place is good (DESIGN 2); readers keep it while the epoch stays the same."""

    def read_position(self) -> Position:
        """The newest epoch and offset."""

    def is_valid(self, position: Position) -> bool:
        """Whether ``place`` is from this store's own history and nothing below it was forgotten."""

    def position_of(self, update: Update) -> Position:
        """The place of a version: its offset, and the epoch under which that offset lies; stable over restarts."""

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one."""

    def devices(self) -> list[Update]:
        """All present devices by name (tombstones left out)."""

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""

    def history_size(self, device: str) -> tuple[int, int | None]:
        """(rows, time of the oldest)."""

    def quarantined(self, *, after: int = 0, limit: int = 100) -> list[Quarantined]:
        """Rows by number, ascending."""

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""

    def quarantine_count(self) -> int: ...

    def drop(self, number: int) -> None:
        """Delete a quarantined row for good. Raises NotFound."""

    def emit(self, namespace: str, room: str | None, name: str, data: bytes) -> None:
        """Hand an application event to every serving process; kept 60 s."""

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Say what this serving process sees (health of its sources, number of viewers); not durable."""

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process heard within 10 s."""

    def lease(self, source: str) -> Lease | None:
        """Take the lease of a source with a new term, or None at once if another process holds it."""

    def wait(self, timeout: float) -> None:
        """Return when anything was committed, by this or another process, or after ``timeout`` seconds."""

    def wake(self) -> None:
        """End every ``wait`` of this process now."""

    def queue(self, name: str) -> StoredQueue:
        """The queue of that name inside this store."""

    def close(self) -> None:
        """Checkpoint and let go of the files."""


class StoredQueue(Protocol):
    """What the embedded queue asks of the store that holds it."""

    clock: Callable[[], int]

    def append(self, bodies: Sequence[bytes]) -> list[int]:
        """Add messages, all or none; durable on return. Raises QueueFull."""

    def acknowledge_and_receive(
        self, settled: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete what was handled (ids by receipt) and hand out the next page, hidden for ``visibility`` ms."""

    def size(self) -> tuple[int, int]:
        """(messages, bytes), hidden ones included."""

    def oldest(self) -> int | None:
        """When the oldest message that waits was sent."""

    def next_visible(self) -> int | None:
        """When the next hidden message appears again."""

    def wait(self, timeout: float) -> None:
        """Return when anything was committed, or after ``timeout`` seconds."""
