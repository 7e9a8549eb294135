"""An Azure Storage queue as a source: one request per page, deletions in parallel to the next page.

How many pages are requested at once: see ``receives``.

Rule 1: a running receive is never cancelled. Its messages would stay hidden until they time out.
Rule 2: no method blocks longer than it says. Requests run on threads of their own; their results
are polled.
Rule 3: a message that cannot be deleted, copied or released is delivered again and recognised as a
duplicate.
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
from statecast.sources.azure_queue.client import FOREVER, QueueClient, RequestFailed
from statecast.sources.azure_queue.diagnostics import examine, examine_sending
from statecast.sources.azure_queue.poll_interval import PollInterval
from statecast.sources.azure_queue.receives import MAX_PAGE, Receives
from statecast.sources.contract import Finding
from statecast.threads import ThreadPool

MESSAGE_BYTES = 65_536
MIN_DELETIONS, MAX_DELETIONS = 4, 8
"""Bounds of the number of parallel deletions."""
DELETION_WORK = 0.0015
"""Seconds of processor time that the SDK uses per deletion. The rest is spent on the network."""
MAX_BACKLOG = 2 * MAX_PAGE
"""With more unfinished deletions than this, ``acknowledge`` waits for the oldest of them."""
MAX_PENDING = 256
"""Deletions that may wait or run. Further messages are not deleted and are delivered again."""
EXAMINE_WITHIN = 5.0
"""Seconds in which a response must come while a person waits for the examination."""
RESPONSE_TIMEOUT = 20.0
"""Seconds until a receive without a response is an outage. Three times later it is abandoned."""
DELETE_TIMEOUT = 5.0
"""Seconds to wait for deletions. Slower ones are given up."""
CLOSE_RECEIVE_TIMEOUT, CLOSE_DELETE_TIMEOUT = 2.0, 2.0
"""Seconds that ``close`` waits for a running receive, and for deletions and for releases each."""
COUNT_BUSY, COUNT_IDLE = 10.0, 60.0
"""Seconds between two requests for the number of messages."""
RETRY_DELAYS = (0.0, 0.2, 0.8)
"""Seconds before each attempt of a deletion."""

log = logging.getLogger(__name__)


class AzureQueue:
    """Receives from one queue and sends to it."""

    resolution = 1000
    """Azure records whole seconds."""

    def __init__(
        self,
        name: str,
        client: QueueClient,
        poison: QueueClient | None = None,
        *,
        interval: PollInterval,
        clock: Callable[[], int],
        visibility_timeout: float = 30.0,
        acknowledge_after: float = 0.0,
        create: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.client = client
        self.poison = poison
        """The dead-letter queue, called "poison queue" by Azure's tools."""
        self.interval = interval
        self.clock = clock
        self.visibility_timeout = max(1, math.ceil(visibility_timeout))
        self.acknowledge_after = acknowledge_after
        self.create = create
        self.monotonic = monotonic
        self.heard_at: int | None = None
        self._next_at = self._requested_at = monotonic()
        self._receives = Receives(self._receive_page, name, lambda: self.monotonic())
        self._ready: deque[Delivery] = deque()
        """Received, and more than the last call of ``receive`` took."""
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._workers = ThreadPool(MIN_DELETIONS, name=f"delete-{name}")
        self._delete_seconds: deque[float] = deque(maxlen=64)
        """How long the latest deletions took."""
        self._in_flight: dict[str, Delivery] = {}
        """Received and not acknowledged."""
        self._releases: list[Future[Any]] = []
        """The requests that make messages visible, until they end."""
        self._deletions: dict[str, Future[None]] = {}
        self._refused: set[str] = set()
        """Ids of messages to be copied to the dead-letter queue before their deletion."""
        self._count: int | None = None
        self._count_at = monotonic()
        self._counting: Future[int] | None = None

    # -- receiving

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Receive a page of messages.

        With ``wait`` 0 a request is sent now and its response awaited; else the poll interval says
        when to send it. A response that is late is returned by the next call.
        """
        if not self._ready:
            if wait and not self._receives.are_running and not self._is_due(wait):
                return []
            self._start_receives(limit)
            until = time.monotonic() + (wait or RESPONSE_TIMEOUT)
            # An empty page beside others that are under way does not say that the queue is empty.
            while self._take_pages(max(0.0, until - time.monotonic())):
                if self._ready or not self._receives.are_running:
                    break
        if self._receives.is_behind:
            self._start_receives(limit)  # they come while the caller commits these
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def _start_receives(self, limit: int) -> None:
        self._receives.start(limit)
        self._requested_at = self._receives.begun_at or self._requested_at

    def _take_pages(self, wait: float) -> bool:
        """Put what has come into ``_ready``; False: nothing came. Raises SourceUnavailable."""
        pages = self._receives.take(wait)
        if not pages:
            self._check_overdue()
            return False
        self.heard_at = self.clock()
        now = self.monotonic()
        messages = [one for page, _ in pages for one in page]
        asked = sum(limit for _, limit in pages)
        self._next_at = now + self.interval.after(len(messages), asked, now)
        self._in_flight.update((one.id, one) for one in messages)
        self._ready.extend(messages)
        if messages or self._count:
            self._count_at = min(self._count_at, self.monotonic() + COUNT_BUSY)
        return True

    def _check_overdue(self) -> None:
        """Raises SourceUnavailable if a request has had no answer for too long."""
        waited = self._receives.waited()
        self._receives.abandon(3 * RESPONSE_TIMEOUT)
        if waited >= RESPONSE_TIMEOUT:
            host = self.client.account.host
            raise SourceUnavailable(
                f"The queue's service at {host} does not answer.",
                public="The queue's service does not answer.",
            )

    def _is_due(self, wait: float) -> bool:
        """Wait up to ``wait`` seconds for the time of the next request; whether it has come."""
        pause = self._next_at - self.monotonic()
        if pause > 0 and self._woken.wait(min(pause, wait)):
            self._woken.clear()
            self._next_at = min(self._next_at, self._requested_at + self.interval.warm)
            pause = self._next_at - self.monotonic()
            if 0 < pause <= wait:
                self._closed.wait(pause)
        return self.monotonic() >= self._next_at

    def wake(self) -> None:
        """Send the next requests soon, but not more often than at the ``warm`` interval."""
        self.interval.expect(self.monotonic())
        self._woken.set()

    def _receive_page(self, limit: int) -> list[Delivery]:
        try:
            return self.client.receive(limit, self.visibility_timeout)
        except RequestFailed as error:
            if error.code != "QueueNotFound" or not self.create:
                raise
            with suppress(RequestFailed):
                self.client.create()
                log.warning("source %s: there was no such queue; made it", self.name)
                return []
            raise  # this sentence says how to create the queue

    # -- acknowledging

    def refused(self, ids: Iterable[str]) -> None:
        """Copy these messages, now in quarantine, to the poison queue that Azure's tools show."""
        if self.poison is not None:
            self._refused.update(ids)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Start to delete the messages; return the ids deleted since the last call.

        Waits for earlier deletions if there are no new ones, or if too many are unfinished.
        """
        if not deliveries:
            deleted = self._finished_deletions(DELETE_TIMEOUT)
        else:
            deleted = self._finished_deletions(DELETE_TIMEOUT, left=MAX_BACKLOG)
        if self._delete_seconds:
            self._workers.max_threads = parallel_deletions(min(self._delete_seconds))
        for one in deliveries:
            self._in_flight.pop(one.id, None)
            if self._workers.pending < MAX_PENDING:
                self._deletions[one.id] = self._workers.submit(partial(self._delete, one))
        return deleted

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Begin to make these visible, and what was received ahead of the caller."""
        left = {**self._in_flight, **{one.id: one for one in deliveries}}
        self._in_flight.clear()
        self._ready.clear()
        self._start_releases(left.values())

    def _start_releases(self, left: Iterable[Delivery]) -> None:
        release = self.client.release
        self._releases = [one for one in self._releases if not one.done()]
        self._releases += [
            self._workers.submit(partial(release, one.id, one.receipt)) for one in left
        ]

    def flush(self) -> None:
        """Wait for the deletions that run. Those that take too long are given up."""
        self._finished_deletions(DELETE_TIMEOUT)

    def _finished_deletions(self, timeout: float, left: int = 0) -> list[str]:
        """The ids of finished deletions. All but the newest ``left`` get so many seconds to finish;
        then they are given up."""
        until = time.monotonic() + timeout
        done, running = [], {}
        patient = len(self._deletions) - left
        for number, (id_, deletion) in enumerate(self._deletions.items()):
            if number >= patient and not deletion.done():
                running[id_] = deletion
                continue
            with suppress(TimeoutError, StatecastError):
                deletion.result(max(0.0, until - time.monotonic()))
                done.append(id_)
        self._deletions = running
        return done

    def _delete(self, one: Delivery) -> None:
        if one.id in self._refused:
            self._refused.discard(one.id)
            self._copy_to_poison(one)
        for delay in RETRY_DELAYS[:-1]:
            self._closed.wait(delay)
            began = time.monotonic()
            try:
                self.client.delete(one.id, one.receipt)
            except Unavailable as error:
                log.debug("source %s: a deletion failed: %s", self.name, error)
            else:
                self._delete_seconds.append(time.monotonic() - began)
                return
        self._closed.wait(RETRY_DELAYS[-1])
        self.client.delete(one.id, one.receipt)

    def _copy_to_poison(self, one: Delivery) -> None:
        """Best effort: the message is in quarantine, and the right to send is optional."""
        assert self.poison is not None
        text = one.body.decode("utf-8", "surrogatepass")
        try:
            try:
                self.poison.send(text, time_to_live=FOREVER)
            except RequestFailed as error:
                if error.code != "QueueNotFound":
                    raise
                self.poison.create()
                self.poison.send(text, time_to_live=FOREVER)
        except Unavailable as error:
            log.debug("source %s: no copy of a refused message: %s", self.name, error)

    # -- sending

    def send(self, body: bytes) -> str:
        """Send one message and return its id. Raises TooLarge, Malformed or SourceUnavailable.

        The request is not repeated: after a failure the message may have arrived.
        """
        return self._send(body, None)

    def send_expiring(self, body: bytes, seconds: float) -> str:
        """Send one message that Azure drops after ``seconds``, in whole seconds. As ``send``."""
        return self._send(body, max(1, math.ceil(seconds)))

    def _send(self, body: bytes, time_to_live: int | None) -> str:
        check_size(body)
        text = xml_text(body)
        try:
            id_ = self.client.send(text, time_to_live=time_to_live)
        except RequestFailed as error:
            if error.code != "QueueNotFound" or not self.create:
                raise
            self.client.create()
            id_ = self.client.send(text, time_to_live=time_to_live)
        self.wake()
        return id_

    def send_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Send the messages one by one, as Azure requires; return their ids.

        Raises SourceUnavailable if one fails. The messages after it are not sent.
        """
        ids: list[str] = []
        for body in bodies:
            try:
                ids.append(self.send(body))
            except Unavailable as error:
                if not ids:
                    raise
                sent = f"{len(ids)} of {len(bodies)} messages were sent before."
                raise SourceUnavailable(
                    f"{error} {sent}", public=f"{error.public} {sent}"
                ) from None
        return ids

    # -- statistics

    def waiting(self) -> int | None:
        """The approximate number of messages, from the last response; None without the right."""
        if self._counting is not None and self._counting.done():
            error = self._counting.exception()
            self._count = None if error is not None else self._counting.result()
            self._counting = None
            if isinstance(error, RequestFailed) and error.status == 403:
                self._count_at = math.inf
        elif self._counting is None and self.monotonic() >= self._count_at:
            self._count_at = self.monotonic() + COUNT_IDLE
            self._counting = self._workers.submit(self.client.count)
        return self._count

    @property
    def pause(self) -> float:
        """Seconds between two requests, at the current poll interval."""
        return self.interval.pause

    @property
    def asked_at(self) -> float | None:
        """When the receive that has no answer yet was sent; None: none is open."""
        return self._receives.asked_at

    def requests_per_hour(self) -> int:
        """The rate at the current poll interval."""
        return self.interval.requests_per_hour()

    def examine(self) -> Iterator[Finding]:
        """The findings of `statecast doctor`."""
        client = QueueClient(self.client.account, self.client.queue, EXAMINE_WITHIN)
        try:
            yield from examine(client, self.interval)
        finally:
            client.close()

    def examine_sending(self) -> Iterator[Finding]:
        """The findings of `statecast doctor`, for a queue that is only sent to."""
        client = QueueClient(self.client.account, self.client.queue, EXAMINE_WITHIN)
        try:
            yield examine_sending(client, self.create)
        finally:
            client.close()

    # -- closing

    def close(self) -> None:
        """Finish within six seconds: await the receive and the deletions, then release the rest.

        Releasing makes messages visible at once. Without the right to update they become visible
        when their visibility timeout ends.
        """
        page = self._receives.finish(CLOSE_RECEIVE_TIMEOUT)
        self._finished_deletions(CLOSE_DELETE_TIMEOUT)
        self._closed.set()
        self.release(page)
        until = time.monotonic() + CLOSE_DELETE_TIMEOUT
        for release in self._releases:
            with suppress(TimeoutError, StatecastError):
                release.result(max(0.0, until - time.monotonic()))
        self._workers.close()
        for client in (self.client, self.poison):
            if client is not None:
                client.close()


def parallel_deletions(fastest: float) -> int:
    """How many deletions should run in parallel, given the seconds that the fastest one took.

    While one deletion waits for the network, others can use the processor. More threads than that
    slow each other down.
    """
    return max(MIN_DELETIONS, min(MAX_DELETIONS, math.ceil(fastest / DELETION_WORK)))


def check_size(body: bytes) -> None:
    """Raises TooLarge."""
    if len(body) > MESSAGE_BYTES:
        raise TooLarge(
            f"The message has {len(body)} bytes, more than the {MESSAGE_BYTES} a message may have."
        )


def xml_text(body: bytes) -> str:
    """A JSON message as text that XML can carry. Raises Malformed."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("The message is not text in UTF-8.") from None
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
