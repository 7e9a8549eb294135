"""How many pages and REST reads an address may ask for: each costs a thread, and many names."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from statecast.http.addresses import key_of
from statecast.logs import LimitedLog
from statecast.rate_limit import RateByKey, TokenBucket

BURST = 100
"""Requests at once, before the rate applies: a person with many tabs."""

log = logging.getLogger(__name__)


class RequestLimiter:
    """The reads of one process. Every method may be called from any thread."""

    def __init__(
        self,
        per_second: float,
        is_exempt: Callable[[str], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``is_exempt``: whether the limits per address do not hold for an address."""
        self._rate = RateByKey(TokenBucket(per_second * 60, BURST))
        self._is_exempt = is_exempt
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._log = LimitedLog(log)
        self._sentence = (
            f"more than {per_second:g} pages and REST reads per second (setting page_rate_limit)"
        )

    def allows(self, address: str) -> bool:
        """Count a request; whether it may be answered."""
        with self._lock:
            allowed = self._rate.try_acquire(key_of(address), self._monotonic())
        if allowed:
            return True
        exempt = self._is_exempt(address)
        what = "is not limited, but asks for" if exempt else "is refused: it asks for"
        self._log.warning("page-rate", f"{address} {what} {self._sentence}")
        return exempt
