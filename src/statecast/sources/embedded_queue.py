"""The queue inside the store's own file: nothing to install, one fsync chain, one thing to back up.

Acknowledging page n and receiving page n + 1 are one transaction: ``acknowledge`` notes what was handled and the
next ``receive`` (or ``close``) deletes it. A crash in between hands the page out again, and it is known by then.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from statecast.errors import BadSetting, TooLarge
from statecast.model import Delivery
from statecast.sources import Context
from statecast.sources.url import Options
from statecast.stores.contract import Store, StoredQueue

MESSAGE_BYTES = 65_536


def open_url(rest: str, context: Context) -> EmbeddedQueue:
    """The queue of ``embedded:NAME``."""
    name, _, query = rest.partition("?")
    if not name:
        raise BadSetting("The source 'embedded:' lacks the queue's name, like in embedded:queue.")
    Options(f"embedded:{name}", query).finish(context.others)
    return EmbeddedQueue(
        context.store(), name, visibility_timeout=context.settings.visibility_timeout
    )


class EmbeddedQueue:
    """Sends to and receives from one queue of a store; any number of processes may do either."""

    resolution = 1

    def __init__(
        self, store: Store, name: str = "queue", *, visibility_timeout: float = 30.0
    ) -> None:
        self.name = name
        self.visibility_timeout = visibility_timeout
        self._rows: StoredQueue = store.queue(name)
        self._noting = threading.Lock()
        self._settled: defaultdict[str, list[str]] = defaultdict(list)
        self._confirmed: list[str] = []

    # -- sending

    def send(self, body: bytes) -> str:
        """Put a message into the queue, durable on return; its id. Raises TooLarge, QueueFull, StoreUnavailable."""
        return self.send_many([body])[0]

    def send_many(self, bodies: Sequence[bytes]) -> list[str]:
        """Put all messages into the queue or none, in one write: a page costs little more than one."""
        for body in bodies:
            if len(body) > MESSAGE_BYTES:
                raise TooLarge(
                    f"The message has {len(body)} bytes, more than the {MESSAGE_BYTES} a message may have."
                )
        return [str(number) for number in self._rows.append(bodies)] if bodies else []

    # -- receiving

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Hand out up to ``limit`` messages and hide them; wait up to ``wait`` seconds for the first."""
        found = self._exchange(limit)
        deadline = time.monotonic() + wait
        while not found and (left := deadline - time.monotonic()) > 0:
            self._rows.wait(self._patience(left))
            found = self._exchange(limit)
        return found

    def _patience(self, left: float) -> float:
        """Until the next hidden message appears, if that is sooner."""
        due = self._rows.next_visible()
        return left if due is None else min(left, max(0.001, (due - self._rows.clock()) / 1000))

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Note what was handled, to be deleted with the next receive; the ids deleted since the last call."""
        with self._noting:
            for delivery in deliveries:
                self._settled[delivery.receipt].append(delivery.id)
            confirmed, self._confirmed = self._confirmed, []
        return confirmed

    def _exchange(self, limit: int) -> list[Delivery]:
        with self._noting:
            settled, self._settled = self._settled, defaultdict(list)
        try:
            found = self._rows.acknowledge_and_receive(
                settled, limit, int(self.visibility_timeout * 1000)
            )
        except BaseException:
            with self._noting:
                for receipt, ids in settled.items():
                    self._settled[receipt] += ids
            raise
        with self._noting:
            self._confirmed += [id_ for ids in settled.values() for id_ in ids]
        return found

    def flush(self) -> None:
        """Delete now what was acknowledged."""
        self._exchange(0)

    # -- looking

    def waiting(self) -> int:
        """How many messages wait, hidden ones included, acknowledged ones not."""
        with self._noting:
            noted = sum(map(len, self._settled.values()))
        return max(0, self._rows.size()[0] - noted)

    def oldest(self) -> int | None:
        """When the oldest message that waits was sent, in ms."""
        return self._rows.oldest()

    def close(self) -> None:
        """Delete what was acknowledged; what was handed out and not acknowledged appears again."""
        self.flush()
