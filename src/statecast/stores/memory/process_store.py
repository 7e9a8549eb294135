"""The part of the store between threads: events, reports, counts of viewers, leases, wake-ups."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from statecast.model import Event
from statecast.stores import retention
from statecast.stores.changes import ReadCursor, WatchPart
from statecast.stores.leases import LeaseHolder
from statecast.stores.memory.part import MemoryPart
from statecast.stores.memory.queue import MemoryQueue
from statecast.stores.memory.reactions import MemoryReaction, ReactionRecord
from statecast.stores.memory.sources import MemoryLease, SourceRecord


class MemoryProcessStore(MemoryPart):
    """See ``contract.Store``."""

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

    def close(self) -> None:
        """End every wait."""
        self._notifier.notify()

    def _arrival(self) -> int:
        self._counters.arrival += 1
        return self._counters.arrival

    def _mark_read(self) -> None:
        """A commit after this point ends the thread's next wait."""
        self._thread.commits = self._notifier.commits
