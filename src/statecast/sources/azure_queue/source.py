"""The source over an Azure Storage queue: one page, one request; deletions beside the next page's way.

Rule 1: a receive under way is never cut off. Its messages would be hidden and seen by nobody.
Rule 2: nothing here waits longer than it says: requests run on threads of their own, and are looked for.
Rule 3: what cannot be deleted, copied or released comes again by itself, and is known.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from statecast.errors import Malformed, SourceUnavailable, StatecastError, TooLarge, Unavailable
from statecast.model import Delivery
from statecast.sources.azure_queue.client import Failed, QueueService
from statecast.sources.azure_queue.diagnostics import examine
from statecast.sources.azure_queue.poll_interval import PollInterval
from statecast.sources.examined import Finding
from statecast.threads import ThreadPool

MESSAGE_BYTES = 65_536
PAGE = 32
"""Messages one receive may bring: the service's limit."""
FEWEST, MOST = 4, 8
"""Deletions at a time."""
WORK = 0.0015
"""Seconds of the processor that the SDK takes for one; the rest of its time is the network's."""
MOST_BEHIND = 2 * PAGE
"""Deletions that may be under way when the next page's begin; with more of them that page waits."""
MOST_UNDELETED = 256
"""Deletions that may wait; beyond it messages come again instead."""
PATIENCE = 20.0
"""Seconds until a question without an answer is an outage; after three times as long it is forgotten."""
DELETED_WITHIN = 5.0
"""Seconds to wait for deletions; those that take longer are given up."""
RECEIVE_AT_END, DELETE_AT_END = 2.0, 2.0
COUNT_BUSY, COUNT_IDLE = 10.0, 60.0
"""Seconds between two looks at how many wait."""
TRIES = (0.0, 0.2, 0.8)
"""Seconds before each try of a deletion."""

log = logging.getLogger(__name__)


