"""Passes application events of this process to the other serving processes, through the store.

The viewers of this process have an event before it comes here. Nothing waits for the store: events
wait in one buffer and are written in batches, in their order. Where no other process takes events,
nothing is written: each had to be known to the store before its first viewer (docs/design/server.md
says why none is missed). There it is asked a few times a second at most whether that is still so,
because waking the thread for each event would cost more than the event.

Policy when the buffer is full, or the store cannot be written: events are dropped for the other
processes, counted, and reported as a problem until they pass again. Where no other process serves,
nothing is lost, so nothing is counted or reported.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Sequence

from statecast.errors import StatecastError
from statecast.model import Event
from statecast.problems import Problems

MAX_EVENTS = 1_000
MAX_BYTES = 4_194_304
"""Of the events that wait, by their data."""
ALONE_SECONDS = 0.1
"""For how long events wait where no other process took events when it was last asked. The first
events after another one has come reach its viewers that much later."""
CLOSE_WITHIN = 1.0
"""Seconds in which a process that ends still passes on what waits."""
KIND, SUBJECT = "events-dropped", "events"


class EventRelay:
    """The buffer and its thread, which begins with the first event."""

    def __init__(
        self,
        write: Callable[[Sequence[Event]], None],
        has_others: Callable[[], bool],
        problems: Problems,
        origin: str = "",
    ) -> None:
        """``write`` passes events to the store. It raises a StatecastError when it cannot.

        ``has_others``: whether other processes take the events of the store now. ``origin`` is what
        the events name as theirs.
        """
        self.dropped = 0
        """Events that no other process has received."""
        self._write = write
        self._has_others = has_others
        self._problems = problems
        self._origin = origin
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._closing = False
        self._waits = False
        """The thread waits for an event."""
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        """Guards all of the above."""

    def put(self, event: Event) -> None:
        """Pass an event on, soon, if there is a process to pass it to. Never waits."""
        with self._changed:
            if self._closing:
                return
            size = event.size
            full = len(self._events) >= MAX_EVENTS or self._bytes + size > MAX_BYTES
            if not full:
                self._events.append(event)
                self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="event-relay", daemon=True)
                self._thread.start()
            if self._waits or self._is_crowded():
                self._changed.notify()
        if full:
            self._drop(1, "more were emitted than the store takes")

    def _is_crowded(self) -> bool:
        """The buffer is half full."""
        return 2 * len(self._events) >= MAX_EVENTS or 2 * self._bytes >= MAX_BYTES

    def close(self) -> None:
        """End the thread, once what waits has been passed on."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_WITHIN)

    def _run(self) -> None:
        while events := self._take():
            # Asked here and not in ``put``: it is a system call, at which the thread that emits
            # would hand Python's lock to the loop, event by event.
            if not self._has_others():
                self._problems.clear(KIND, SUBJECT)
                self._rest()
                continue
            try:
                self._write([dataclasses.replace(one, origin=self._origin) for one in events])
            except StatecastError as error:
                self._drop(len(events), str(error))
            else:
                self._problems.clear(KIND, SUBJECT)

    def _take(self) -> list[Event]:
        """All that wait; none when this is the end."""
        with self._changed:
            self._waits = True
            self._changed.wait_for(lambda: self._events or self._closing)
            self._waits = False
            events = list(self._events)
            self._events.clear()
            self._bytes = 0
            return events

    def _rest(self) -> None:
        """Let events gather."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._is_crowded(), ALONE_SECONDS)

    def _drop(self, number: int, why: str) -> None:
        if not self._has_others():
            return
        with self._changed:
            self.dropped += number
        self._problems.report(
            KIND,
            SUBJECT,
            "Events do not reach the viewers of other processes; those of this one have them.",
            severity="notice",
            detail=f"{self.dropped} were dropped so far: {why}.",
        )
