"""The store of one host: one SQLite file for states, history, ids, quarantine and the embedded queues.

What a commit does is told in ``fold``; here is what is loaded before it and written after it, in one transaction.
"""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from statecast.errors import BadSetting, LeaseLost
from statecast.model import Change, Delivery, HistoryRow, Message, Position, Quarantined, Update
from statecast.program.unix import register_at_fork
from statecast.stores import places
from statecast.stores.batch import Batch, devices_of, events_of
from statecast.stores.contract import Changes, Committed, EpochHistory, Limits, ReadCursor
from statecast.stores.sqlite import changes, dedup, devices, history, quarantine, schema
from statecast.stores.sqlite import lease as leases
from statecast.stores.sqlite.counters import Counters
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import row, rows
from statecast.stores.sqlite.queue import SqliteQueue

API = "api"


def open_url(rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool) -> SqliteStore:
    """``///relative.db`` or ``////absolute.db``, as SQLAlchemy has made everybody write it."""
    if not rest.startswith("///") or len(rest) == 3:
        raise BadSetting(
            f"The store sqlite:{rest} names no file; write sqlite:///statecast.db, "
            "or sqlite:////var/lib/statecast.db with four slashes for an absolute path."
        )
    return SqliteStore(Path(rest[3:]), limits, clock, begin_epoch=begin_epoch)


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
    ) -> None:
        self.path = Path(path).absolute()
        self.limits = limits
        self.clock = clock
        self.database = Database(self.path, steps)
        self._leases: weakref.WeakSet[leases.FileLease] = weakref.WeakSet()
        self._epoch_begun = False
        release_after_fork(self)
        if begin_epoch or self.database.created:
            with self.database.write() as connection:
                self._begin_epoch(connection, Counters.load(connection))

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
        """Apply, versions, history, known ids and quarantine in one transaction; durable on return.

        Raises LeaseLost when ``term`` is not the source's newest, StoreUnavailable when nothing was written.
        """
        now = self.clock()
        with self.database.write() as connection:
            counters = Counters.load(connection)
            key = self._source(connection, source, term)
            dedup.confirm(connection, key, list(confirmed), now)
            dedup.trim(connection, counters, now)
            batch = self._batch(connection, source, resolution, counters, now, messages)
            batch.known_ids = dedup.known(
                connection, key, [message.delivery.id for message in messages]
            )
            for message in messages:
                batch.add(message)
            dedup.save(connection, counters, key, batch.new_ids)
            self._save(connection, batch)
        return batch.result()

    def edit(
        self, change: Change, *, cause_id: str | None = None, if_match: Position | None = None
    ) -> Update | None:
        """Commit one change as source ``api``, stamp = now and newer than the device's.

        Returns the device's update, None if there is no such device. Raises Refused (and quarantines nothing),
        Conflict when ``if_match`` is not the device's place.
        """
        now = self.clock()
        with self.database.write() as connection:
            counters = Counters.load(connection)
            message = Message(Delivery(cause_id or uuid.uuid4().hex, b"", now), (change,))
            batch = self._batch(connection, API, 1, counters, now, [message])
            loaded = batch.loaded.get(change.device)
            if if_match is not None:
                places.compare(
                    changes.epoch_history(connection), if_match, loaded.offset if loaded else 0
                )
            batch.edit(change, message.delivery.id)
            self._save(connection, batch)
            loaded = batch.loaded.get(change.device)
        return loaded.update() if loaded is not None and loaded.offset else None

    def replay(self, number: int, message: Message, resolution: int) -> Committed:
        """Commit a quarantined message with its original id and stamp; it leaves quarantine if nothing is refused.

        Raises NotFound.
        """
        now = self.clock()
        with self.database.write() as connection:
            counters = Counters.load(connection)
            found = quarantine.one(connection, number)
            batch = self._batch(connection, found.source, resolution, counters, now, [message])
            refused = batch.replay(found, message)
            if refused is None:
                quarantine.delete(connection, counters, number)
            else:
                quarantine.refuse_again(connection, number, refused, now)
            self._save(connection, batch)
        return batch.result(0 if refused is None else 1)

    def drop(self, number: int) -> None:
        """Delete a quarantined row for good. Raises NotFound."""
        with self.database.write() as connection:
            counters = Counters.load(connection)
            quarantine.one(connection, number)
            quarantine.delete(connection, counters, number)
            counters.save(connection)

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
        dedup.trim_events(connection, counters, len(events), now)
        return Batch(
            source,
            resolution,
            now,
            int(self.limits.late_message_hours * 3_600_000),
            counters,
            devices.load(connection, devices_of(messages)),
            known_events=dedup.known_events(connection, events),
        )

    def _save(self, connection: apsw.Connection, batch: Batch) -> None:
        counters, now = batch.counters, batch.now
        touched = batch.flush()
        if batch.versions:
            self._begin_epoch(connection, counters, len(batch.versions))
        devices.save(connection, touched)
        history.save(connection, batch.versions)
        dedup.save_events(connection, counters, batch.new_events, now)
        quarantine.save(connection, batch.quarantine, counters, self.limits.quarantine_rows)
        history.trim(connection, batch.versions, counters, self.limits, now)
        devices.forget_tombstones(connection, counters, now)
        counters.save(connection)

    def _begin_epoch(
        self, connection: apsw.Connection, counters: Counters, written: int = 0
    ) -> None:
        if not self._epoch_begun:
            changes.begin_epoch(connection, counters.offset - written)
            self._epoch_begun = True

    def _source(self, connection: apsw.Connection, name: str, term: int | None) -> int:
        """The number under which a source's ids are kept."""
        found = row(connection, "SELECT number, term FROM sources WHERE name = ?", (name,))
        if found is None:
            found = row(
                connection, "INSERT INTO sources (name) VALUES (?) RETURNING number, term", (name,)
            )
        number: int = found[0]
        if term is not None and term != found[1]:
            raise LeaseLost(
                f"Another process has taken over the source {name!r}; this one stopped writing."
            )
        return number

    # -- reading

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        """What was committed after a cursor, from one snapshot. ``Cursor()`` reads all states but no old events."""
        with self.database.read(looking=True) as connection:
            return changes.read(connection, after, limit)

    def epoch_history(self) -> EpochHistory:
        """What decides whether a place is good."""
        with self.database.read() as connection:
            return changes.epoch_history(connection)

    def read_position(self) -> Position:
        """The newest epoch and offset."""
        with self.database.read() as connection:
            return changes.position(connection)

    def is_valid(self, position: Position) -> bool:
        """Whether ``place`` is from this store's own history and nothing below it was forgotten."""
        return self.epoch_history().is_valid(position)

    def position_of(self, update: Update) -> Position:
        """The place of a version: its offset, and the epoch under which that offset lies."""
        return Position(places.epoch_of(self.epoch_history(), update.offset), update.offset)

    def get(self, device: str) -> Update | None:
        """The latest update of a device, a tombstone included; None if it never had one."""
        with self.database.read() as connection:
            found = row(
                connection,
                f"SELECT {devices.SEEN_COLUMNS} FROM devices WHERE device = ? AND offset > 0",  # noqa: S608
                (device,),
            )
        return None if found is None else devices.update_of(found)

    def devices(self) -> list[Update]:
        """All present devices by name."""
        with self.database.read() as connection:
            found = rows(
                connection,
                f"SELECT {devices.SEEN_COLUMNS} FROM devices WHERE state IS NOT NULL ORDER BY device",  # noqa: S608
            )
        return [devices.update_of(columns) for columns in found]

    def history(
        self, device: str, *, before: int | None = None, limit: int = 50
    ) -> list[HistoryRow]:
        """Versions below ``before``, newest first."""
        with self.database.read() as connection:
            return history.read(connection, device, before, limit)

    def history_size(self, device: str) -> tuple[int, int | None]:
        """(rows, time of the oldest)."""
        with self.database.read() as connection:
            return history.size(connection, device)

    def quarantined(self, *, after: int = 0, limit: int = 100) -> list[Quarantined]:
        """Rows by number, ascending."""
        with self.database.read() as connection:
            return quarantine.read(connection, after, limit)

    def quarantine_row(self, number: int) -> Quarantined:
        """One row. Raises NotFound."""
        with self.database.read() as connection:
            return quarantine.one(connection, number)

    def quarantine_count(self) -> int:
        with self.database.read() as connection:
            return Counters.load(connection).quarantine_rows

    # -- between processes

    def emit(self, namespace: str, room: str | None, name: str, data: bytes) -> None:
        """Hand an application event to every serving process; kept 60 s, at most once."""
        with self.database.write(durable=False) as connection:
            changes.emit(connection, self.clock(), (namespace, room, name, data))

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Say what this serving process sees; not durable."""
        with self.database.write(durable=False) as connection:
            changes.announce(connection, self.clock(), process, report)

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process heard within 10 s."""
        with self.database.read() as connection:
            return changes.reports(connection, self.clock())

    def lease(self, source: str) -> leases.FileLease | None:
        """Take the lease of a source with a new term, or None at once if another holds it."""
        taken = leases.take(self.path, source)
        if taken is None:
            return None
        try:
            with self.database.write() as connection:
                number = self._source(connection, source, None)
                raised = row(
                    connection,
                    "UPDATE sources SET term = term + 1 WHERE number = ? RETURNING term",
                    (number,),
                )
        except BaseException:
            taken.release()
            raise
        taken.term = raised[0]
        self._leases.add(taken)
        return taken

    def wait(self, timeout: float) -> None:
        """Return when anything was committed since this thread last looked, or after ``timeout`` seconds."""
        self.database.wait(timeout)

    def wake(self) -> None:
        """End every ``wait`` of this process now."""
        self.database.bell.notify()

    def queue(self, name: str) -> SqliteQueue:
        """The queue of that name inside this store."""
        return SqliteQueue(self.database, name, self.limits, self.clock)

    def close(self) -> None:
        """Checkpoint and let go of the files."""
        self.database.close()


def release_after_fork(store: SqliteStore) -> None:
    """A forked child lets go of the leases, lest one outlive its holder."""
    known = weakref.ref(store)

    def in_child() -> None:
        if (inherited := known()) is not None:
            for lease in list(inherited._leases):
                with suppress(OSError):
                    lease.after_fork()

    register_at_fork(after_in_child=in_child)
