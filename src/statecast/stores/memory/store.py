"""A store in dicts, for tests and for ``--store memory:``. It ends with its process.

``stores.batch`` decides what a commit does; this module keeps the outcome.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from statecast.access.patterns import EVERYTHING, Patterns, any_covers
from statecast.access.records import AuditEntry
from statecast.model import (
    Change,
    HistoryRow,
    Message,
    Position,
    Quarantined,
    Update,
)
from statecast.problems import Problems
from statecast.stores import errors, retention
from statecast.stores.batch import Batch, answered_by, devices_of, events_of
from statecast.stores.changes import (
    COMMANDS_PAGE,
    ChangedNames,
    Changes,
    ReadCursor,
    WatchChanges,
    commands_read,
)
from statecast.stores.clock_watch import Reading
from statecast.stores.contract import API_SOURCE, DamagedRow, Exchanged
from statecast.stores.edits import Edit, fold
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.limits import Limits, Sizes
from statecast.stores.memory.access_store import MemoryAccessStore
from statecast.stores.memory.command_store import MemoryCommandStore
from statecast.stores.memory.devices import past
from statecast.stores.memory.process_store import MemoryProcessStore
from statecast.stores.memory.sources import SourceRecord
from statecast.stores.totals import Committed, Totals


def open_url(
    rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool, problems: Problems
) -> MemoryStore:
    return MemoryStore(limits, clock, problems)


class MemoryStore(MemoryAccessStore, MemoryCommandStore, MemoryProcessStore):
    """Everything under one lock; one process only."""

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
        """Apply messages and keep the outcome, all or nothing. Raises LeaseLost."""
        with self._lock:
            now = self._watch.check(self._counters)
            record = self._sources.setdefault(source, SourceRecord())
            if term is not None and term != record.term:
                raise errors.lease_lost(source)
            record.ids.trim(self._watch.age_from(now))
            batch = self._batch(source, resolution, now, messages)
            batch.known_ids = record.ids.known(message.delivery.id for message in messages)
            for message in messages:
                batch.add(message)
            self._save(batch)
            record.ids.confirm(confirmed, now)
            record.ids.add(batch.new_ids)
        self._notifier.notify()
        return batch.result()

    def edit(
        self,
        change: Change,
        *,
        cause_id: str | None = None,
        if_match: Position | None = None,
        sender: str = "",
        audit: AuditEntry | None = None,
    ) -> Update | None:
        """Commit one change of source ``api``. Raises Refused or Conflict."""
        edit = Edit(change, cause_id, if_match, sender, audit)
        with self._lock:
            now = self._watch.check(self._counters)
            message = edit.message(now)
            batch = self._batch(API_SOURCE, 1, now, [message])
            update = fold(batch, edit, message.delivery, self.epoch_history)
            self._save(batch)
            self._access.note(audit, now)
        self._notifier.notify()
        return update

    def replay(
        self, number: int, message: Message, resolution: int, *, audit: AuditEntry | None = None
    ) -> Committed:
        """Commit a quarantined message with its original id and stamp. Raises NotFound."""
        with self._lock:
            now = self._watch.check(self._counters)
            found = self._quarantine.row(number)
            batch = self._batch(found.source, resolution, now, [message])
            refused = batch.replay(found, message)
            if refused is None:
                self._quarantine.delete(number)
            else:
                attempts = found.attempts + 1
                self._quarantine.replace(
                    dataclasses.replace(found, reason=refused, attempts=attempts, at=now)
                )
            self._save(batch)
            self._access.note(audit, now)
        self._notifier.notify()
        return batch.result(0 if refused is None else 1)

    def drop(self, number: int, *, audit: AuditEntry | None = None) -> None:
        """Delete a quarantined row for good. Raises NotFound."""
        with self._lock:
            self._quarantine.delete(number)
            self._access.note(audit, self._watch.check(self._counters))

    def count_refused(self, source: str) -> None:
        """Count a message that was refused."""
        with self._lock:
            self._count({source: Totals(refused=1)})

    def _count(self, totals: Mapping[str, Totals]) -> None:
        for source, one in totals.items():
            self._totals[source] = self._totals.get(source, Totals()) + one

    def _batch(self, source: str, resolution: int, now: int, messages: Sequence[Message]) -> Batch:
        self._known_events.trim(self._watch.age_from(now))
        reading = Reading.of(now, self._counters)
        loaded = {
            device: dataclasses.replace(
                past(self._devices[device], reading),
                touched=False,
                visible=False,
                newly_seen=False,
            )
            for device in devices_of(messages)
            if device in self._devices
        }
        return Batch(
            source,
            resolution,
            now,
            self.limits.late_message_ms,
            dataclasses.replace(self._counters),
            self.limits.max_devices,
            loaded,
            known_events=self._known_events.known(events_of(messages)),
            commands=self._commands.by_ids(answered_by(messages)),
        )

    def _save(self, batch: Batch) -> None:
        touched = batch.flush()
        self._counters = batch.counters
        for loaded in touched:
            loaded.key = 1
            self._devices[loaded.record.device] = loaded
        self._known_events.add(batch.new_events, batch.now)
        self._commands.save(batch.answered)
        self._history.save(batch.versions)
        evicted = self._quarantine.save(batch.quarantine)
        self._count(batch.totals(evicted, {}))
        age_from = self._watch.age_from(batch.now)
        self._history.trim(batch.versions, self._counters, self.limits, batch.now, age_from)
        self._forget_tombstones(age_from)

    def _forget_tombstones(self, now: int) -> None:
        counters = self._counters
        for device, loaded in list(self._devices.items()):
            if loaded.removed_at is not None and loaded.removed_at < now - retention.TOMBSTONE_MS:
                self._history.forget_device(device, counters)
                del self._devices[device]
                counters.forgotten = max(counters.forgotten, loaded.offset)

    # -- reading

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """What was committed after a cursor; ``ReadCursor()`` reads all states, no old events."""
        self._mark_read()
        with self._lock:
            counters = self._counters
            changed = sorted(
                (loaded for loaded in self._devices.values() if loaded.offset > after.offset),
                key=lambda loaded: loaded.offset,
            )
            reading = self._watch.reading(counters)
            updates = [past(loaded, reading).update() for loaded in changed[:limit]]
            whole = limit is None or len(updates) < limit
            offset = counters.offset if whole else updates[-1].offset
            seen = {
                device: reading.past(loaded.record.seen_at, loaded.offset, loaded.seen)
                for device, loaded in self._devices.items()
                if loaded.seen > after.seen
                and 0 < loaded.offset <= after.offset
                and loaded.record.seen_at is not None
            }
            since = after.event or counters.event
            events = [event for number, (_, event) in self._events.items() if number > since]
            commands = self._commands.changed_after(after.command, COMMANDS_PAGE)
            command = commands_read(commands, counters.command)
            return Changes(
                self.read_position(),
                ReadCursor(
                    offset, counters.seen, counters.event, command, counters.watch, counters.access
                ),
                updates,
                seen,
                events,
                commands,
                self._watch_changes(after.watch),
                self._access.changed_after(after.access),
            )

    def _watch_changes(self, change: int) -> WatchChanges | None:
        if change in (-1, self._counters.watch):
            return None
        found = [part for newer, part in self._watch_parts.values() if newer > change]
        return WatchChanges(frozenset(process for process, _ in self._watch_parts), found)

    def read_names(self, after: int, limit: int) -> ChangedNames:
        """Which devices changed after an offset."""
        self._mark_read()
        with self._lock:
            changed = [
                (loaded.offset, device)
                for device, loaded in self._devices.items()
                if loaded.offset > after
            ]
            found = sorted(changed)[:limit]
            offset = self._counters.offset if len(found) < limit else found[-1][0]
            return ChangedNames([device for _, device in found], offset)

    def known_ids(self, source: str, ids: Collection[str]) -> set[str]:
        """Those of these message ids that were committed and are remembered."""
        with self._lock:
            record = self._sources.get(source)
            return set() if record is None else record.ids.known(ids)

    def epoch_history(self) -> EpochHistory:
        """The epochs of this store."""
        with self._lock:
            return EpochHistory(self._epochs, self._counters.forgotten, self._counters.offset)

    def read_position(self) -> Position:
        """The newest epoch and offset."""
        with self._lock:
            return Position(self._epochs[-1][0], self._counters.offset)

    def is_valid(self, position: Position) -> bool:
        """Whether a position belongs to this store's history and nothing after it was forgotten."""
        return self.epoch_history().is_valid(position)

    def position_of(self, update: Update) -> Position:
        """The position of a version."""
        return self.epoch_history().position_of(update.offset)

    def exchange(self, process: str, report: Mapping[str, Any]) -> Exchanged:
        """Announce a report, and read the reports of all and what else each process shows."""
        self.announce(process, report)
        return Exchanged.read(self)

    def damaged(self) -> list[DamagedRow]:
        """None: memory has no rows at rest."""
        return []

    def check(self) -> list[str]:
        """Nothing is wrong: there is no disk."""
        return []

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one."""
        with self._lock:
            loaded = self._devices.get(device)
            if loaded is None or not loaded.offset:
                return None
            return past(loaded, self._watch.reading(self._counters)).update()

    def neighbours(self, device: str, limit: int) -> list[str]:
        """Names of present devices, up to ``limit`` before this name and as many after it."""
        with self._lock:
            present = [name for name, one in self._devices.items() if one.state is not None]
        before = heapq.nlargest(limit, (name for name in present if name < device))
        after = heapq.nsmallest(limit, (name for name in present if name >= device))
        return [*before[::-1], *after]

    def devices(
        self, *, after: str = "", limit: int | None = None, readable: Patterns = EVERYTHING
    ) -> list[Update]:
        """Present devices by name."""
        with self._lock:
            reading = self._watch.reading(self._counters)
            present = sorted(
                name
                for name, loaded in self._devices.items()
                if loaded.state is not None and name > after and any_covers(readable, name)
            )
            return [past(self._devices[name], reading).update() for name in present[:limit]]

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""
        with self._lock:
            reading = self._watch.reading(self._counters)
            rows = self._history.rows(device, reading)
        found = [row for row in rows if before is None or row.version < before]
        return found[::-1][:limit]

    def history_size(self, device: str) -> tuple[int, int | None]:
        """The number of rows, and the time of the oldest in ms."""
        with self._lock:
            rows = self._history.rows(device, self._watch.reading(self._counters))
        return len(rows), min((row.at for row in rows), default=None)

    def quarantined(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        device: str | None = None,
        newest: bool = False,
    ) -> list[Quarantined]:
        """Rows with numbers above ``after``, in ascending order, about one device or all."""
        with self._lock:
            found = [row for row in self._quarantine.about(device) if row.number > after]
        return (found[::-1] if newest else found)[:limit]

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        with self._lock:
            return self._quarantine.row(number)

    def quarantine_count(self, device: str | None = None) -> int:
        """The number of rows; with ``device`` of those that may be about it."""
        with self._lock:
            return len(self._quarantine.about(device))

    def totals(self) -> dict[str, Totals]:
        """What came through each source since the store was made."""
        with self._lock:
            return dict(sorted(self._totals.items()))

    def sizes(self) -> Sizes:
        """How much the store holds."""
        with self._lock:
            return Sizes(self._counters.history_rows, self._counters.history_bytes)
