"""The store of one host: one SQLite file for states, history, ids, quarantine and embedded queues.

``stores.batch`` decides what a commit does. This module loads what the batch needs and writes its
outcome, in one transaction.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from statecast.access.patterns import EVERYTHING, Patterns
from statecast.access.records import AccessRecord, AuditEntry, Guard, RecordKind
from statecast.commands.life import Command, NewCommand
from statecast.errors import BadSetting, StatecastError, StoreUnusable
from statecast.model import (
    Change,
    Event,
    HistoryRow,
    Message,
    Position,
    Quarantined,
    Update,
)
from statecast.problems import Problems
from statecast.program.unix import in_children
from statecast.stores import device_row, errors
from statecast.stores.access_change import AccessChange
from statecast.stores.batch import (
    Batch,
    DamagedDevice,
    answered_by,
    devices_of,
    events_of,
    refused_totals,
)
from statecast.stores.changes import ChangedNames, Changes, ReadCursor, WatchPart
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.contract import API_SOURCE, DamagedRow, Exchanged
from statecast.stores.counters import Counters
from statecast.stores.edits import Edit, fold
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.group_commit import EverythingRefused, GroupCommit, QueuedWrite
from statecast.stores.leases import LeaseHolder, LeaseWait, command_lease
from statecast.stores.limits import Limits, Sizes
from statecast.stores.open_commands import OpenCommands
from statecast.stores.refusals import Refusals
from statecast.stores.retention import FORGET_AT_ONCE
from statecast.stores.sqlite import (
    access,
    changes,
    check,
    commands,
    dedup,
    devices,
    file_sizes,
    forget,
    history,
    quarantine,
    rebuild,
    schema,
    sources,
    totals,
    watch_counts,
)
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.device_cache import DeviceCache
from statecast.stores.sqlite.file_lock import (
    FileLease,
    has_ended,
    hold_process,
    lease_holder,
    remove_ended,
    remove_process,
    take_lease,
)
from statecast.stores.sqlite.queue import Append, QueueWriter, SqliteQueue, release_all
from statecast.stores.sqlite.reactions import SqliteReaction
from statecast.stores.sqlite.row_reader import Damaged, RowReader
from statecast.stores.sqlite.tables import check_format
from statecast.stores.totals import Committed, Totals


def open_url(
    rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool, problems: Problems
) -> SqliteStore:
    """``///relative.db`` or ``////absolute.db``, as in SQLAlchemy's URLs."""
    if not rest.startswith("///") or len(rest) == 3:
        raise BadSetting(
            f"The store sqlite:{rest} names no file; write sqlite:///statecast.db, "
            "or sqlite:////var/lib/statecast.db with four slashes for an absolute path."
        )
    return SqliteStore(Path(rest[3:]), limits, clock, begin_epoch=begin_epoch, problems=problems)


