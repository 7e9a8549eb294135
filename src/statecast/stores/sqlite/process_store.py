"""The part of the store between processes: events, reports, counts of viewers, leases, wake-ups."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from statecast.model import Event
from statecast.stores.batch import refused_totals
from statecast.stores.changes import ReadCursor, WatchPart
from statecast.stores.leases import LeaseHolder, LeaseWait
from statecast.stores.refusals import Refusals
from statecast.stores.sqlite import changes, sources, totals, watch_counts
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.file_lock import (
    FileLease,
    has_ended,
    hold_process,
    lease_holder,
    remove_ended,
    remove_process,
    take_lease,
)
from statecast.stores.sqlite.part import SqlitePart
from statecast.stores.sqlite.queue import release_all


class SqliteProcessStore(SqlitePart):
    """See ``contract.Store``."""

    _refusals: Refusals
    _leases: weakref.WeakSet[FileLease]
    _held: dict[str, FileLease]
    """The locks that tell others when a process has ended, by its id."""

    def emit(self, events: Sequence[Event]) -> None:
        """Pass application events to every serving process, in their order; kept for 60 s."""
        with self.database.write(durable=False, keeps_devices=True) as connection:
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
            self.database.write(durable=False, notify=False, keeps_devices=True) as connection,
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

    def withdraw(self, process: str) -> None:
        """Take back what a process announced and counted: it stops serving, or has ended."""
        with self.database.write(durable=False) as connection:
            changes.withdraw(connection, process)
            counters = counter_row.load(connection, self.rows)
            self._watch.check(counters)  # the next process will not know of a step until now
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
        with self.database.write(durable=False, keeps_devices=True) as connection:
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