class AzureQueue:
    """Receives from one queue, and sends to it."""

    resolution = 1000
    """The service writes whole seconds."""

    def __init__(
        self,
        name: str,
        service: QueueService,
        poison: QueueService | None = None,
        *,
        pace: PollInterval,
        clock: Callable[[], int],
        visibility_timeout: float = 30.0,
        create: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.service = service
        self.poison = poison
        self.pace = pace
        self.clock = clock
        self.visibility_timeout = max(1, math.ceil(visibility_timeout))
        self.create = create
        self.monotonic = monotonic
        self.heard_at: int | None = None
        self._next_at = self._asked_at = monotonic()
        self._asking: Future[list[Delivery]] | None = None
        self._asked = 0
        self._nudged = threading.Event()
        self._closed = threading.Event()
        self._asker = ThreadPool(1, name=f"receive-{name}")
        self._workers = ThreadPool(FEWEST, name=f"delete-{name}")
        self._took: deque[float] = deque(maxlen=64)
        self._out: dict[str, Delivery] = {}
        self._deleting: dict[str, Future[None]] = {}
        self._refused: set[str] = set()
        self._count: int | None = None
        self._count_at = monotonic()
        self._counting: Future[int] | None = None

    # -- receiving

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Hand out a page. ``wait`` 0 asks at once and waits for the answer; else the pace says when to ask.

        An answer that is not there in time is not given up: the next call hands it out.
        """
        if self._asking is None:
            if wait and not self._due(wait):
                return []
            self._ask(min(limit, PAGE))
        page = self._answer(wait or PATIENCE)
        if page is None:
            return []
        self.heard_at = self.clock()
        self._next_at = self.monotonic() + self.pace.after(len(page), self._asked, self.monotonic())
        self._out.update((one.id, one) for one in page)
        if page or self._count:
            self._count_at = min(self._count_at, self.monotonic() + COUNT_BUSY)
        return page

    def _due(self, wait: float) -> bool:
        """Whether it is time for a question, within ``wait`` seconds."""
        pause = self._next_at - self.monotonic()
        if pause > 0 and self._nudged.wait(min(pause, wait)):
            self._nudged.clear()
            self._next_at = min(self._next_at, self._asked_at + self.pace.warm)
            pause = self._next_at - self.monotonic()
            if 0 < pause <= wait:
                self._closed.wait(pause)
        return self.monotonic() >= self._next_at

    def wake(self) -> None:
        """Somebody in this process has just sent a message: ask soon, but not more often than a warm queue."""
        self._nudged.set()

    def _ask(self, limit: int) -> None:
        self._asked, self._asked_at = limit, self.monotonic()
        self._asking = self._asker.submit(partial(self._page, limit))

    def _page(self, limit: int) -> list[Delivery]:
        try:
            return self.service.receive(limit, self.visibility_timeout)
        except Failed as error:
            if error.code != "QueueNotFound" or not self.create:
                raise
            with suppress(Failed):
                self.service.create()
                log.warning("source %s: there was no such queue; made it", self.name)
                return []
            raise  # the sentence that says how to make it

    def _answer(self, wait: float) -> list[Delivery] | None:
        """The page, or None if it is not here yet."""
        assert self._asking is not None
        try:
            page = self._asking.result(wait)
        except TimeoutError:
            late = self.monotonic() - self._asked_at
            if (
                late > 3 * PATIENCE
            ):  # it will never come; a thread is lost, until the system closes its connection
                self._asking = None
                self._asker = ThreadPool(1, name=f"receive-{self.name}")
            if late >= PATIENCE:
                raise SourceUnavailable(
                    f"The queue's service at {self.service.account.host} does not answer."
                ) from None
            return None
        except BaseException:
            self._asking = None
            raise
        self._asking = None
        return page

    # -- acknowledging

    def refused(self, ids: Iterable[str]) -> None:
        """These are in quarantine; a copy goes to the queue that Azure's own tools use for such messages."""
        if self.poison is not None:
            self._refused.update(ids)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Start deleting; the ids deleted since the last call. It waits for them when it has nothing else to do."""
        patient = not deliveries or len(self._deleting) > MOST_BEHIND
        confirmed = self._collect(DELETED_WITHIN if patient else 0)
        if self._took:
            self._workers.max_threads = deleters(min(self._took))
        for one in deliveries:
            self._out.pop(one.id, None)
            if self._workers.pending < MOST_UNDELETED:
                self._deleting[one.id] = self._workers.submit(partial(self._finish, one))
        return confirmed

    def _collect(self, within: float) -> list[str]:
        """What is deleted by now, or within so many seconds; then the rest is given up: it comes again."""
        until = time.monotonic() + within
        done, left = [], {}
        for id_, deletion in self._deleting.items():
            if not within and not deletion.done():
                left[id_] = deletion
                continue
            with suppress(TimeoutError, StatecastError):
                deletion.result(max(0.0, until - time.monotonic()))
                done.append(id_)
        self._deleting = left
        return done

    def _finish(self, one: Delivery) -> None:
        if one.id in self._refused:
            self._refused.discard(one.id)
            self._copy(one)
        for pause in TRIES[:-1]:
            self._closed.wait(pause)
            began = time.monotonic()
            try:
                self.service.delete(one.id, one.receipt)
            except Unavailable as error:
                log.debug("source %s: a deletion failed: %s", self.name, error)
            else:
                self._took.append(time.monotonic() - began)
                return
        self._closed.wait(TRIES[-1])
        self.service.delete(one.id, one.receipt)

    def _copy(self, one: Delivery) -> None:
        """Best effort: the quarantine has it, and the right to send is not needed."""
        assert self.poison is not None
        text = one.body.decode("utf-8", "surrogatepass")
        try:
            try:
                self.poison.send(text, forever=True)
            except Failed as error:
                if error.code != "QueueNotFound":
                    raise
                self.poison.create()
                self.poison.send(text, forever=True)
        except Unavailable as error:
            log.debug("source %s: no copy of a refused message: %s", self.name, error)

    # -- sending

    def send(self, body: bytes) -> str:
        """Put a message into the queue; its id. Raises TooLarge, Malformed, SourceUnavailable.

        It is sent once: after a failure nobody knows whether it arrived.
        """
        if len(body) > MESSAGE_BYTES:
            raise TooLarge(
                f"The message has {len(body)} bytes, more than the {MESSAGE_BYTES} a message may have."
            )
        text = as_text(body)
        try:
            id_ = self.service.send(text)
        except Failed as error:
            if error.code != "QueueNotFound" or not self.create:
                raise
            self.service.create()
            id_ = self.service.send(text)
        self.wake()
        return id_

    def send_many(self, bodies: Sequence[bytes]) -> list[str]:
        """One after the other: such a queue takes them in no other way. A failure leaves the rest unsent."""
        ids: list[str] = []
        for body in bodies:
            try:
                ids.append(self.send(body))
            except Unavailable as error:
                if not ids:
                    raise
                raise SourceUnavailable(
                    f"{error} {len(ids)} of {len(bodies)} messages were sent before."
                ) from None
        return ids

    # -- looking

    def waiting(self) -> int | None:
        """As the service last said, if the rights allow the question; it is asked beside all else."""
        if self._counting is not None and self._counting.done():
            error = self._counting.exception()
            self._count = None if error is not None else self._counting.result()
            self._counting = None
            if isinstance(error, Failed) and error.status == 403:
                self._count_at = math.inf
        elif self._counting is None and self.monotonic() >= self._count_at:
            self._count_at = self.monotonic() + COUNT_IDLE
            self._counting = self._workers.submit(self.service.count)
        return self._count

    def requests_per_hour(self) -> int:
        return self.pace.requests_per_hour()

    def examine(self) -> Iterator[Finding]:
        """What `statecast doctor` asks."""
        return examine(self.service, self.pace)

    # -- ending

    def close(self) -> None:
        """End within seconds. A receive under way gets two, deletions two; the rest is released, if that is allowed."""
        page: list[Delivery] = []
        if self._asking is not None:
            with suppress(TimeoutError, StatecastError):
                page = self._asking.result(RECEIVE_AT_END)
        self._collect(DELETE_AT_END)
        self._closed.set()
        left = [*self._out.values(), *page]
        self._out.clear()
        releases: list[Future[Any]] = [
            self._workers.submit(partial(self.service.release, one.id, one.receipt)) for one in left
        ]
        until = time.monotonic() + DELETE_AT_END
        for release in releases:
            with suppress(TimeoutError, StatecastError):
                release.result(max(0.0, until - time.monotonic()))
        self._asker.close()
        self._workers.close()
        for service in (self.service, self.poison):
            if service is not None:
                service.close()


def deleters(fastest: float) -> int:
    """How many deletions at a time, from the seconds that the fastest one took.

    While one waits for the network others may work, as many as fit; more would only push each other aside.
    """
    return max(FEWEST, min(MOST, math.ceil(fastest / WORK)))


def as_text(body: bytes) -> str:
    """A JSON message as XML can carry it. Raises Malformed."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("The message is not text in UTF-8.") from None
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
