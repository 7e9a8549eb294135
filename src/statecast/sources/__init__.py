"""Step 1, receive: where messages come from. Receive hides, acknowledge deletes.

A source is as small as the weakest queue can keep. ``statecast.testing.SourceContract`` guards it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from statecast.model import Delivery


class Source(Protocol):
    """A queue, seen by one watcher. Calls come from one thread at a time."""

    name: str
    """Short and stable: the lease, the health mark and every cause carry it."""
    resolution: int
    """Of the clock that sets ``sent_at``, in ms: how far an event time may lie after it."""

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        """Hand out up to ``limit`` messages and hide them; wait up to ``wait`` seconds for the first.

        Raises SourceUnavailable when the queue cannot be reached: an empty list is a good answer of the queue.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Delete what was handled; return the ids whose deletion is confirmed, now or since the last call.

        A lost or stale receipt is a success: the message is redelivered and known.
        """

    def waiting(self) -> int | None:
        """How many messages wait, hidden ones included; None where the queue cannot tell."""

    def close(self) -> None:
        """Give back connections; what was handed out and not acknowledged appears again."""
