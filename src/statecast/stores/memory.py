"""A store in dicts, for tests and for ``--store memory:``: what ``fold`` decides, kept until the process ends."""

from __future__ import annotations

import dataclasses
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from statecast.errors import LeaseLost
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
from statecast.stores import places
from statecast.stores.batch import Batch, DeviceState, NewVersion, devices_of, events_of
from statecast.stores.contract import Changes, Committed, EpochHistory, Limits, ReadCursor
from statecast.stores.memory_queue import MemoryQueue
from statecast.stores.notifier import CommitNotifier
from statecast.stores.sqlite.counters import Counters
from statecast.stores.sqlite.dedup import KEEP_CONFIRMED_MS, KEEP_EVENTS_MS, MOST
from statecast.stores.sqlite.devices import TOMBSTONE_MS
from statecast.stores.sqlite.history import DAY_MS
from statecast.stores.sqlite.quarantine import missing

API = "api"


def open_url(rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool) -> MemoryStore:
    return MemoryStore(limits, clock)


@dataclasses.dataclass(slots=True)
class SourceRecord:
    """What is kept per source: its term, whether the lease is held, the known ids, and when to forget the confirmed."""

    term: int = 0
    leased: bool = False
    known: dict[str, None] = dataclasses.field(default_factory=dict)
    forget: dict[str, int] = dataclasses.field(default_factory=dict)


class MemoryLease:
    def __init__(self, source: SourceRecord, lock: threading.RLock) -> None:
        self.term = source.term
        self._source = source
        self._lock = lock
        self._held = True

    def release(self) -> None:
        with self._lock:
            if self._held:
                self._held = self._source.leased = False


