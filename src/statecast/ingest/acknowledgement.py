"""When the queue deletes what was committed: with the commit, right after it, or later than a
replica may lag behind.

Rule 1: late, a message is deleted only if the store still knows its id. After a failover that lost
the last commits it does not: then the message stays, appears again, and is applied.
Rule 2: until then a message is hidden. So the delay is well below the visibility timeout.
Rule 3: a queue that lies in the store loses its messages in the transaction that applies them, if
the store can do that. Then no id has to be remembered.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from typing import NamedTuple

from statecast.model import Delivery
from statecast.sources.contract import LateAcknowledged, Source
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import CommitsOwnQueues, Store

MAX_HELD = 50_000
"""Committed messages that may wait for their deletion; beyond it nothing is received."""
MAX_AT_ONCE = 1_000
"""Messages that one step acknowledges."""


class Held(NamedTuple):
    """A committed message that is not acknowledged yet."""

    due: float
    delivery: Delivery
    """Without its body."""


class Acknowledgement:
    """Of one source, in the thread of its consumer."""

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        max_held: int = MAX_HELD,
    ) -> None:
        self._source = source
        self._store = store
        self._monotonic = monotonic
        self._max_held = max_held
        self._after = source.acknowledge_after if isinstance(source, LateAcknowledged) else 0.0
        self._held: deque[Held] = deque()
        own = isinstance(source, EmbeddedQueue) and source.store is store
        self.committing = store if own and isinstance(store, CommitsOwnQueues) else None
        """Rule 3: the store that deletes the messages itself; None: it does not."""

    @property
    def is_full(self) -> bool:
        """Whether no further message may be received before some are deleted."""
        return len(self._held) >= self._max_held

    def acknowledge(self, committed: Sequence[Delivery]) -> list[str]:
        """Delete what was committed long enough ago; the ids deleted for certain.

        Raises Unavailable; then the next call does it.
        """
        if self.committing is not None:
            return []
        if not self._after:
            return self._source.acknowledge(committed)
        now = self._monotonic()
        self._held.extend(Held(now + self._after, replace(one, body=b"")) for one in committed)
        due = list(takewhile(lambda one: one.due <= now, islice(self._held, MAX_AT_ONCE)))
        kept = self._still_known([one.delivery for one in due])
        for _ in due:
            self._held.popleft()
        return self._source.acknowledge(kept)

    def _still_known(self, due: Sequence[Delivery]) -> list[Delivery]:
        if not due:
            return []
        known = self._store.known_ids(self._source.name, [one.id for one in due])
        return [one for one in due if one.id in known]
