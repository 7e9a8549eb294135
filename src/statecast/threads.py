"""A pool of daemon threads.

The pools of the standard library wait at the end of the process until the last call has returned.
Here a call that hangs (a slow application, a service that does not answer) delays no exit.

Policy when full: the newest call is refused.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

log = logging.getLogger(__name__)

Call = Callable[[], Any]


class ThreadPool:
    """At most ``max_threads`` threads, started when they are needed; idle ones stay.

    ``max_threads`` may be changed at any time; threads that run already stay.
    """

    def __init__(self, max_threads: int, *, name: str, backlog: float = math.inf) -> None:
        """``name`` is that of the threads; ``backlog`` calls may wait for one."""
        self.max_threads = max_threads
        self.name = name
        self._backlog = backlog
        self._calls: queue.SimpleQueue[tuple[Call, Future[Any] | None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._pending = 0
        self._lock = threading.Lock()
        """For the two counts above."""

    @property
    def pending(self) -> int:
        """Calls that wait or run."""
        return self._pending

    @property
    def is_busy(self) -> bool:
        """A further call waits for a thread."""
        return self._pending >= self.max_threads

    @property
    def is_full(self) -> bool:
        """A further call is refused."""
        return self._pending >= self.max_threads + self._backlog

    def try_submit(self, call: Call, *, even_if_full: bool = False) -> bool:
        """Run ``call``, which must not raise, soon; False when the backlog is full.

        ``even_if_full`` is for calls whose number something else limits.
        """
        return self._add(call, None, even_if_full)

    def submit(self, call: Call) -> Future[Any]:
        """Run ``call`` soon. Only for pools without a limit of the backlog."""
        future: Future[Any] = Future()
        added = self._add(call, future)
        assert added
        return future

    def close(self) -> None:
        """Let the threads end after the calls that were submitted. Does not wait for them."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _add(self, call: Call, future: Future[Any] | None, even_if_full: bool = False) -> bool:
        with self._lock:
            if self.is_full and not even_if_full:
                return False
            self._pending += 1
            if self._pending > self._threads < self.max_threads:
                self._threads += 1
                threading.Thread(target=self._run, name=self.name, daemon=True).start()
        self._calls.put((call, future))
        return True

    def _run(self) -> None:
        while (found := self._calls.get()) is not None:
            self._finish(*found)
            del found  # it would be kept alive while this thread waits

    def _finish(self, call: Call, future: Future[Any] | None) -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:
            failure = error
        with self._lock:  # before the result is set: then a waiting caller finds a free thread
            self._pending -= 1
        if future is None:
            if failure is not None:
                log.error("a call on thread %s failed", self.name, exc_info=failure)
        elif failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)
