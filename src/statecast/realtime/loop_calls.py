"""Calls from any thread onto the loop of the viewers, in the order in which they were made.

Everything that the application does to a viewer goes through here: events, acknowledgements,
rooms, disconnects. What one thread does thus reaches a viewer in the order of its calls.

One wake-up of the loop serves all calls that are there. It makes those that carry up to ``SLICE``
bytes, then lets the loop write, so that a burst does not fill the transport of a viewer who reads.
Policy when full: the thread that makes the call waits for the loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from statecast import logs

SLICE = 32_768
"""Bytes that one turn of the loop sends to each viewer: half of what a transport may hold."""
CALL_BYTES = 64
"""What a call counts besides its data."""
MAX_BYTES = 8_388_608
"""Bytes of the calls that may wait."""
LONGEST_WAIT = 5.0
"""Seconds after which a thread does not wait any longer for a loop that is stuck."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Call = tuple[Callable[..., object], tuple[Any, ...], int]


class LoopCalls:
    """The calls of one loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._calls: deque[Call] = deque()
        self._bytes = 0
        """Of the calls that wait."""
        self._scheduled = False
        """The loop knows that calls wait."""
        self._lock = threading.Lock()
        """Guards the fields above. Only the loop takes calls out."""
        self._changed = threading.Condition(self._lock)
        """Notified when there is room again."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the loop's thread, before the first call."""
        self._thread = threading.get_ident()
        self._loop = loop

    def is_loop_thread(self) -> bool:
        return threading.get_ident() == self._thread

    def post(self, call: Callable[..., object], *arguments: Any, size: int = 0) -> bool:
        """Make a call on the loop, after those that wait. ``size`` are bytes of its data.

        On the loop's own thread, which must not wait: at once if no other call waits.
        Returns False if it will not be made: there is no loop, or it does not answer.
        """
        if self._loop is None:
            return False
        on_loop = self.is_loop_thread()
        if on_loop and not self._calls:
            call(*arguments)
            return True
        size += CALL_BYTES
        with self._lock:
            if (
                not on_loop
                and self._bytes > MAX_BYTES
                and not self._changed.wait_for(self._has_room, LONGEST_WAIT)
            ):
                return False
            self._calls.append((call, arguments, size))
            self._bytes += size
            if self._scheduled:
                return True
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # the loop was closed, so the viewers are gone too
            with self._lock:
                self._loop = None
                self._calls.clear()
                self._bytes = 0
                self._changed.notify_all()
            return False
        return True

    def ask(self, call: Callable[..., Result], *arguments: Any) -> Result | None:
        """Make a call on the loop after those of this thread, and return what it returns.

        None if the loop does not answer.
        """
        if self.is_loop_thread():
            self._make(math.inf)
            return call(*arguments)
        answer: Future[Result] = Future()
        if not self.post(lambda: answer.set_result(call(*arguments))):
            return None
        try:
            return answer.result(LONGEST_WAIT)
        except TimeoutError:
            return None

    def _has_room(self) -> bool:
        return self._bytes <= MAX_BYTES // 2

    def _run(self) -> None:
        """One turn of the loop."""
        assert self._loop is not None
        self._make(SLICE)
        with self._lock:
            if not self._calls:
                self._scheduled = False
                return
        self._loop.call_soon(self._run)

    def _make(self, most: float) -> None:
        """Make the oldest calls, up to ``most`` bytes."""
        made = 0
        while made < most and self._calls:
            call, arguments, size = self._calls.popleft()
            made += size
            try:
                call(*arguments)
            except Exception as error:
                logs.log_error(log, "a call of the application failed", error)
        with self._lock:
            self._bytes -= made
            if self._has_room():
                self._changed.notify_all()
