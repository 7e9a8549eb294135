"""Daemon threads that carry out requests, so that whoever asks need not wait for a slow answer.

The standard library's pool would hold up the end of the process until its last request is answered.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Hands:
    """At most ``count`` threads, started when needed."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self.name = name
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._counting = threading.Lock()

    @property
    def busy(self) -> int:
        """Tasks that wait or run."""
        return self._busy

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._counting:
            self._busy += 1
            if self._busy > len(self._threads) < self.count:
                thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._tasks.put((future, task))
        return future

    def _work(self) -> None:
        while (found := self._tasks.get()) is not None:
            future, task = found
            try:
                result = task()
            except BaseException as error:
                self._done()
                future.set_exception(error)
            else:
                self._done()
                future.set_result(result)

    def _done(self) -> None:
        with self._counting:
            self._busy -= 1

    def close(self) -> None:
        """Let the threads end after what they have to do; nobody waits for them."""
        for _ in self._threads:
            self._tasks.put(None)
