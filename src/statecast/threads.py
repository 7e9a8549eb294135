"""Runs the application's handlers on a bounded number of daemon threads, so that none of them can hold up the loop.

Policy when full: the newest call is refused; the viewer is told so.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Pool:
    """Threads begin when they are needed and stay; being daemons, they never keep the process alive."""

    def __init__(self, threads: int, backlog: int) -> None:
        self.threads = threads
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue(backlog)
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], None]) -> bool:
        """Have ``call``, which must not raise, run soon; False when the backlog is full."""
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            return False
        with self._lock:
            if self._idle < self._calls.qsize() and self._started < self.threads:
                self._started += 1
                threading.Thread(
                    target=self._run, name=f"handler-{self._started}", daemon=True
                ).start()
        return True

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            call = self._calls.get()
            with self._lock:
                self._idle -= 1
            call()
            del call
