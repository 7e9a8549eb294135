"""The part of the store between processes: events, reports, counts of viewers, leases, wake-ups."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from statecast.errors import StatecastError
from statecast.model import Event
from statecast.stores.batch import refused_totals
from statecast.stores.changes import ReadCursor, WatchPart
from statecast.stores.contract import Exchanged
from statecast.stores.counters import Counters
from statecast.stores.leases import LeaseHolder
from statecast.stores.open_commands import OpenCommands
from statecast.stores.postgres import (
    commands,
    events,
    leases,
    reports,
    sources,
    totals,
    watch_counts,
)
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.command_store import CommandStore
from statecast.stores.postgres.driver import Connection, Cursor
from statecast.stores.postgres.examination import Finding, examine
from statecast.stores.postgres.leases import PROGRESS_SECONDS, PostgresLease, process_lock
from statecast.stores.postgres.queue import PostgresQueue, release_all
from statecast.stores.postgres.reactions import PostgresReaction
from statecast.stores.postgres.session import CARETAKER, ProcessSession
from statecast.stores.postgres.table_sizes import TableSizes
from statecast.stores.refusals import Refusals

Asked = TypeVar("Asked")


class ProcessStore(CommandStore):
    """See ``contract.Store``."""

    session: ProcessSession
    clock: Callable[[], int]
    _refusals: Refusals
    _known_reports: reports.KnownReports
    _table_sizes: TableSizes

    def emit(self, new: Sequence[Event]) -> None:
        """Pass application events to every serving process, in their order; kept for 60 s."""
        with self._counted(durable=False) as (connection, counters, _):
            events.emit(connection, counters, self.shared_time(), new)

    def take_events(self) -> None:
        """Let other processes know that this one reads events, until it ends or ``close``."""
        self.session.read_events()

    def others_take_events(self) -> bool:
        """Whether another process reads events now, or that is not known."""
        return self.session.others_read_events

    def announce(self, process: str, report: Mapping[str, Any]) -> None:
        """Publish the report of a serving process; it is not durable."""
        self._announce(process, report, lambda connection: None)

    def exchange(self, process: str, report: Mapping[str, Any]) -> Exchanged:
        """Announce a report, and read the reports of all and what else each process shows."""
        counters, (in_all, number, found) = self._announce(process, report, self._ask_for_others)
        return Exchanged(
            self._without_ended(self._known_reports.read(found)),
            self._refusals.added_to(totals.read(in_all)),
            counters.quarantine_rows,
            self.open_commands(limit=1) if number.fetchall() != [(0,)] else OpenCommands(),
            self._table_sizes.beside(counters),
        )

    def _ask_for_others(
        self, connection: Connection
    ) -> tuple[Cursor, Cursor, reports.AskedReports]:
        return (
            totals.ask(connection),
            commands.ask_number(connection),
            self._known_reports.ask(connection, self.shared_time()),
        )

    def _announce(
        self, process: str, report: Mapping[str, Any], ask: Callable[[Connection], Asked]
    ) -> tuple[Counters, Asked]:
        """Write a report, and ask: one round trip, COMMIT included. The counters, and what ``ask``
        returned.

        One process of all forgets those that do not announce themselves any more.
        """
        self.session.take(process_lock(process))
        self._write_refusals()
        cleans = not self.session.is_held_elsewhere(CARETAKER)
        with (
            self.database.whatever_became_of_it(),  # the next report replaces this one
            self.database.write(durable=False, notify=False) as connection,
        ):
            looked = counter_row.look(connection, self._server_clock)
            reports.announce(connection, self.shared_time(), process, report)
            if cleans:
                reports.forget_old(connection, self.shared_time())
                absent = watch_counts.ask_absent(connection)
            asked = ask(connection)
        counters = looked.answer()
        self._watch_clock(counters)
        if cleans and absent.fetchall() == [(True,)]:
            with self._counted(durable=False) as (connection, held, _):
                watch_counts.forget_absent(connection, held)
        return counters, asked

    def _write_refusals(self) -> None:
        """Write the counts of what was refused, once whatever happens to the connection."""
        if not self._refusals.waiting():
            return

        def work(connection: Connection, request: str) -> tuple[None, Cursor]:
            counter_row.hold(connection)
            totals.add(connection, refused_totals(refusals))
            return None, counter_row.remember(connection, request)

        with self._refusals.taken() as refusals:
            self.database.run_remembered(work)

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each process that announced one within the last 10 s."""
        with self.database.read() as connection:
            found = reports.newest(connection, self.shared_time())
        return self._without_ended(found)

    def _without_ended(self, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """These reports, except of processes that have ended and are not withdrawn by another."""
        others = self._others(found)
        if not others or self.session.is_held_elsewhere(CARETAKER):
            return found
        with self.database.read() as connection:
            ended = self._ended(connection, others)
        return {name: one for name, one in found.items() if name not in ended}

    def withdraw(self, process: str) -> None:
        """Take back what a process announced and counted: it stops serving, or has ended."""
        with self._counted(durable=False) as (connection, counters, _):
            reports.withdraw(connection, process)
            watch_counts.forget(connection, counters, process)
        self.session.give_up(process_lock(process))

    def ended_processes(self) -> list[str]:
        """The processes that have ended and did not withdraw what they announced or counted."""
        if not self.session.takes_care():
            return []  # another process looks, and withdraws them
        with self.database.read() as connection:
            return self._ended(connection, self._others(watch_counts.announced(connection)))

    def count_watching(self, process: str, parts: Mapping[int, bytes]) -> None:
        """Publish what the viewers of a serving process watch; it is not durable."""
        with self._counted(durable=False) as (connection, counters, _):
            watch_counts.save(connection, counters, process, parts)

    def watch_parts(self, parts: Collection[int]) -> list[WatchPart]:
        """These parts of all processes, except of those that have ended."""
        with self.database.read() as connection:
            found = watch_counts.read(connection, parts)
            ended = self._ended(connection, self._others(sorted({row.process for row in found})))
        return [row for row in found if row.process not in ended]

    def _others(self, processes: Iterable[str]) -> list[str]:
        """Those that are not this process."""
        return [one for one in processes if not self.session.wants(process_lock(one))]

    def _ended(self, connection: Connection, others: Sequence[str]) -> list[str]:
        return leases.ended(connection, self.database.address.schema, others)

    def probe(self) -> None:
        """Write something small, durably, and remove it. Raises what a commit would raise now."""
        with self.database.write(notify=False) as connection:
            reports.write_probe(connection)
        with self.database.write(notify=False) as connection:
            reports.remove_probe(connection)

    def holder(self, source: str) -> LeaseHolder | None:
        """The process that has the lease of a source; None: none has it, or it is unknown."""
        known = self.session.is_held_elsewhere(source)  # to look at all locks is not cheap
        with self.database.read() as connection:
            if not known and not leases.is_held(connection, self.database.address.schema, source):
                return None
            asked = leases.ask_holder(connection, source)
        return leases.holder(asked)  # after COMMIT, which travelled with the question

    def lease(self, source: str) -> PostgresLease | None:
        """Take the lease of a source with a new term; None at once if another process has it."""
        if not self.session.take(source):
            return None
        try:
            with self.database.write(notify=False) as connection:
                term = sources.raise_term(connection, source)
                release_all(connection, source)
                leases.note_progress(connection, source, self.session.holder)
        except BaseException:
            self.session.give_up(source)
            raise
        self.session.terms[source] = term
        note = ProgressNotes(lambda: self._note_progress(source))
        return PostgresLease(term, note, lambda: self.session.give_up(source))

    def _note_progress(self, source: str) -> None:
        with (
            suppress(StatecastError),  # a store that is away ends no lease; its lock is what counts
            self.database.write(durable=False, notify=False) as connection,
        ):
            leases.note_progress(connection, source, self.session.holder)

    def examine(self) -> Iterator[Finding]:
        """What there is to know about the server. Raises StoreUnavailable."""
        return examine(self.database)

    def wait(self, timeout: float, after: ReadCursor | None = None) -> None:
        """Return when any process has committed since this thread's last read, or time is over."""
        self.session.wait(timeout)

    def wake(self) -> None:
        """End every ``wait`` of this process now."""
        self.database.notifier.notify()

    def queue(self, name: str) -> PostgresQueue:
        """The queue of that name inside this store."""
        return PostgresQueue(self.database, self.session, name, self.limits, self.clock)

    def reaction(self, name: str, patterns: Sequence[str]) -> PostgresReaction:
        """What the store keeps for a reaction."""
        return PostgresReaction(self.database, name, tuple(patterns))


class ProgressNotes:
    """Writes one note of progress every few seconds, however often it is called."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        self._written_at = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._written_at >= PROGRESS_SECONDS:
            self._written_at = now
            self._write()
