"""Looks at the process that holds a lease which this one cannot get: it may have stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

from statecast.stores.contract import Store
from statecast.stores.leases import LeaseHolder

INTERVAL = 5.0
"""Seconds between two looks."""


class HolderWatch:
    """Of one lease, while this process stands by for it."""

    def __init__(
        self,
        store: Store,
        lease: str,
        what: str,
        result: str,
        *,
        resumed_at: Callable[[], float] = lambda: float("-inf"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``what`` is held, and ``result`` is what follows where its holder has stopped.

        ``resumed_at`` says when this process last went on after it did not run (monotonic).
        """
        self.sentence: str | None = None
        """That the holder has stopped, and what to do; None if it works."""
        self._store = store
        self._lease = lease
        self._words = what, result
        self._resumed_at = resumed_at
        self._monotonic = monotonic
        self._looked_at = float("-inf")
        self._stalled: LeaseHolder | None = None
        """The holder as it was when it was first seen to have stopped: the sentence is of then."""

    def look(self) -> bool:
        """Look again if it is time; whether it was. Raises StoreUnavailable."""
        now = self._monotonic()
        if now - self._looked_at < INTERVAL:
            return False
        self._looked_at = now
        holder = self._store.holder(self._lease)
        if holder is None or not holder.has_stalled(now - self._resumed_at()):
            self.sentence = self._stalled = None
        elif self._stalled is None or not holder.is_same(self._stalled):
            self.sentence, self._stalled = holder.stalled_sentence(*self._words), holder
        return True

    def forget(self) -> None:
        """This process has the lease now: another holder is another matter."""
        self.sentence = self._stalled = None
        self._looked_at = float("-inf")
