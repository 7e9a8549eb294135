"""The store of many hosts: states, history, ids, quarantine and embedded queues in PostgreSQL.

``stores.batch`` decides what a commit does. A commit has two round trips: ``loading`` locks and
loads what the batch needs, and this module writes its outcome together with COMMIT.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from statecast import timestamps
from statecast.access.patterns import EVERYTHING, Patterns
from statecast.access.records import AuditEntry
from statecast.errors import StatecastError
from statecast.model import (
    Change,
    HistoryRow,
    Message,
    Position,
    Quarantined,
    Update,
)
from statecast.problems import Problems
from statecast.stores.changes import ChangedNames, Changes, ReadCursor
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.contract import API_SOURCE, DamagedRow
from statecast.stores.device_row import update_of
from statecast.stores.edits import Edit, fold
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.group_commit import EverythingRefused, GroupCommit, QueuedWrite
from statecast.stores.limits import Limits, Sizes
from statecast.stores.postgres import (
    access,
    address,
    changes,
    check,
    commands,
    dedup,
    devices,
    epochs,
    history,
    quarantine,
    reports,
    totals,
)
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.access_store import AccessStore
from statecast.stores.postgres.clock import ServerClock
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection, Cursor, OutcomeUnknown
from statecast.stores.postgres.loading import BatchQuestion, LoadedBatch
from statecast.stores.postgres.maintenance import Maintenance
from statecast.stores.postgres.process_store import ProcessStore
from statecast.stores.postgres.session import ProcessSession
from statecast.stores.postgres.table_sizes import TableSizes
from statecast.stores.refusals import Refusals
from statecast.stores.totals import Committed, Totals


def open_url(
    rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool, problems: Problems
) -> PostgresStore:
    """``//user@host/database``: what stands after ``postgresql:``."""
    return PostgresStore(
        address.parse(f"postgresql:{rest}"),
        limits,
        clock,
        begin_epoch=begin_epoch,
        problems=problems,
    )


