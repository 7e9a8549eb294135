"""A queue as a program of its own uses it: a device that takes commands and reports its states.

It is the source of the same URL, which a server would watch, with the calls that a device needs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from statecast.model import Delivery
from statecast.sources.contract import Sender, Source
from statecast.stores.contract import Store


class SendingSource(Source, Sender, Protocol):
    """What every source of a URL is."""

    def flush(self) -> None:
        """Finish the deletion of what was acknowledged."""


class Queue:
    """One queue, to send to and to receive from. At most one thread uses it at a time."""

    def __init__(self, source: SendingSource, stores: Sequence[Store] = ()) -> None:
        """``stores`` are closed with the queue."""
        self._source = source
        self._stores = stores

    def send(self, body: bytes) -> str:
        """Send one message, durable on return; its id in the queue.

        Raises Refused for a message that the queue does not take, and Unavailable when the queue
        cannot be reached: the message may have arrived all the same.
        """
        return self._source.send(body)

    def receive(self, max_count: int = 32, wait: float = 0.0) -> list[Delivery]:
        """The next messages, each with its ``body``; wait up to ``wait`` seconds for the first.

        What is received is hidden from other receivers for the visibility timeout, and comes again
        unless it is deleted before. Raises Unavailable when the queue cannot be reached.
        """
        until = time.monotonic() + wait
        found = self._source.receive(max_count, wait)
        while not found and (left := until - time.monotonic()) > 0:
            found = self._source.receive(max_count, left)
        return found

    def delete(self, items: Sequence[Delivery]) -> None:
        """Delete messages that were received and handled.

        One that cannot be deleted comes again. Raises Unavailable when the store cannot be reached.
        """
        self._source.acknowledge(items)
        self._source.flush()

    def close(self) -> None:
        """Release the connections. What was received and not deleted comes again."""
        self._source.close()
        for store in self._stores:
            store.close()

    def __enter__(self) -> Queue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