class MemoryStore:
    """Everything under one lock; one process only."""

    def __init__(self, limits: Limits, clock: Callable[[], int]) -> None:
        self.limits = limits
        self.clock = clock
        self._lock = threading.RLock()
        self._bell = CommitNotifier()
        self._looked = threading.local()
        self._counters = Counters()
        self._epochs = ((uuid.uuid4().hex, 1),)
        self._held: dict[str, DeviceState] = {}
        self._history: dict[str, dict[int, NewVersion]] = {}
        self._order: dict[int, str] = {}
        self._sources: dict[str, SourceRecord] = {}
        self._known_events: dict[tuple[str, str], int] = {}
        self._quarantine: dict[int, Quarantined] = {}
        self._quarantine_number = 0
        self._events: dict[int, tuple[int, Event]] = {}
        self._reports: dict[str, tuple[int, str]] = {}
        self._queues: dict[str, MemoryQueue] = {}

    # -- writing

    def commit(
        self,
        source: str,
        resolution: int,
        messages: Sequence[Message],
        *,
        term: int | None = None,
        confirmed: Iterable[str] = (),
    ) -> Committed:
        """Apply, versions, history, known ids and quarantine, all or nothing. Raises LeaseLost."""
        now = self.clock()
        with self._lock:
            kept = self._sources.setdefault(source, SourceRecord())
            if term is not None and term != kept.term:
                raise LeaseLost(
                    f"Another process has taken over the source {source!r}; this one stopped writing."
                )
            self._forget_ids(kept, now)
            batch = self._batch(source, resolution, now, messages)
            batch.known_ids = {message.delivery.id for message in messages} & kept.known.keys()
            for message in messages:
                batch.add(message)
            self._save(batch)
            for id_ in confirmed:
                if id_ in kept.known:
                    kept.forget.setdefault(id_, now + KEEP_CONFIRMED_MS)
            kept.known.update(dict.fromkeys(batch.new_ids))
        self._bell.notify()
        return batch.result()

    def edit(
        self, change: Change, *, cause_id: str | None = None, if_match: Position | None = None
    ) -> Update | None:
        """Commit one change as source ``api``, stamp = now and newer than the device's. Raises Refused, Conflict."""
        now = self.clock()
        with self._lock:
            message = Message(Delivery(cause_id or uuid.uuid4().hex, b"", now), (change,))
            batch = self._batch(API, 1, now, [message])
            loaded = batch.loaded.get(change.device)
            if if_match is not None:
                places.compare(self.epoch_history(), if_match, loaded.offset if loaded else 0)
            batch.edit(change, message.delivery.id)
            self._save(batch)
            loaded = batch.loaded.get(change.device)
        self._bell.notify()
        return loaded.update() if loaded is not None and loaded.offset else None

    def replay(self, number: int, message: Message, resolution: int) -> Committed:
        """Commit a quarantined message with its original id and stamp. Raises NotFound."""
        now = self.clock()
        with self._lock:
            found = self.quarantine_row(number)
            batch = self._batch(found.source, resolution, now, [message])
            refused = batch.replay(found, message)
            if refused is None:
                del self._quarantine[number]
            else:
                again = dataclasses.replace(
                    found, reason=refused, attempts=found.attempts + 1, at=now
                )
                self._quarantine[number] = again
            self._save(batch)
        self._bell.notify()
        return batch.result(0 if refused is None else 1)

    def drop(self, number: int) -> None:
        """Delete a quarantined row for good. Raises NotFound."""
        with self._lock:
            self.quarantine_row(number)
            del self._quarantine[number]

    def _batch(self, source: str, resolution: int, now: int, messages: Sequence[Message]) -> Batch:
        for event, at in list(self._known_events.items()):
            if at >= now - KEEP_EVENTS_MS and len(self._known_events) <= MOST:
                break
            del self._known_events[event]
        loaded = {
            device: dataclasses.replace(
                self._held[device], touched=False, visible=False, heard=False
            )
            for device in devices_of(messages)
            if device in self._held
        }
        known = {event for event in events_of(messages) if event in self._known_events}
        fold_after = int(self.limits.late_message_hours * 3_600_000)
        counters = dataclasses.replace(self._counters)
        return Batch(source, resolution, now, fold_after, counters, loaded, known_events=known)

    def _save(self, batch: Batch) -> None:
        touched = batch.flush()
        self._counters = batch.counters
        for loaded in touched:
            loaded.key = 1
            self._held[loaded.record.device] = loaded
        for version in batch.versions:
            self._history.setdefault(version.loaded.record.device, {})[version.offset] = version
            self._order[version.offset] = version.loaded.record.device
        self._known_events.update(dict.fromkeys(batch.new_events, batch.now))
        for one in batch.quarantine:
            self._quarantine_number += 1
            self._quarantine[self._quarantine_number] = dataclasses.replace(
                one, number=self._quarantine_number
            )
        while len(self._quarantine) > self.limits.quarantine_rows:
            del self._quarantine[next(iter(self._quarantine))]
        self._trim(batch)

    def _trim(self, batch: Batch) -> None:
        limits, counters, now = self.limits, self._counters, batch.now
        for device in {version.loaded.record.device for version in batch.versions}:
            while len(self._history[device]) > limits.history_versions:
                self._drop_version(next(iter(self._history[device])))
        while self._order:
            offset, device = next(iter(self._order.items()))
            old = self._history[device][offset].row.at < now - limits.history_days * DAY_MS
            crowded = (
                counters.history_rows > limits.history_rows
                or counters.history_bytes > limits.history_bytes
            )
            if not old and not crowded:
                break
            self._drop_version(offset)
        for device, loaded in list(self._held.items()):
            if loaded.removed_at is not None and loaded.removed_at < now - TOMBSTONE_MS:
                for offset in list(self._history.get(device, ())):
                    self._drop_version(offset)
                del self._held[device]
                counters.forgotten = max(counters.forgotten, loaded.offset)

    def _drop_version(self, offset: int) -> None:
        gone = self._history[self._order.pop(offset)].pop(offset)
        self._counters.history_rows -= 1
        self._counters.history_bytes -= gone.size

    def _forget_ids(self, kept: SourceRecord, now: int) -> None:
        for id_, forget_at in list(kept.forget.items()):
            if forget_at > now:
                break
            del kept.forget[id_], kept.known[id_]
        while len(kept.known) > MOST:
            oldest = next(iter(kept.known))
            del kept.known[oldest]
            kept.forget.pop(oldest, None)

    # -- reading

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """What was committed after a cursor. ``Cursor()`` reads all states but no old events."""
        self._look()
        with self._lock:
            counters = self._counters
            changed = sorted(
                (loaded for loaded in self._held.values() if loaded.offset > after.offset),
                key=offset_of,
            )
            updates = [loaded.update() for loaded in changed[:limit]]
            whole = limit is None or len(updates) < limit
            offset = counters.offset if whole else updates[-1].offset
            seen = {
                device: loaded.record.seen_at
                for device, loaded in self._held.items()
                if loaded.seen > after.seen
                and 0 < loaded.offset <= after.offset
                and loaded.record.seen_at is not None
            }
            since = after.event or counters.event
            events = [event for number, (_, event) in self._events.items() if number > since]
            return Changes(
                self.read_position(),
                ReadCursor(offset, counters.seen, counters.event),
                updates,
                seen,
                events,
            )

    def epoch_history(self) -> EpochHistory:
        """What decides whether a place is good."""
        with self._lock:
            return EpochHistory(self._epochs, self._counters.forgotten, self._counters.offset)

    def read_position(self) -> Position:
        """The newest epoch and offset."""
        with self._lock:
            return Position(self._epochs[-1][0], self._counters.offset)

    def is_valid(self, position: Position) -> bool:
        """Whether ``place`` is from this store's own history and nothing below it was forgotten."""
        return self.epoch_history().is_valid(position)

    def position_of(self, update: Update) -> Position:
        """The place of a version."""
        return Position(places.epoch_of(self.epoch_history(), update.offset), update.offset)

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one."""
        with self._lock:
            loaded = self._held.get(device)
            return loaded.update() if loaded is not None and loaded.offset else None

    def devices(self) -> list[Update]:
        """All present devices by name."""
        with self._lock:
            return [
                loaded.update()
                for _, loaded in sorted(self._held.items())
                if loaded.state is not None
            ]

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""
        with self._lock:
            rows = [version.row for version in self._history.get(device, {}).values()]
        found = [row for row in rows if before is None or row.version < before]
        return found[::-1][:limit]

    def history_size(self, device: str) -> tuple[int, int | None]:
        """(rows, time of the oldest)."""
        with self._lock:
            found = self._history.get(device, {})
            return len(found), min((version.row.at for version in found.values()), default=None)

    def quarantined(self, *, after: int = 0, limit: int = 100) -> list[Quarantined]:
        """Rows by number, ascending."""
        with self._lock:
            return [row for number, row in self._quarantine.items() if number > after][:limit]

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        with self._lock:
            if number not in self._quarantine:
                raise missing(number)
            return self._quarantine[number]

    def quarantine_count(self) -> int:
        return len(self._quarantine)

    # -- between threads

    def emit(self, namespace: str, room: str | None, name: str, data: bytes) -> None:
        """Hand an application event to every reader; kept 60 s, at most once."""
        now = self.clock()
        with self._lock:
            self._counters.event += 1
            number = self._counters.event
            self._events[number] = (now, Event(number, namespace, room, name, data))
            for old, (at, _) in list(self._events.items()):
                if abs(now - at) > places.EVENT_MS:
                    del self._events[old]
        self._bell.notify()

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Say what this serving process sees."""
        with self._lock:
            self._reports[process] = (self.clock(), json.dumps(report))
        self._bell.notify()

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process heard within 10 s."""
        now = self.clock()
        with self._lock:
            self._reports = {
                process: kept
                for process, kept in self._reports.items()
                if abs(now - kept[0]) <= places.REPORT_MS
            }
            return {process: json.loads(report) for process, (_, report) in self._reports.items()}

    def lease(self, source: str) -> MemoryLease | None:
        """Take the lease of a source with a new term, or None at once if another holds it."""
        with self._lock:
            kept = self._sources.setdefault(source, SourceRecord())
            if kept.leased:
                return None
            kept.leased = True
            kept.term += 1
            return MemoryLease(kept, self._lock)

    def wait(self, timeout: float) -> None:
        """Return when anything was committed since this thread last looked, or after ``timeout`` seconds."""
        self._bell.wait(getattr(self._looked, "rings", self._bell.rings), timeout)
        self._look()

    def wake(self) -> None:
        """End every ``wait`` now."""
        self._bell.notify()

    def queue(self, name: str) -> MemoryQueue:
        """The queue of that name inside this store."""
        with self._lock:
            if name not in self._queues:
                self._queues[name] = MemoryQueue(
                    name, self.limits, self.clock, self._arrival, self._bell, self._lock
                )
            return self._queues[name]

    def close(self) -> None:
        """End every wait."""
        self._bell.notify()

    def _arrival(self) -> int:
        self._counters.arrival += 1
        return self._counters.arrival

    def _look(self) -> None:
        self._looked.rings = self._bell.rings


def offset_of(loaded: DeviceState) -> int:
    return loaded.offset
