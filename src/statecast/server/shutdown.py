"""Signals that end a process: the first asks it to stop, the second ends it at once.

What takes longer than a limit is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from statecast.program.unix import SIGHUP

SIGNALS = (signal.SIGINT, signal.SIGTERM, SIGHUP)

log = logging.getLogger(__name__)


class StopRequest:
    """Asks the loop of a server to stop."""

    def __init__(self) -> None:
        self._requested = False
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop that waits."""
        self._noticed = asyncio.Event()

    def set(self) -> None:
        """From any thread, and from a signal handler."""
        self._requested = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._noticed.set)

    def is_set(self) -> bool:
        return self._requested

    async def wait(self, seconds: float | None = None) -> None:
        """Return at the request, or after ``seconds``; None: not before the request."""
        self._loop = asyncio.get_running_loop()
        if not self._requested:  # a request from here on finds the loop
            with suppress(TimeoutError):
                await asyncio.wait_for(self._noticed.wait(), seconds)


class ShutdownSignals:
    """Handles the signals of a serving process. A context manager, in the main thread.

    ``status`` is None until the first signal, then the exit status for it: 143 after SIGTERM, 130
    after SIGINT.
    """

    def __init__(
        self,
        on_signal: Callable[[], None],
        limit: float,
        on_force_exit: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_signal`` is called at the first signal. ``limit`` seconds after it, or at the second
        signal, ``on_force_exit`` is called, which must be quick, and the process ends.
        """
        self.status: int | None = None
        self._on_signal = on_signal
        self._limit = limit
        self._on_force_exit = on_force_exit
        self._signalled = threading.Event()
        """Wakes the thread that enforces the limit; also set at the end of the block."""
        self._finished = threading.Event()
        """The block has ended."""
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> ShutdownSignals:
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number == SIGHUP and before == signal.SIG_IGN:
                continue  # started with nohup
            self._handlers_before[number] = before
            signal.signal(number, self._handle)
        # Now, because starting a thread in a signal handler could wait for a lock that the
        # interrupted code holds.
        threading.Thread(target=self._enforce_limit, name="shutdown", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._signalled.set()
        for number, before in self._handlers_before.items():
            signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.status is not None:
            self._force_exit(128 + number)
        self.status = 128 + number
        self._signalled.set()
        self._on_signal()

    def _enforce_limit(self) -> None:
        self._signalled.wait()
        if not self._finished.wait(self._limit) and self.status is not None:
            log.error("stopping took more than %g seconds; what was left is cut off", self._limit)
            self._force_exit(self.status)

    def _force_exit(self, status: int) -> None:
        """Like kill -9, which loses nothing either: what counts was committed before."""
        try:
            self._on_force_exit()
        finally:
            os._exit(status)