class SqliteStore:
    """States on disk; any number of processes of one host may use the same file."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        limits: Limits,
        clock: Callable[[], int],
        *,
        begin_epoch: bool = True,
        steps: Sequence[str] = schema.STEPS,
        problems: Problems | None = None,
        examining: bool = False,
    ) -> None:
        check_format()
        self.problems = problems or Problems(clock)
        self.path = Path(os.path.realpath(path))  # so that a link is the same store
        self.limits = limits
        self.clock = clock
        self.rows = RowReader(self.problems)
        self.database = Database(self.path, steps, examining=examining)
        self._refusals = Refusals()
        self._cache = DeviceCache()
        self._writes: GroupCommit[Edit | Append] = GroupCommit(self.commit_writes)
        self._leases: weakref.WeakSet[FileLease] = weakref.WeakSet()
        self._held: dict[str, FileLease] = {}
        """The locks that tell others when a process has ended, by its id."""
        self._epoch_begun = False
        in_children(self, SqliteStore._after_fork)
        self._watch = ClockWatch(clock, self.problems)
        try:
            if begin_epoch or self.database.created:
                self._begin()
            else:
                with self.database.read() as connection:
                    self._watch.say(counter_row.load(connection, self.rows), clock())
        except BaseException:
            self.database.close()
            raise

    def _begin(self) -> None:
        """Begin an epoch, and put right what is derived from the tables."""
        with self.database.write() as connection:
            check.mend_indexes(connection)
            self._begin_epoch(connection, self._check_clock(connection))

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
        """Apply messages and write the outcome in one transaction, durable on return.

        Raises LeaseLost when ``term`` is not the source's newest; StoreUnavailable means that
        nothing was written.
        """
        with self._refusals.taken() as refusals, self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            key = self._source(connection, source, term)
            dedup.confirm(connection, key, list(confirmed), now)
            dedup.trim(connection, counters, self._watch.age_from(now))
            batch = self._batch(connection, source, resolution, counters, now, messages)
            batch.restore_proven()
            batch.known_ids = dedup.known(
                connection, key, [message.delivery.id for message in messages]
            )
            for message in messages:
                batch.add(message)
            dedup.save(connection, counters, key, batch.new_ids)
            self._save(connection, batch, refusals)
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
        """Commit one change of source ``api``, with a stamp that is newer than the device's newest.

        Returns the device's update; None if there is no such device. Raises Refused (quarantine
        stays as it is), and Conflict when ``if_match`` is not the device's position.
        """
        edit = Edit(change, cause_id, if_match, sender, audit)
        update: Update | None = self._writes.run(edit)
        return update

    def commit_writes(self, group: Sequence[QueuedWrite[Edit | Append]]) -> None:
        """Commit edits and messages for queues in one transaction; see ``GroupCommit``."""
        with self._refusals.taken() as refusals, self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            messages = {one: one.write.message(now) for one in group if isinstance(one.write, Edit)}
            batch = self._batch(connection, API_SOURCE, 1, counters, now, list(messages.values()))
            queues = QueueWriter(connection, counters, now)
            for one in group:
                with one.refusing():
                    if isinstance(one.write, Append):
                        one.result = queues.append(one.write)
                    else:
                        one.result = self._fold(connection, batch, one.write, messages[one])
            if all(one.error for one in group):
                raise EverythingRefused
            queues.save()
            if messages:
                self._save(connection, batch, refusals)
            else:
                totals.add(connection, self.rows, refused_totals(refusals))
                counter_row.save(connection, self.rows, counters)

    def _fold(
        self, connection: apsw.Connection, batch: Batch, edit: Edit, message: Message
    ) -> Update | None:
        update = fold(
            batch,
            edit,
            message.delivery,
            lambda: changes.epoch_history(connection, self.rows),
        )
        self._note(connection, batch.counters, edit.audit, batch.now)
        return update

    def replay(
        self, number: int, message: Message, resolution: int, *, audit: AuditEntry | None = None
    ) -> Committed:
        """Commit a quarantined message again, with its original id and stamp.

        The row is deleted if nothing is refused. Raises NotFound.
        """
        with self._refusals.taken() as refusals, self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            found = quarantine.readable(connection, self.rows, number)
            batch = self._batch(connection, found.source, resolution, counters, now, [message])
            batch.restore_proven()
            refused = batch.replay(found, message)
            if refused is None:
                quarantine.delete(connection, self.rows, counters, number)
            else:
                quarantine.refuse_again(connection, found, refused, now)
            self._note(connection, counters, audit, now)
            self._save(connection, batch, refusals)
        return batch.result(0 if refused is None else 1)

    def drop(self, number: int, *, audit: AuditEntry | None = None) -> None:
        """Delete a quarantined row for good. Raises NotFound."""
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            quarantine.one(connection, self.rows, number)
            quarantine.delete(connection, self.rows, counters, number)
            self._note(connection, counters, audit, self._watch.check(counters))
            counter_row.save(connection, self.rows, counters)

    def count_refused(self, source: str) -> None:
        """Count a message that was refused; written with the next commit or announcement."""
        self._refusals.count(source)

    def check(self) -> list[str]:
        """What is wrong in the file, as sentences. It changes nothing; a server may run."""
        found: list[str] = []
        try:
            with self.database.read() as connection:
                found += (one.sentence for one in check.check(connection))
        except StoreUnusable as error:  # on a damaged page, the end of the transaction fails too
            found = found or [error.public]
        return found

    def repair(self) -> list[str]:
        """Mend what ``check`` finds, and say what was done. No other process may use the store."""
        from statecast.stores.sqlite.repair import Repair  # a server repairs nothing

        with self.database.alone(), self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            batch = self._batch(connection, API_SOURCE, 1, counters, now, ())
            repair = Repair(connection, self.rows, batch, self.path)
            done = list(repair.mend_all())
            self._save(connection, batch, {})
            done += repair.count()
        return done

    def _batch(
        self,
        connection: apsw.Connection,
        source: str,
        resolution: int,
        counters: Counters,
        now: int,
        messages: Sequence[Message],
    ) -> Batch:
        events = events_of(messages)
        dedup.trim_events(connection, counters, len(events), self._watch.age_from(now))
        reading = Reading.of(now, counters)
        loaded, damaged = devices.load(
            connection, self.rows, self._cache, devices_of(messages), reading
        )
        batch = Batch(
            source,
            resolution,
            now,
            self.limits.late_message_ms,
            counters,
            self.limits.max_devices,
            loaded,
            known_events=dedup.known_events(connection, events),
            commands=commands.by_ids(connection, self.rows, answered_by(messages)),
        )
        for one in damaged:
            self._find_rebuilt(connection, batch, one)
        return batch

    def _find_rebuilt(self, connection: apsw.Connection, batch: Batch, damaged: Damaged) -> None:
        """Give the batch what is left of a device whose row is damaged."""
        rebuilt = rebuild.rebuild(connection, self.rows, damaged, batch.reading())
        copy = quarantine.copy_of(damaged, batch.now)
        name = rebuilt.loaded.record.device
        if rebuilt.complete:
            batch.damaged[name] = DamagedDevice(None, rebuilt.loaded, copy)
            return
        reason = (
            f"The device {name!r} has a damaged row in the store ({damaged.reason}). "
            "`statecast store check --repair` mends it; then replay this message."
        )
        blank = replace(rebuilt.loaded, record=replace(rebuilt.loaded.record, state=None))
        batch.damaged[name] = DamagedDevice(reason, blank, copy)

    def _save(self, connection: apsw.Connection, batch: Batch, refusals: Mapping[str, int]) -> None:
        counters, now = batch.counters, batch.now
        touched = batch.flush()
        if batch.versions:
            self._begin_epoch(connection, counters, len(batch.versions))
        devices.save(connection, self._cache, touched, now)
        commands.save(connection, batch.answered)
        history.save(connection, batch.versions)
        dedup.save_events(connection, counters, batch.new_events, now)
        evicted = quarantine.save(
            connection, [*batch.quarantine, *batch.set_aside], counters, self.limits.quarantine_rows
        )
        totals.add(connection, self.rows, batch.totals(evicted, refusals))
        age_from = self._watch.age_from(now)
        history.trim(connection, batch.versions, counters, self.limits, now, age_from)
        devices.forget_tombstones(connection, self.rows, counters, age_from)
        counter_row.save(connection, self.rows, counters)

    def _check_clock(self, connection: apsw.Connection) -> Counters:
        """Notice a step of the clock, although nothing is committed; the counters."""
        counters = counter_row.load(connection, self.rows)
        self._watch.check(counters)
        counter_row.save(connection, self.rows, counters)
        return counters

    def _begin_epoch(
        self, connection: apsw.Connection, counters: Counters, written: int = 0
    ) -> None:
        if not self._epoch_begun:
            changes.begin_epoch(connection, counters.offset - written)
            self._epoch_begun = True

    def _source(self, connection: apsw.Connection, name: str, term: int | None) -> int:
        """The key of a source in the tables. Raises LeaseLost if ``term`` is not its newest."""
        number, newest = sources.find(connection, self.rows, name)
        if term is not None and term != newest:
            raise errors.lease_lost(name)
        return number

    # -- reading

    def _reading(self, connection: apsw.Connection) -> Reading:
        return self._watch.reading(counter_row.load(connection, self.rows))

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """What was committed after a cursor; ``ReadCursor()`` reads all states, no old events."""
        with self.database.read(mark_read=True) as connection:
            found = changes.read(connection, self.rows, after, limit, self._watch)
        if found.cursor != after:
            self.database.notifier.note_news()
        return found

    def read_names(self, after: int, limit: int) -> ChangedNames:
        """Which devices changed after an offset: much cheaper than ``read``."""
        with self.database.read(mark_read=True) as connection:
            return changes.read_names(connection, self.rows, after, limit)

    def known_ids(self, source: str, ids: Collection[str]) -> set[str]:
        """Those of these message ids that were committed and are remembered."""
        with self.database.read() as connection:
            found = sources.number_of(connection, source)
            return set() if found is None else dedup.known(connection, found, ids)

    def epoch_history(self) -> EpochHistory:
        """The epochs of this store."""
        with self.database.read() as connection:
            return changes.epoch_history(connection, self.rows)

    def read_position(self) -> Position:
        """The newest epoch and offset."""
        with self.database.read() as connection:
            return changes.position(connection, self.rows)

    def is_valid(self, position: Position) -> bool:
        """Whether a position belongs to this store's history and nothing after it was forgotten."""
        return self.epoch_history().is_valid(position)

    def position_of(self, update: Update) -> Position:
        """The position of a version; it stays the same over restarts."""
        return self.epoch_history().position_of(update.offset)

    def damaged(self) -> list[DamagedRow]:
        """The damaged rows that this process has met."""
        return [one.public() for one in self.rows.known()]

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one.

        Raises RowDamaged.
        """
        with self.database.read() as connection:
            found = devices.one(connection, self.rows, device)
            reading = self._reading(connection)
        update = None if found is None else device_row.update_of(found, reading)
        return update if update is not None and update.offset > 0 else None

    def neighbours(self, device: str, limit: int) -> list[str]:
        """Names of present devices, up to ``limit`` before this name and as many after it."""
        with self.database.read() as connection:
            return devices.neighbours(connection, device, limit)

    def devices(
        self, *, after: str = "", limit: int | None = None, readable: Patterns = EVERYTHING
    ) -> list[Update]:
        """Present devices by name, without damaged rows."""
        with self.database.read() as connection:
            found = devices.present(connection, self.rows, after, limit, readable)
            reading = self._reading(connection)
        return [device_row.update_of(row, reading) for row in found]

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""
        with self.database.read() as connection:
            reading = self._reading(connection)
            return history.read(connection, self.rows, device, before, limit, reading)

    def history_size(self, device: str) -> tuple[int, int | None]:
        """The number of rows, and the time of the oldest in ms."""
        with self.database.read() as connection:
            return history.size(connection, device, self._reading(connection))

    def quarantined(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        device: str | None = None,
        newest: bool = False,
    ) -> list[Quarantined]:
        """Rows with numbers above ``after``, in ascending order, about one device or all."""
        with self.database.read() as connection:
            return quarantine.read(connection, self.rows, after, limit, device, newest)

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        with self.database.read() as connection:
            return quarantine.one(connection, self.rows, number)

    def quarantine_count(self, device: str | None = None) -> int:
        """The number of rows; with ``device`` of those that may be about it."""
        with self.database.read() as connection:
            if device is not None:
                return quarantine.count(connection, device)
            return counter_row.load(connection, self.rows).quarantine_rows

    def totals(self) -> dict[str, Totals]:
        """What came through each source since the store was made."""
        with self.database.read() as connection:
            return self._refusals.added_to(totals.read(connection, self.rows))

    def sizes(self) -> Sizes:
        """How much the store holds, and how much room there is."""
        with self.database.read() as connection:
            counters = counter_row.load(connection, self.rows)
        return Sizes(counters.history_rows, counters.history_bytes, *file_sizes.measure(self.path))

    # -- commands

    def begin_command(
        self,
        new: NewCommand,
        takes: Collection[str] | None = None,
        *,
        audit: AuditEntry | None = None,
    ) -> Command:
        """Ask something of a device; durable on return.

        Raises NotTaken, TooManyCommands, Refused.
        """
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now, newest = self._watch.check(counters), counters.command
            own = devices.commands_of(connection, self.rows, new.device)
            takes = takes if own is None else own
            command = commands.begin(connection, self.rows, counters, new, takes, self.limits, now)
            age_from = self._watch.age_from(now)
            commands.forget(connection, new.device, self.limits.commands_kept, age_from)
            if command.number > newest:  # a repeated request asks for nothing new
                self._note(connection, counters, audit, now)
            counter_row.save(connection, self.rows, counters)
        return command

    def hand_out(self, device: str, *, after: str | None = None, limit: int = 100) -> list[Command]:
        """The open commands of a device in their order, noted as handed out before it returns."""
        with self.database.read() as connection:
            if not commands.any_to_take(connection, device, after):
                return []
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            found = commands.hand_out(connection, self.rows, counters, device, after, limit, now)
            counter_row.save(connection, self.rows, counters)
        return found

    def begin_dispatch(
        self, queue: str, term: int, belongs: Callable[[str, str | None], bool], limit: int
    ) -> list[Command]:
        """Waiting commands of devices that ``belongs`` takes, as they are. Raises LeaseLost."""
        with self.database.read() as connection:
            if not commands.to_dispatch(connection, belongs, 1):
                return []
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            self._source(connection, command_lease(queue), term)
            numbers = commands.to_dispatch(connection, belongs, limit)
            found = commands.begin_dispatch(connection, self.rows, numbers, now)
            counter_row.save(connection, self.rows, counters)
        return found

    def end_dispatch(
        self, queue: str, term: int, put: Sequence[str], not_put: Sequence[str]
    ) -> None:
        """Note what became of commands that ``begin_dispatch`` returned. Raises LeaseLost."""
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            self._source(connection, command_lease(queue), term)
            commands.end_dispatch(connection, self.rows, counters, put, not_put, now)
            counter_row.save(connection, self.rows, counters)

    def pass_deadlines(self) -> list[Command]:
        """Note of each command whose deadline has passed what it became; they are returned."""
        with self.database.read() as connection:
            if not commands.overdue(connection, self.clock()):
                return []
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            found = commands.pass_deadlines(connection, self.rows, counters, now)
            counter_row.save(connection, self.rows, counters)
        return found

    def command(self, id_: str) -> Command:
        """One command. Raises NotFound."""
        with self.database.read() as connection:
            found = commands.by_ids(connection, self.rows, [id_])
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
        with self.database.read() as connection:
            return commands.newest(connection, self.rows, device, before, limit, readable)

    def open_commands(self, limit: int = 10) -> OpenCommands:
        """How many commands are not at an end, and up to ``limit`` devices that have some."""
        with self.database.read() as connection:
            return commands.open_ones(connection, limit)

    # -- forgetting

    def forget_device(self, device: str, most: int = FORGET_AT_ONCE) -> int:
        """Delete up to ``most`` rows of each kind about a device; how many, 0: none is left."""
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            gone = forget.device(connection, self.rows, counters, device, most)
            counter_row.save(connection, self.rows, counters)
        return gone

    def forget_person(self, name: str, most: int = FORGET_AT_ONCE) -> int:
        """Replace the name of a person in up to ``most`` rows of each table; how many."""
        with self.database.write() as connection:
            access.forget_mark(connection, "user", name)
            return forget.person(connection, self.rows, name, most)

    def scrub(self) -> bool:
        """Overwrite what was deleted; False: readers kept the log from being emptied for now."""
        return self.database.scrub()

    # -- who may do what

    def access_record(self, kind: RecordKind, id_: str) -> AccessRecord | None:
        """A user, key, share link or session; None if there never was one."""
        with self.database.read() as connection:
            return access.one(connection, self.rows, kind, id_)

    def access_records(self, kind: RecordKind | None = None) -> list[AccessRecord]:
        """All that exist, of one kind or of every kind, by kind and id."""
        with self.database.read() as connection:
            return access.all_of(connection, self.rows, kind)

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
        """Write or, without a body, remove a record; durable on return. Raises Conflict."""
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            if guard is not None:
                guard(access.all_of(connection, self.rows, kind))
            new = AccessChange(kind, id_, body, expected)
            record = access.put(connection, self.rows, counters, new, now)
            self._note(connection, counters, audit, now)
            counter_row.save(connection, self.rows, counters)
        return record

    def note(self, audit: AuditEntry) -> None:
        """Write down who did what; durable on return."""
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            self._note(connection, counters, audit, self._watch.check(counters))
            counter_row.save(connection, self.rows, counters)

    def _note(
        self,
        connection: apsw.Connection,
        counters: Counters,
        audit: AuditEntry | None,
        now: int,
    ) -> None:
        access.note(connection, counters, audit, now, self.limits.audit_rows)

    def audit_rows(
        self, *, before: int | None = None, limit: int = 100, by: str | None = None
    ) -> list[AuditEntry]:
        """Entries with numbers below ``before``, newest first, of one sender or of all."""
        with self.database.read() as connection:
            return access.audit_rows(connection, self.rows, before, limit, by)

    # -- between processes

    def emit(self, events: Sequence[Event]) -> None:
        """Pass application events to every serving process, in their order; kept for 60 s."""
        with self.database.write(durable=False) as connection:
            changes.emit(connection, self.rows, self._watch.uptime(), events)

    def take_events(self) -> None:
        """Let other processes know that this one reads events, until it ends or ``close``."""
        self.database.event_readers.join()

    def others_take_events(self) -> bool:
        """Whether another process reads events now, or that is not known."""
        return self.database.event_readers.has_others()

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Publish the report of a serving process; it is not durable."""
        self._hold(process)
        with (
            self._refusals.taken() as refusals,
            self.database.write(durable=False, notify=False) as connection,
        ):
            counters = counter_row.load(connection, self.rows)
            self._watch.check(counters)
            changes.announce(connection, self._watch.uptime(), process, report)
            watch_counts.forget_absent(connection, counters)
            counter_row.save(connection, self.rows, counters)
            totals.add(connection, self.rows, refused_totals(refusals))

    def _hold(self, process: str) -> None:
        """Hold the lock that tells others when this process has ended."""
        if process in self._held:
            return
        self.database.check_file()  # of a file that is gone, nothing may be made beside it
        lease = hold_process(self.path, process)
        if lease is not None:
            self._held[process] = lease
            self._leases.add(lease)
        remove_ended(self.path)

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process that announced one within the last 10 s."""
        with self.database.read() as connection:
            found = changes.reports(connection, self.rows, self._watch.uptime())
        return {name: one for name, one in found.items() if not has_ended(self.path, name)}

    def exchange(self, process: str, report: Mapping[str, Any]) -> Exchanged:
        """Announce a report, and read the reports of all and what else each process shows."""
        self.announce(process, report)
        return Exchanged.read(self)

    def withdraw(self, process: str) -> None:
        """Take back what a process announced and counted: it stops serving, or has ended."""
        with self.database.write(durable=False) as connection:
            changes.withdraw(connection, process)
            counters = counter_row.load(connection, self.rows)
            watch_counts.forget(connection, counters, process)
            counter_row.save(connection, self.rows, counters)
        if process in self._held:
            self._held.pop(process).release()
        remove_process(self.path, process)

    def ended_processes(self) -> list[str]:
        """The processes that have ended and did not withdraw what they announced or counted."""
        with self.database.read() as connection:
            announced = watch_counts.announced(connection)
        return [process for process in announced if has_ended(self.path, process)]

    def count_watching(self, process: str, parts: Mapping[int, bytes]) -> None:
        """Publish what the viewers of a serving process watch; it is not durable."""
        with self.database.write(durable=False) as connection:
            counters = counter_row.load(connection, self.rows)
            watch_counts.save(connection, counters, process, parts)
            counter_row.save(connection, self.rows, counters)

    def watch_parts(self, parts: Collection[int]) -> list[WatchPart]:
        """These parts of all processes, except of those that have ended."""
        with self.database.read() as connection:
            found = watch_counts.read(connection, self.rows, parts)
        ended = {one for one in {row.process for row in found} if has_ended(self.path, one)}
        return [row for row in found if row.process not in ended]

    def probe(self) -> None:
        """Write something small, durably, and remove it. Raises what a commit would raise now."""
        with self.database.write() as connection:
            changes.write_probe(connection)
        with self.database.write() as connection:  # in the same transaction nothing were written
            changes.remove_probe(connection)

    def holder(self, source: str) -> LeaseHolder | None:
        """The process that has the lease of a source; None: none has it, or it is unknown."""
        return lease_holder(self.path, source)

    def lease(self, source: str) -> FileLease | None:
        """Take the lease of a source with a new term; None at once if another process has it."""
        self.database.check_file()  # of a file that is gone, nothing may be made beside it
        lease = take_lease(self.path, source)
        if lease is None:
            return None
        try:
            with self.database.write() as connection:
                term = sources.raise_term(connection, self.rows, source)
                release_all(connection, source)
        except BaseException:
            lease.release()
            raise
        lease.term = term
        self._leases.add(lease)
        return lease

    def await_lease(self, source: str, on_free: Callable[[], None]) -> LeaseWait | None:
        """Have ``on_free`` called when the lease is free; None where the system cannot wait."""
        from statecast.stores.sqlite import lease_wait  # most processes have their leases at once

        try:
            return lease_wait.FileLeaseWait(self.path, source, on_free)
        except OSError:
            return None

    def wait(self, timeout: float, after: ReadCursor | None = None) -> None:
        """Return when any process has committed since this thread's last read, or time is over."""
        self.database.wait(timeout, None if after is None else partial(changes.any_after, after))

    def wake(self) -> None:
        """End every ``wait`` of this process now."""
        self.database.notifier.notify()

    def queue(self, name: str) -> SqliteQueue:
        """The queue of that name inside this store."""
        return SqliteQueue(self.database, self.rows, name, self.limits, self.clock, self._writes)

    def reaction(self, name: str, patterns: Sequence[str]) -> SqliteReaction:
        """What the store keeps for a reaction."""
        return SqliteReaction(self.database, self.rows, name, tuple(patterns))

    def close(self) -> None:
        """Write what was counted, and the log into the file, and close it."""
        if self._refusals.waiting():
            with (
                suppress(StatecastError),  # closing must not fail for a count
                self._refusals.taken() as refusals,
                self.database.write(durable=False) as connection,
            ):
                totals.add(connection, self.rows, refused_totals(refusals))
        while self._held:
            self._held.popitem()[1].release()
        self.database.close()

    def _after_fork(self) -> None:
        """In a child: close the leases, so that a lease ends with its holder."""
        for lease in list(self._leases):
            with suppress(OSError):
                lease.after_fork()
        self._held.clear()
