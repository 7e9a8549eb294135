"""The store of one host: one SQLite file for states, history, ids, quarantine and embedded queues.

``stores.batch`` decides what a commit does. This module loads what the batch needs and writes its
outcome, in one transaction.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from statecast.access.patterns import EVERYTHING, Patterns
from statecast.access.records import AuditEntry
from statecast.errors import BadSetting, StatecastError, StoreUnusable
from statecast.model import Change, HistoryRow, Message, Position, Quarantined, Update
from statecast.problems import Problems
from statecast.program.unix import in_children
from statecast.stores import device_row
from statecast.stores.batch import (
    Batch,
    DamagedDevice,
    answered_by,
    devices_of,
    events_of,
    ids_of,
    refused_totals,
)
from statecast.stores.changes import ChangedNames, Changes, ReadCursor
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.contract import API_SOURCE, DamagedRow, Exchanged
from statecast.stores.counters import Counters
from statecast.stores.edits import Edit, fold
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.group_commit import EverythingRefused, GroupCommit, QueuedWrite
from statecast.stores.limits import Limits, Sizes
from statecast.stores.refusals import Refusals
from statecast.stores.sqlite import (
    changes,
    check,
    commands,
    dedup,
    devices,
    file_sizes,
    history,
    quarantine,
    rebuild,
    schema,
    sources,
    totals,
)
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.access_store import SqliteAccessStore
from statecast.stores.sqlite.command_store import SqliteCommandStore
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.device_cache import DeviceCache
from statecast.stores.sqlite.driver import data_version
from statecast.stores.sqlite.file_lock import FileLease
from statecast.stores.sqlite.process_store import SqliteProcessStore
from statecast.stores.sqlite.queue import Append, QueueWriter, SqliteQueue
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


class SqliteStore(SqliteAccessStore, SqliteCommandStore, SqliteProcessStore):
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
        self._queues: dict[str, SqliteQueue] = {}
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
        with self._refusals.taken() as refusals, self._write_devices() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            key = self._source(connection, source, term)
            dedup.confirm(connection, key, list(confirmed), now)
            dedup.trim(connection, counters, self._watch.age_from(now))
            batch = self._batch(connection, source, resolution, counters, now, messages)
            batch.known_ids = dedup.known(connection, key, ids_of(messages))
            self._add(batch, messages)
            dedup.save(connection, counters, key, batch.new_ids)
            self._save(connection, batch, refusals)
        return batch.result()

    def commit_received(
        self, queue: str, messages: Sequence[Message], *, term: int | None = None
    ) -> Committed:
        """As ``commit``; the messages leave the queue of this name in the same transaction."""
        rows = self.queue(queue)
        with self._refusals.taken() as refusals, self._write_devices() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            key = self._source(connection, queue, term)
            dedup.trim(connection, counters, self._watch.age_from(now))
            batch = self._batch(connection, queue, 1, counters, now, messages)
            batch.known_ids = rows.take(connection, [message.delivery for message in messages])
            if dedup.has_any(connection, key):  # an older version remembered them
                known = dedup.known(connection, key, ids_of(messages))
                dedup.confirm(connection, key, known, now)
                batch.known_ids |= known
            self._add(batch, messages)
            self._save(connection, batch, refusals)
        return batch.result()

    @contextmanager
    def _write_devices(self, *, messages_only: bool = False) -> Iterator[apsw.Connection]:
        """A transaction that writes devices through their cache."""
        database, cache = self.database, self._cache
        with database.write(
            messages_only=messages_only, keeps_devices=True, on_commit=cache.confirm
        ) as connection:
            cache.begin((connection, data_version(connection), database.device_writes))
            yield connection

    @staticmethod
    def _add(batch: Batch, messages: Sequence[Message]) -> None:
        batch.restore_proven()
        for message in messages:
            batch.add(message)

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
        messages_only = all(isinstance(one.write, Append) for one in group)
        with (
            self._refusals.taken() as refusals,
            self._write_devices(messages_only=messages_only) as connection,
        ):
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
        with self._refusals.taken() as refusals, self._write_devices() as connection:
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
        with self._counted() as (connection, counters, now):
            quarantine.one(connection, self.rows, number)
            quarantine.delete(connection, self.rows, counters, number)
            self._note(connection, counters, audit, now)

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
        devices.forget_tombstones(connection, self.rows, self._cache, counters, age_from)
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

    # -- what belongs to all of it

    def exchange(self, process: str, report: Mapping[str, Any]) -> Exchanged:
        """Announce a report, and read the reports of all and what else each process shows."""
        self.announce(process, report)
        return Exchanged.read(self)

    def queue(self, name: str) -> SqliteQueue:
        """The queue of that name inside this store."""
        known = self._queues.get(name)
        if known is None:
            known = SqliteQueue(
                self.database, self.rows, name, self.limits, self.clock, self._writes
            )
            self._queues[name] = known
        return known

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
