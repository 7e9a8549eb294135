"""A store in dicts, for tests and for ``--store memory:``. It ends with its process.

``stores.batch`` decides what a commit does; this module keeps the outcome.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from statecast.access.patterns import EVERYTHING, Patterns, any_covers
from statecast.access.records import AccessRecord, AuditEntry, Guard, RecordKind
from statecast.commands.life import Command, NewCommand
from statecast.model import (
    Cause,
    Change,
    Event,
    HistoryRow,
    Message,
    Position,
    Quarantined,
    Update,
)
from statecast.problems import Problems
from statecast.stores import errors, retention
from statecast.stores.access_change import AccessChange
from statecast.stores.batch import Batch, DeviceState, answered_by, devices_of, events_of
from statecast.stores.changes import (
    COMMANDS_PAGE,
    ChangedNames,
    Changes,
    ReadCursor,
    WatchChanges,
    WatchPart,
    commands_read,
)
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.contract import API_SOURCE, DamagedRow, Exchanged
from statecast.stores.counters import Counters
from statecast.stores.edits import Edit, fold
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.forgotten_names import renamed_senders
from statecast.stores.leases import LeaseHolder, command_lease
from statecast.stores.limits import Limits, Sizes
from statecast.stores.memory.access import MemoryAccess
from statecast.stores.memory.commands import MemoryCommands
from statecast.stores.memory.dedup import KnownEvents, KnownIds
from statecast.stores.memory.history import MemoryHistory
from statecast.stores.memory.queue import MemoryQueue
from statecast.stores.memory.reactions import MemoryReaction, ReactionRecord
from statecast.stores.notifier import CommitNotifier
from statecast.stores.open_commands import OpenCommands
from statecast.stores.retention import FORGET_AT_ONCE
from statecast.stores.totals import Committed, Totals


def open_url(
    rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool, problems: Problems
) -> MemoryStore:
    return MemoryStore(limits, clock, problems)


@dataclasses.dataclass(slots=True)
class SourceRecord:
    """What the store keeps per source."""

    term: int = 0
    leased: bool = False
    progress_at: float = 0.0
    """When the holder of the lease noted progress, by ``time.monotonic``."""
    ids: KnownIds = dataclasses.field(default_factory=KnownIds)


class MemoryLease:
    """The lease of one source, among the threads of this process."""

    def __init__(self, source: SourceRecord, lock: threading.RLock) -> None:
        self.term = source.term
        self._source = source
        self._lock = lock
        self._released = False
        self.note_progress()

    def note_progress(self) -> None:
        self._source.progress_at = time.monotonic()

    def release(self) -> None:
        with self._lock:
            if not self._released:
                self._released = True
                self._source.leased = False


class MemoryStore:
    """Everything under one lock; one process only."""

    def __init__(
        self, limits: Limits, clock: Callable[[], int], problems: Problems | None = None
    ) -> None:
        self.problems = problems or Problems(clock)
        self.limits = limits
        self.clock = clock
        self._lock = threading.RLock()
        self._notifier = CommitNotifier()
        self._thread = threading.local()
        self._counters = Counters()
        self._epochs = ((uuid.uuid4().hex, 1),)
        self._devices: dict[str, DeviceState] = {}
        self._history = MemoryHistory()
        self._sources: dict[str, SourceRecord] = {}
        self._known_events = KnownEvents()
        self._quarantine: dict[int, Quarantined] = {}
        self._quarantine_number = 0
        self._totals: dict[str, Totals] = {}
        self._commands = MemoryCommands()
        self._access = MemoryAccess(limits.audit_rows)
        self._events: dict[int, tuple[int, Event]] = {}
        self._reports: dict[str, tuple[int, str]] = {}
        self._watch_parts: dict[tuple[str, int], tuple[int, WatchPart]] = {}
        """By process and part, with the number of the change."""
        self._queues: dict[str, MemoryQueue] = {}
        self._reactions: dict[str, ReactionRecord] = {}
        self._watch = ClockWatch(clock, self.problems)

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
            self._access.note(audit, now)
        self._notifier.notify()
        return batch.result(0 if refused is None else 1)

    def drop(self, number: int, *, audit: AuditEntry | None = None) -> None:
        """Delete a quarantined row for good. Raises NotFound."""
        with self._lock:
            self.quarantine_row(number)
            del self._quarantine[number]
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
        for one in batch.quarantine:
            self._quarantine_number += 1
            self._quarantine[self._quarantine_number] = dataclasses.replace(
                one, number=self._quarantine_number
            )
        evicted = []
        while len(self._quarantine) > self.limits.quarantine_rows:
            evicted.append(self._quarantine.pop(next(iter(self._quarantine))).source)
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
        found = [row for row in self._quarantine_about(device) if row.number > after]
        return (found[::-1] if newest else found)[:limit]

    def _quarantine_about(self, device: str | None) -> list[Quarantined]:
        with self._lock:
            found = self._quarantine.values()
            return [row for row in found if device is None or row.device == device]

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        with self._lock:
            if number not in self._quarantine:
                raise errors.no_quarantine_row(number)
            return self._quarantine[number]

    def quarantine_count(self, device: str | None = None) -> int:
        """The number of rows; with ``device`` of those that may be about it."""
        return len(self._quarantine_about(device))

    def totals(self) -> dict[str, Totals]:
        """What came through each source since the store was made."""
        with self._lock:
            return dict(sorted(self._totals.items()))

    def sizes(self) -> Sizes:
        """How much the store holds."""
        with self._lock:
            return Sizes(self._counters.history_rows, self._counters.history_bytes)

    # -- commands

    def begin_command(
        self,
        new: NewCommand,
        takes: Collection[str] | None = None,
        *,
        audit: AuditEntry | None = None,
    ) -> Command:
        """Ask something of a device. Raises NotTaken, TooManyCommands, Refused."""
        with self._lock:
            now, newest = self._watch.check(self._counters), self._counters.command
            known = self._devices.get(new.device)
            if known is not None and known.record.commands is not None:
                takes = known.record.commands
            command = self._commands.begin(self._counters, new, takes, self.limits, now)
            age_from = self._watch.age_from(now)
            self._commands.forget(new.device, self.limits.commands_kept, age_from)
            if command.number > newest:  # a repeated request asks for nothing new
                self._access.note(audit, now)
        self._notifier.notify()
        return command

    def hand_out(self, device: str, *, after: str | None = None, limit: int = 100) -> list[Command]:
        """The open commands of a device in their order, noted as handed out."""
        with self._lock:
            now = self._watch.check(self._counters)
            found = self._commands.hand_out(self._counters, device, after, limit, now)
        self._notifier.notify()
        return found

    def begin_dispatch(
        self, queue: str, term: int, belongs: Callable[[str, str | None], bool], limit: int
    ) -> list[Command]:
        """Waiting commands of devices that ``belongs`` takes, as they are. Raises LeaseLost."""

        def takes(device: str) -> bool:
            known = self._devices.get(device)
            return belongs(device, None if known is None else known.record.source)

        with self._lock:
            self._check_term(command_lease(queue), term)
            return self._commands.begin_dispatch(takes, limit, self._watch.check(self._counters))

    def end_dispatch(
        self, queue: str, term: int, put: Sequence[str], not_put: Sequence[str]
    ) -> None:
        """Note what became of commands that ``begin_dispatch`` returned. Raises LeaseLost."""
        with self._lock:
            self._check_term(command_lease(queue), term)
            now = self._watch.check(self._counters)
            self._commands.end_dispatch(self._counters, put, not_put, now)
        self._notifier.notify()

    def pass_deadlines(self) -> list[Command]:
        """Note of each command whose deadline has passed what it became; they are returned."""
        with self._lock:
            now = self._watch.check(self._counters)
            found = self._commands.pass_deadlines(self._counters, now)
        if found:
            self._notifier.notify()
        return found

    def command(self, id_: str) -> Command:
        """One command. Raises NotFound."""
        with self._lock:
            found = self._commands.by_ids([id_])
        if not found:
            raise errors.no_command(id_)
        return found[id_]

    def commands(
        self,
        device: str | None = None,
        *,
        before: int | None = None,
        limit: int = 50,
        readable: Patterns = EVERYTHING,
    ) -> list[Command]:
        """Commands with numbers below ``before``, newest first, of one device or of all."""
        with self._lock:
            return self._commands.newest(device, before, limit, readable)

    def open_commands(self, limit: int = 10) -> OpenCommands:
        """How many commands are not at an end, and up to ``limit`` devices that have some."""
        with self._lock:
            return self._commands.open_ones(limit)

    # -- forgetting

    def forget_device(self, device: str, most: int = FORGET_AT_ONCE) -> int:
        """Delete everything about a device but the mark of its removal; how many rows."""
        with self._lock:
            gone = self._history.forget_device(device, self._counters)
            gone += self._commands.forget_device(device)
            gone += self._known_events.forget_device(device)
            for row in self._quarantine_about(device):
                del self._quarantine[row.number]
                gone += 1
            for reaction in self._reactions.values():
                gone += reaction.last.pop(device, None) is not None
            return gone + self._access.forget_device(device)

    def forget_person(self, name: str, most: int = FORGET_AT_ONCE) -> int:
        """Leave out the name of a person; in how many rows."""
        senders = renamed_senders(name)

        def without(cause: Cause) -> Cause:
            sender = senders.get(cause.sender)
            return cause if sender is None else dataclasses.replace(cause, sender=sender)

        with self._lock:
            changed = self._history.replace_causes(without)
            for one in self._devices.values():
                before, one.cause = one.cause, without(one.cause)
                changed += one.cause is not before
            changed += self._commands.forget_person(name, senders)
            changed += self._access.forget_person(name, senders)
            for number, row in self._quarantine.items():
                if row.sender in senders:
                    again = dataclasses.replace(row, sender=senders[row.sender])
                    self._quarantine[number] = again
                    changed += 1
            return changed

    def scrub(self) -> bool:
        """Nothing to do: nothing is on a disk."""
        return True

    # -- who may do what

    def access_record(self, kind: RecordKind, id_: str) -> AccessRecord | None:
        """A user, key, share link or session; None if there never was one."""
        with self._lock:
            return self._access.one(kind, id_)

    def access_records(self, kind: RecordKind | None = None) -> list[AccessRecord]:
        """All that exist, of one kind or of every kind, by kind and id."""
        with self._lock:
            return self._access.all_of(kind)

    def put_access(
        self,
        kind: RecordKind,
        id_: str,
        body: Mapping[str, Any] | None,
        *,
        expected: int | None = None,
        guard: Guard | None = None,
        audit: AuditEntry | None = None,
    ) -> AccessRecord:
        """Write or, without a body, remove a record. Raises Conflict."""
        with self._lock:
            now = self._watch.check(self._counters)
            if guard is not None:
                guard(self._access.all_of(kind))
            record = self._access.put(self._counters, AccessChange(kind, id_, body, expected), now)
            self._access.note(audit, now)
        self._notifier.notify()
        return record

    def note(self, audit: AuditEntry) -> None:
        """Write down who did what."""
        with self._lock:
            self._access.note(audit, self._watch.check(self._counters))

    def audit_rows(
        self, *, before: int | None = None, limit: int = 100, by: str | None = None
    ) -> list[AuditEntry]:
        """Entries with numbers below ``before``, newest first, of one sender or of all."""
        with self._lock:
            return self._access.audit_rows(before, limit, by)

    # -- between threads

    def emit(self, events: Sequence[Event]) -> None:
        """Pass application events to every reader, in their order; kept for 60 s."""
        uptime = self._watch.uptime()
        with self._lock:
            for event in events:
                self._counters.event += 1
                self._events[self._counters.event] = (uptime, event)
            for old, (at, _) in list(self._events.items()):
                if abs(uptime - at) > retention.EVENT_MS:
                    del self._events[old]
        self._notifier.notify()

    def take_events(self) -> None:
        """Nothing to do: no other process has this store."""

    def others_take_events(self) -> bool:
        """No other process has this store."""
        return False

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Publish the report of this process."""
        with self._lock:
            self._watch.check(self._counters)
            self._reports[process] = (self._watch.uptime(), json.dumps(report))
            self._forget_old_reports()
        self._notifier.notify()

    def exchange(self, process: str, report: Mapping[str, Any]) -> Exchanged:
        """Announce a report, and read the reports of all and what else each process shows."""
        self.announce(process, report)
        return Exchanged.read(self)

    def withdraw(self, process: str) -> None:
        """Take back the report and the counts of a process that stops serving."""
        with self._lock:
            self._reports.pop(process, None)
            self._forget_counts(lambda other: other == process)
        self._notifier.notify()

    def ended_processes(self) -> list[str]:
        """None: this process has not ended."""
        return []

    def count_watching(self, process: str, parts: Mapping[int, bytes]) -> None:
        """Publish what the viewers of a serving process watch."""
        with self._lock:
            self._counters.watch += 1
            for part, counts in parts.items():
                row = self._counters.watch, WatchPart(process, part, counts)
                self._watch_parts[process, part] = row
        self._notifier.notify()

    def watch_parts(self, parts: Collection[int]) -> list[WatchPart]:
        """These parts of all processes."""
        with self._lock:
            return [one for _, one in self._watch_parts.values() if one.part in parts]

    def _forget_counts(self, is_gone: Callable[[str], bool]) -> None:
        gone = [place for place in self._watch_parts if is_gone(place[0])]
        for place in gone:
            del self._watch_parts[place]
        self._counters.watch += bool(gone)

    def probe(self) -> None:
        """Nothing is written anywhere, so nothing can fail."""

    def holder(self, source: str) -> LeaseHolder | None:
        """This process, if a thread of it has the lease."""
        with self._lock:
            record = self._sources.get(source)
            if record is None or not record.leased:
                return None
            idle = time.monotonic() - record.progress_at
            return LeaseHolder(os.getpid(), idle, socket.gethostname())

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process that announced one within the last 10 s."""
        with self._lock:
            self._forget_old_reports()
            return {process: json.loads(report) for process, (_, report) in self._reports.items()}

    def _forget_old_reports(self) -> None:
        """And the counts of processes without a report."""
        uptime = self._watch.uptime()
        self._reports = {
            process: (at, report)
            for process, (at, report) in self._reports.items()
            if abs(uptime - at) <= retention.REPORT_MS
        }
        self._forget_counts(lambda process: process not in self._reports)

    def lease(self, source: str) -> MemoryLease | None:
        """Take the lease of a source with a new term; None at once if another thread has it."""
        with self._lock:
            record = self._sources.setdefault(source, SourceRecord())
            if record.leased:
                return None
            record.leased = True
            record.term += 1
            if source in self._queues:
                self._queues[source].release()
            return MemoryLease(record, self._lock)

    def wait(self, timeout: float, after: ReadCursor | None = None) -> None:
        """Return when anything was committed since this thread's last read, or time is over."""
        notifier = self._notifier
        notifier.wait(getattr(self._thread, "commits", notifier.commits), timeout)
        self._mark_read()

    def wake(self) -> None:
        """End every ``wait`` now."""
        self._notifier.notify()

    def queue(self, name: str) -> MemoryQueue:
        """The queue of that name inside this store."""
        with self._lock:
            if name not in self._queues:
                self._queues[name] = MemoryQueue(
                    name,
                    self.limits,
                    self.clock,
                    self._arrival,
                    self._notifier,
                    self._lock,
                )
            return self._queues[name]

    def reaction(self, name: str, patterns: Sequence[str]) -> MemoryReaction:
        """What the store keeps for a reaction."""
        with self._lock:
            record = self._reactions.setdefault(name, ReactionRecord())
        return MemoryReaction(
            name, tuple(patterns), record, self._devices, self._check_term, self._lock
        )

    def _check_term(self, source: str, term: int) -> None:
        """Raises LeaseLost if ``term`` is not the newest of this source."""
        record = self._sources.get(source)
        if record is None or term != record.term:
            raise errors.lease_lost(source)

    def close(self) -> None:
        """End every wait."""
        self._notifier.notify()

    def _arrival(self) -> int:
        self._counters.arrival += 1
        return self._counters.arrival

    def _mark_read(self) -> None:
        """A commit after this point ends the thread's next wait."""
        self._thread.commits = self._notifier.commits


def past(loaded: DeviceState, reading: Reading) -> DeviceState:
    """A device with no time later than now."""
    record, offset, seen_at = loaded.record, loaded.offset, loaded.record.seen_at
    times = (record.changed_at, seen_at or 0, record.arrived_at, *record.fields.values())
    if max(times) <= reading.latest(offset):
        return loaded
    record = dataclasses.replace(
        record,
        changed_at=reading.past(record.changed_at, offset),
        seen_at=None if seen_at is None else reading.past(seen_at, offset, loaded.seen),
        arrived_at=reading.past(record.arrived_at, offset),
        fields={name: reading.past(time, offset) for name, time in record.fields.items()},
    )
    return dataclasses.replace(loaded, record=record)
