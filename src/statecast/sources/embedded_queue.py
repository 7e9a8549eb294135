"""The queue inside the store's file: nothing to install, one chain of fsyncs, one file to back up.

Acknowledging one batch and receiving the next one are one transaction. ``acknowledge`` only records
the ids; the next ``receive`` (or ``close``) deletes them. After a crash in between, the messages
are delivered again and recognised as duplicates. Where the store ``CommitsOwnQueues``, the pipeline
has nothing to acknowledge.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from statecast.errors import BadSetting, TooLarge
from statecast.model import Delivery
from statecast.sources.contract import SourceContext
from statecast.sources.url import UrlOptions
from statecast.stores.contract import Store, StoredQueue

MESSAGE_BYTES = 65_536


def open_url(rest: str, context: SourceContext) -> EmbeddedQueue:
    """Open ``embedded:NAME``. Raises BadSetting."""
    name, _, query = rest.partition("?")
    if not name:
        raise BadSetting("The source 'embedded:' lacks the queue's name, like in embedded:queue.")
    UrlOptions(f"embedded:{name}", query).finish(context.other_options)
    return EmbeddedQueue(
        context.store(), name, visibility_timeout=context.settings.visibility_timeout
    )


class EmbeddedQueue:
    """Sends to and receives from one queue of a store, from any number of processes."""

    resolution = 1

    def __init__(
        self, store: Store, name: str = "queue", *, visibility_timeout: float = 30.0
    ) -> None:
        self.name = name
        self.store = store
        self.visibility_timeout = visibility_timeout
        self._rows: StoredQueue = store.queue(name)
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._acknowledged: defaultdict[str, list[str]] = defaultdict(list)
        """Ids by receipt, to be deleted by the next receive."""
        self._deleted: list[str] = []
        """Ids deleted since the last ``acknowledge``."""

    # -- sending

    def send(self, body: bytes) -> str:
        """Send one message and return its id; the message is durable on return.

        Raises TooLarge, QueueFull or StoreUnavailable.
        """
        return self.send_many([body])[0]

    def send_many(self, bodies: Sequence[bytes], sender: str = "") -> list[str]:
        """Send all messages or none, in one write: many cost little more than one.

        ``sender`` is that of the deliveries.
        """
        for body in bodies:
            if len(body) > MESSAGE_BYTES:
                raise TooLarge(
                    f"The message has {len(body)} bytes, more than the {MESSAGE_BYTES} "
                    "a message may have."
                )
        return [str(number) for number in self._rows.append(bodies, sender)] if bodies else []

    # -- receiving

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Receive and hide up to ``limit`` messages.

        Wait up to ``wait`` seconds for the first, or until ``wake``.
        """
        deadline = time.monotonic() + wait
        while True:
            found = self._acknowledge_and_receive(limit)
            if found or self._ends(deadline):
                return found
            self._rows.wait(max(0.0, min(deadline - time.monotonic(), self._until_visible())))
            if self._ends(deadline):  # the next receive asks; an idle queue is asked once
                return []

    def _ends(self, deadline: float) -> bool:
        """Whether a receive waits no longer."""
        if not self._woken.is_set():
            return time.monotonic() >= deadline
        self._woken.clear()
        return True

    def wake(self) -> None:
        """End a receive that waits: its consumer stops."""
        self._woken.set()
        self.store.wake()

    def _until_visible(self) -> float:
        """Seconds until the next hidden message becomes visible."""
        due = self._rows.next_visible()
        return math.inf if due is None else max(0.001, (due - self._rows.clock()) / 1000)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Record the messages for deletion; return the ids deleted since the last call."""
        with self._lock:
            for delivery in deliveries:
                self._acknowledged[delivery.receipt].append(delivery.id)
            deleted, self._deleted = self._deleted, []
        return deleted

    def _acknowledge_and_receive(self, limit: int) -> list[Delivery]:
        with self._lock:
            acknowledged, self._acknowledged = self._acknowledged, defaultdict(list)
        try:
            found = self._rows.acknowledge_and_receive(
                acknowledged, limit, int(self.visibility_timeout * 1000)
            )
        except BaseException:
            with self._lock:
                for receipt, ids in acknowledged.items():
                    self._acknowledged[receipt] += ids
            raise
        with self._lock:
            self._deleted += [id_ for ids in acknowledged.values() for id_ in ids]
        return found

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Make received messages visible at once, and delete the acknowledged ones."""
        if self._acknowledged:
            self.flush()
        if deliveries:
            self._rows.release({delivery.receipt for delivery in deliveries})

    def flush(self) -> None:
        """Delete the acknowledged messages now."""
        self._acknowledge_and_receive(0)

    # -- statistics

    def waiting(self) -> int:
        """The number of messages in the queue, hidden ones included, acknowledged ones not."""
        with self._lock:
            acknowledged = sum(map(len, self._acknowledged.values()))
        return max(0, self._rows.size()[0] - acknowledged)

    def oldest(self) -> int | None:
        """When the oldest message in the queue was sent, in ms; None if the queue is empty."""
        return self._rows.oldest()

    def close(self) -> None:
        """Delete the acknowledged messages. The others become visible again in time."""
        self.flush()
