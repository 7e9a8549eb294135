"""How often one user or key may send, edit and command: no one may fill the queue of the others."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from statecast.access.identity import Identity
from statecast.errors import TooManyRequests
from statecast.rate_limit import RateByKey, TokenBucket

BURST = 1_000
"""At once, before the rate applies: as many messages as one array may hold."""


class WriteLimiter:
    """The writes of one process. Every method may be called from any thread."""

    def __init__(self, per_second: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._rate = RateByKey(TokenBucket(per_second * 60, BURST))
        self._monotonic = monotonic
        self._lock = threading.Lock()

    def acquire(self, identity: Identity, number: int = 1) -> None:
        """Count so many messages, edits or commands of somebody; none of them count if it raises.

        This machine, and who has no name, is not limited here. Raises TooManyRequests.
        """
        if not identity.name or number < 1:
            return
        with self._lock:
            now = self._monotonic()
            if self._rate.try_acquire(identity.sender, now, number):
                return
            delay = self._rate.delay(identity.sender, now, number)
        raise TooManyRequests(
            f"One user or key may send, edit and command {self._per_second:g} times per second, "
            f"after {BURST:,} at once (setting write_rate_limit). Nothing of it was done.",
            math.ceil(delay),
        )
