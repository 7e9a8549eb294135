"""The receives of one queue that run: one, and several while the queue is behind.

A receive brings at most 32 messages, and the next would begin only when they are committed. So
while pages come full, some are on their way as others are committed.

Rule 1: two full pages in a row say that the queue is behind. The first page that is not full says
that it has caught up: then one receive runs at a time, and only when it is due.
Rule 2: at most MAX_RECEIVES pages are under way, and never more messages than the caller takes.
Rule 3: a receive that fails takes nothing from the others: first their pages are returned, then its
error is raised.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import NamedTuple

from statecast.errors import StatecastError
from statecast.model import Delivery
from statecast.threads import ThreadPool

MAX_PAGE = 32
"""Messages per receive: the service's limit."""
MAX_RECEIVES = 4
"""With 64 KiB each, 8 MB of messages at most are under way."""
BEHIND_AFTER = 2
"""Full pages in a row."""
Page = list[Delivery]


class RunningReceive(NamedTuple):
    """One request, until its page is taken."""

    page: Future[Page]
    limit: int
    began: float
    """By ``monotonic``."""


class Receives:
    """Of one queue, for the thread of its consumer."""

    def __init__(
        self, receive: Callable[[int], Page], name: str, monotonic: Callable[[], float]
    ) -> None:
        """``receive`` sends one request for so many messages, and waits for its response."""
        self._receive = receive
        self._name = name
        self._monotonic = monotonic
        self._pool = self._new_pool()
        self._running: deque[RunningReceive] = deque()
        """The oldest first."""
        self._full = 0
        """Pages in a row that were full."""
        self._error: Exception | None = None
        """Of a receive beside others that brought pages."""

    @property
    def are_running(self) -> bool:
        return bool(self._running or self._error)

    @property
    def is_behind(self) -> bool:
        """Whether the queue has more messages than single receives have brought."""
        return self._full >= BEHIND_AFTER

    @property
    def asked_at(self) -> float | None:
        """When the oldest request without an answer was sent; None: none is open."""
        running = list(self._running)  # another thread asks
        return next((one.began for one in running if not one.page.done()), None)

    @property
    def begun_at(self) -> float | None:
        """When the newest request was sent; None: none runs."""
        return self._running[-1].began if self._running else None

    def start(self, limit: int) -> None:
        """Send what is missing to one request, or to several if the queue is behind."""
        number = min(MAX_RECEIVES, limit // MAX_PAGE) if self.is_behind else 1
        page = min(limit, MAX_PAGE)
        while len(self._running) < max(1, number):
            asked = self._pool.submit(lambda: self._receive(page))
            self._running.append(RunningReceive(asked, page, self._monotonic()))

    def take(self, seconds: float) -> list[tuple[Page, int]]:
        """The pages that have come, each with how many messages were asked for.

        Waits for the first; an empty list means that none has come. Raises what a receive raised.
        """
        if self._error is None:
            wait([one.page for one in self._running], seconds, FIRST_COMPLETED)
            found = self._take_finished()
            if found:
                return found
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return []

    def _take_finished(self) -> list[tuple[Page, int]]:
        found: list[tuple[Page, int]] = []
        for one in [one for one in self._running if one.page.done()]:
            self._running.remove(one)
            try:
                page = one.page.result()
            except Exception as error:
                self._full = 0
                self._error = self._error or error
                continue
            self._full = self._full + 1 if len(page) >= one.limit else 0
            found.append((page, one.limit))
        return found

    def waited(self) -> float:
        """For how many seconds the oldest request has had no answer."""
        return self._monotonic() - self._running[0].began if self._running else 0.0

    def abandon(self, after: float) -> None:
        """Give up the requests that are older. Their threads end when the system closes them."""
        now = self._monotonic()
        old = [one for one in self._running if now - one.began > after]
        if old:
            self._running = deque(one for one in self._running if one not in old)
            self._pool.close()
            self._pool = self._new_pool()

    def finish(self, seconds: float) -> Page:
        """The messages of the receives that end within so many seconds. None is started again."""
        until = time.monotonic() + seconds
        found: Page = []
        for one in self._running:
            with suppress(TimeoutError, StatecastError):
                found += one.page.result(max(0.0, until - time.monotonic()))
        self._running.clear()
        self._pool.close()
        return found

    def _new_pool(self) -> ThreadPool:
        return ThreadPool(MAX_RECEIVES, name=f"receive-{self._name}")
