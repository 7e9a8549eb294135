"""What the parts of the store in memory have in common; ``store`` puts them together."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

from statecast.model import Event
from statecast.problems import Problems
from statecast.stores import errors
from statecast.stores.batch import DeviceState
from statecast.stores.changes import WatchPart
from statecast.stores.clock_watch import ClockWatch
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.memory.access import MemoryAccess
from statecast.stores.memory.commands import MemoryCommands
from statecast.stores.memory.dedup import KnownEvents
from statecast.stores.memory.history import MemoryHistory
from statecast.stores.memory.quarantine import MemoryQuarantine
from statecast.stores.memory.queue import MemoryQueue
from statecast.stores.memory.reactions import ReactionRecord
from statecast.stores.memory.sources import SourceRecord
from statecast.stores.notifier import CommitNotifier
from statecast.stores.totals import Totals


class MemoryPart:
    """The methods of the store about one subject. All that is kept is under one lock."""

    def __init__(
        self, limits: Limits, clock: Callable[[], int], problems: Problems | None = None
    ) -> None:
        self.problems = problems or Problems(clock)
        self.limits = limits
        self.clock = clock
        self._lock = threading.RLock()
        self._notifier = CommitNotifier()
        self._watch = ClockWatch(clock, self.problems)
        self._counters = Counters()
        self._epochs = ((uuid.uuid4().hex, 1),)
        self._totals: dict[str, Totals] = {}
        self._devices: dict[str, DeviceState] = {}
        self._history = MemoryHistory()
        self._sources: dict[str, SourceRecord] = {}
        self._known_events = KnownEvents()
        self._quarantine = MemoryQuarantine(limits.quarantine_rows)
        self._commands = MemoryCommands()
        self._access = MemoryAccess(limits.audit_rows)
        self._reactions: dict[str, ReactionRecord] = {}
        self._queues: dict[str, MemoryQueue] = {}
        self._events: dict[int, tuple[int, Event]] = {}
        """By number, each with the uptime at which it came."""
        self._reports: dict[str, tuple[int, str]] = {}
        """By process: the uptime at which it came, and the report as JSON."""
        self._watch_parts: dict[tuple[str, int], tuple[int, WatchPart]] = {}
        """By process and part, with the number of the change."""
        self._thread = threading.local()
        """Of each thread that reads, how many commits there were before."""

    def _check_term(self, source: str, term: int) -> None:
        """Raises LeaseLost if ``term`` is not the newest of this source."""
        record = self._sources.get(source)
        if record is None or term != record.term:
            raise errors.lease_lost(source)