class PostgresStore(AccessStore, ProcessStore):
    """States in a schema of a PostgreSQL database, for any number of processes and hosts."""

    def __init__(
        self,
        where: address.StoreAddress,
        limits: Limits,
        clock: Callable[[], int],
        *,
        begin_epoch: bool = True,
        problems: Problems | None = None,
    ) -> None:
        """``clock`` is used if it is not this host's: then the server's is the only one."""
        self.problems = problems or Problems(clock)
        self.limits = limits
        self._server_clock = ServerClock() if clock is timestamps.now else None
        self.clock = self._server_clock or clock
        self.database = PostgresDatabase(where, self.problems)
        self.session = ProcessSession(self.database)
        self._refusals = Refusals()
        self._table_sizes = TableSizes(self.database)
        self._known_reports = reports.KnownReports()
        self._writes: GroupCommit[Edit] = GroupCommit(self.commit_edits)
        self._maintenance = Maintenance(self.database, limits)
        self._epoch_begun = False
        try:
            self._open(begin_epoch or self.database.created)
        except BaseException:
            self.session.close()
            self.database.close()
            raise

    def _open(self, begin_epoch: bool) -> None:
        """Read the server's clock, watch it, and begin an epoch."""
        if self._server_clock is not None:
            with self.database.read() as connection:
                self._server_clock.read(connection)
        self._watch = ClockWatch(self.clock, self.problems)
        if not begin_epoch:
            with self.database.read() as connection:
                self._watch.say(counter_row.load(connection), self.clock())
            return
        with self.database.write() as connection:
            counters = counter_row.ask(connection, self._server_clock, lock=True).answer()
            self._watch.check(counters)
            epochs.begin(connection)
            counter_row.save(connection, counters)
        self._epoch_begun = True

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

        Raises LeaseLost when ``term`` is not the source's newest. StoreUnavailable means that
        nothing was written, unless the connection broke during the commit: then the queue delivers
        the messages again, and their known ids decide. Where more than states depends on the
        outcome, as with a message in quarantine that is copied elsewhere, it is looked up.
        """
        ids = list(confirmed)
        request = uuid.uuid4().hex
        attempts: list[LoadedBatch] = []
        repeats = Repeats()

        def work(connection: Connection) -> LoadedBatch:
            arrivals = sum(message.delivery.order is None for message in messages)
            question = BatchQuestion(
                connection,
                self._server_clock,
                messages,
                source=source,
                arrivals=arrivals,
                lock=repeats(),
            )
            key = question.source_key(term)
            loaded = question.answer(self._watch, self.limits, source, resolution)
            batch = loaded.batch
            for message in messages:
                batch.add(message)
            dedup.confirm(connection, key, ids, batch.now)
            dedup.save(connection, loaded.counters, key, batch.new_ids)
            if batch.quarantine or batch.answered or refusals:
                loaded.request = request
            attempts.append(loaded)
            self._save(connection, loaded, refusals, loaded.request)
            return loaded

        with self._refusals.taken() as refusals:
            try:
                done = self.database.run(work)
            except OutcomeUnknown as error:
                done = attempts[-1]
                self.database.look_up(done.request, error)
        self._after(done)
        return done.batch.result()

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

    def commit_edits(self, group: Sequence[QueuedWrite[Edit]]) -> None:
        """Commit edits in one transaction; see ``GroupCommit``."""
        repeats = Repeats()

        def work(connection: Connection, request: str) -> tuple[LoadedBatch, Cursor]:
            asking = [one.write.message(0) for one in group]
            question = BatchQuestion(
                connection,
                self._server_clock,
                asking,
                arrivals=len(group),
                epochs_too=any(one.write.if_match for one in group),
                lock=repeats() or any(one.write.audit for one in group),
            )
            loaded = question.answer(self._watch, self.limits, API_SOURCE, 1)
            for one in group:
                one.result = one.error = None
                with one.refusing():
                    one.result = self._fold(connection, loaded, one.write)
            if all(one.error for one in group):
                raise EverythingRefused
            return loaded, self._save(connection, loaded, refusals, request)

        with self._refusals.taken() as refusals:
            loaded, offset = self.database.run_remembered(work)
        self._set_offsets(group, loaded, offset)
        self._after(loaded)

    def _fold(self, connection: Connection, loaded: LoadedBatch, edit: Edit) -> Update | None:
        batch = loaded.batch
        message = edit.message(batch.now)
        update = fold(batch, edit, message.delivery, loaded.epoch_history)
        bound = self.limits.audit_rows
        access.note(connection, batch.counters, edit.audit, batch.now, bound)
        return update

    @staticmethod
    def _set_offsets(group: Sequence[QueuedWrite[Edit]], loaded: LoadedBatch, offset: int) -> None:
        """Give the results the offsets that their versions have got with the commit."""
        shift = offset - loaded.counters.offset
        for one in group:
            if shift and one.result is not None and one.result.offset > loaded.offset:
                one.result = replace(one.result, offset=one.result.offset + shift)

    def replay(
        self, number: int, message: Message, resolution: int, *, audit: AuditEntry | None = None
    ) -> Committed:
        """Commit a quarantined message again, with its original id and stamp.

        The row is deleted if nothing is refused. Raises NotFound.
        """
        repeats = Repeats()

        def work(
            connection: Connection, request: str
        ) -> tuple[tuple[LoadedBatch, str | None], Cursor]:
            lock = repeats() or audit is not None
            question = BatchQuestion(connection, self._server_clock, [message], lock=lock)
            found = quarantine.one(connection, number, lock=True)
            loaded = question.answer(self._watch, self.limits, found.source, resolution)
            batch = loaded.batch
            refused = batch.replay(found, message)
            if refused is None:
                quarantine.delete(connection, loaded.counters, number)
            else:
                quarantine.refuse_again(connection, found, refused, batch.now)
            access.note(connection, loaded.counters, audit, batch.now, self.limits.audit_rows)
            return (loaded, refused), self._save(connection, loaded, refusals, request)

        with self._refusals.taken() as refusals:
            (done, refused), _ = self.database.run_remembered(work)
        self._after(done)
        return done.batch.result(0 if refused is None else 1)

    def drop(self, number: int, *, audit: AuditEntry | None = None) -> None:
        """Delete a quarantined row for good. Raises NotFound."""
        with self._counted() as (connection, counters, now):
            quarantine.one(connection, number, lock=True)
            quarantine.delete(connection, counters, number)
            access.note(connection, counters, audit, now, self.limits.audit_rows)

    def count_refused(self, source: str) -> None:
        """Count a message that was refused; written with the next commit or announcement."""
        self._refusals.count(source)

    def check(self) -> list[str]:
        """What is wrong in the tables, as sentences. It changes nothing; servers may run."""
        with self.database.read() as connection:
            return list(check.check(connection))

    def scrub(self) -> bool:
        """Write all tables again without what was deleted; other writers wait for each.

        The server's own log and its backups have it until they are deleted.
        """
        self.database.scrub()
        return True

    def _save(
        self,
        connection: Connection,
        loaded: LoadedBatch,
        refusals: Mapping[str, int],
        request: str | None = None,
    ) -> Cursor:
        """Write what a batch did. Nothing is waited for: it travels with COMMIT."""
        batch, counters = loaded.batch, loaded.counters
        touched = batch.flush()
        loaded.devices.remove_unused(touched)
        dedup.save_events(connection, counters, batch.new_events, loaded.stored_events, batch.now)
        counter_row.hold(connection)
        if batch.versions and not self._epoch_begun:
            epochs.begin(connection)
        elif counters.is_new_server:
            epochs.begin(connection, unless_begun=True)
        devices.save(connection, counters, touched)
        history.save(connection, counters, batch.versions)
        commands.save(connection, batch.answered)
        quarantine.save(connection, [*batch.quarantine, *batch.set_aside])
        totals.add(connection, batch.totals((), refusals))
        saved = counter_row.save(connection, counters, request)
        counter_row.check_devices(connection, counters, self.limits.max_devices)
        return saved

    def _after(self, done: LoadedBatch) -> None:
        """After a commit: note what it did, and delete what is too old or too much."""
        batch = done.batch
        self._epoch_begun = self._epoch_begun or bool(batch.versions)
        age_from = self._watch.age_from(batch.now)
        self._maintenance.after_commit(done.counters, batch.versions, batch.now, age_from)

    # -- reading

    def known_ids(self, source: str, ids: Collection[str]) -> set[str]:
        """Those of these message ids that are known: their messages were committed."""
        with self.database.read() as connection:
            asked = dedup.ask(connection, source, ids)
            age_from = self._watch.age_from(self._reading(connection).now)
            return dedup.known(asked, age_from)

    def _reading(self, connection: Connection) -> Reading:
        return self._watch.reading(counter_row.load(connection))

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """What was committed after a cursor; ``ReadCursor()`` reads all states, no old events."""
        with self.database.read(mark_read=True) as connection:
            return changes.read(connection, after, limit, self._watch)

    def read_names(self, after: int, limit: int) -> ChangedNames:
        """Which devices changed after an offset: much cheaper than ``read``."""
        with self.database.read(mark_read=True) as connection:
            return changes.read_names(connection, after, limit)

    def epoch_history(self) -> EpochHistory:
        """The epochs of this store."""
        with self.database.read() as connection:
            asked = epochs.ask(connection)
            return epochs.history(asked, counter_row.load(connection))

    def note_set_back(self, lacks: int) -> None:
        """Note for a day that the store lacks so many changes; 0: it is not known how many."""
        with self._counted() as (connection, counters, _):
            if counters.is_new_server:
                epochs.begin(connection, unless_begun=True)
            epochs.note_set_back(connection, lacks)

    def read_position(self) -> Position:
        """The newest epoch and offset."""
        with self.database.read() as connection:
            return epochs.position(epochs.ask_position(connection))

    def is_valid(self, position: Position) -> bool:
        """Whether a position belongs to this store's history and nothing after it was forgotten."""
        return self.epoch_history().is_valid(position)

    def position_of(self, update: Update) -> Position:
        """The position of a version; it stays the same over restarts."""
        return self.epoch_history().position_of(update.offset)

    def damaged(self) -> list[DamagedRow]:
        """PostgreSQL reports a damaged page as an error; no row is set aside."""
        return []

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one."""
        with self.database.read() as connection:
            asked = devices.one(connection, device)
            reading = self._reading(connection)
            found = asked.fetchone()
        update = None if found is None else update_of(found, reading)
        return update if update is not None and update.offset > 0 else None

    def neighbours(self, device: str, limit: int) -> list[str]:
        """Names of present devices, up to ``limit`` before this name and as many after it."""
        with self.database.read() as connection:
            return devices.neighbours(connection, device, limit)

    def devices(
        self, *, after: str = "", limit: int | None = None, readable: Patterns = EVERYTHING
    ) -> list[Update]:
        """Present devices by name."""
        with self.database.read() as connection:
            reading = self._reading(connection)
            found = devices.present(connection, after, limit, readable)
        return [update_of(row, reading) for row in found]

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""
        with self.database.read() as connection:
            reading = self._reading(connection)
            return history.read(connection, device, before, limit, reading)

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
            return quarantine.read(connection, after, limit, device, newest)

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        with self.database.read() as connection:
            return quarantine.one(connection, number)

    def quarantine_count(self, device: str | None = None) -> int:
        """The number of rows; with ``device`` of those that may be about it."""
        with self.database.read() as connection:
            if device is not None:
                return quarantine.count(connection, device)
            return counter_row.load(connection).quarantine_rows

    def totals(self) -> dict[str, Totals]:
        """What came through each source since the store was made."""
        with self.database.read() as connection:
            return self._refusals.added_to(totals.read(totals.ask(connection)))

    def sizes(self) -> Sizes:
        """How much the store holds."""
        with self.database.read() as connection:
            counters = counter_row.load(connection)
        return self._table_sizes.beside(counters)

    def close(self) -> None:
        """Write what was counted, and close the connections."""
        with suppress(StatecastError):  # closing must not fail for a count
            self._write_refusals()
        self.session.close()
        self.database.close()


class Repeats:
    """Whether a transaction is repeated because another one came first.

    Then it locks the counters before it counts. So no other one comes first again, and the devices
    are exactly as many as there may be.
    """

    def __init__(self) -> None:
        self._begun = False

    def __call__(self) -> bool:
        begun, self._begun = self._begun, True
        return begun
