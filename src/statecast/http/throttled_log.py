"""Logs what clients do wrong. Limits the lines of each address and of each kind.

What a client repeats is logged once a minute. The limit by kind holds for many addresses together:
a log must not fill a disk.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from statecast.names import escaped
from statecast.rate_limit import RateByKey, TokenBucket

PER_MINUTE = 6
BURST = 10
MAX_ADDRESSES = 1_000
"""Addresses remembered; beyond it the one that was quiet for longest is forgotten."""
ALL_PER_MINUTE, ALL_BURST = 60, 100
"""Lines of one kind, whatever their addresses. The first words of a sentence are its kind."""
KIND_CHARACTERS = 24
MAX_CHARACTERS = 300
"""Of an address or a sentence, in a line."""

log = logging.getLogger(__name__)


class ThrottledLog:
    """The warnings of one process. An address that goes on above the limit stays silent."""

    def __init__(self) -> None:
        self.counted = 0
        """All warnings, also those that did not reach the log."""
        self._bucket = TokenBucket(PER_MINUTE, BURST)
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """By address, the state of its bucket; the one used last is at the end."""
        self._repeated = RateByKey(TokenBucket(1, 1))
        """By address and sentence: a client that is refused asks again every few seconds."""
        self._all = RateByKey(TokenBucket(ALL_PER_MINUTE, ALL_BURST))

    def warning(self, address: str, sentence: str, now: float) -> None:
        self.counted += 1
        if not self._repeated.try_acquire(f"{address} {hash(sentence)}", now):
            return
        full_at = self._bucket.try_acquire(self._full_at.pop(address, 0.0), now)
        self._full_at[address] = self._bucket.empty(now) if full_at is None else full_at
        if len(self._full_at) > MAX_ADDRESSES:
            self._full_at.popitem(last=False)
        if full_at is not None and self._all.try_acquire(sentence[:KIND_CHARACTERS], now):
            shown = [escaped(text[:MAX_CHARACTERS]) for text in (address, sentence)]
            log.warning("viewer %s: %s", *shown)
