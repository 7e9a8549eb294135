"""How a process ends: the first signal asks, the second ends at once, and what takes too long is cut off."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from statecast.program.unix import SIGHUP

SIGNALS = (signal.SIGINT, signal.SIGTERM, SIGHUP)

log = logging.getLogger(__name__)


class Ending:
    """Around all that a serving process does, in its main thread.

    ``status`` is None until a signal came, then the exit status that tells which: 143 after SIGTERM, 130 after SIGINT.
    ``limit`` seconds after the first signal the process is ended without asking anybody. ``last_words`` is called
    before an end at once; it must be quick.
    """

    def __init__(
        self, ask: Callable[[], None], limit: float, last_words: Callable[[], None] = lambda: None
    ) -> None:
        self.status: int | None = None
        self._ask = ask
        self._limit = limit
        self._last_words = last_words
        self._asked = threading.Event()
        self._over = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Ending:
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number == SIGHUP and before == signal.SIG_IGN:
                continue  # started with nohup
            self._before[number] = before
            signal.signal(number, self._hear)
        # Before the first signal: to start a thread from a signal's handler could wait for a lock held below it.
        threading.Thread(target=self._watch, name="ending", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._asked.set()
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.status is not None:
            self._end(128 + number)
        self.status = 128 + number
        self._asked.set()
        self._ask()

    def _watch(self) -> None:
        self._asked.wait()
        if not self._over.wait(self._limit) and self.status is not None:
            log.error("stopping took more than %g seconds; what was left is cut off", self._limit)
            self._end(self.status)

    def _end(self, status: int) -> None:
        """As kill -9 would, which loses nothing either."""
        try:
            self._last_words()
        finally:
            os._exit(status)
