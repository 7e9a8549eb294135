"""Says in the log what a peer did wrong: one line each, and only so many per address."""

from __future__ import annotations

import logging
from collections import OrderedDict

from statecast.http import rate_limit

PER_MINUTE = 6
BURST = 10
MOST_ADDRESSES = 1_000
"""Addresses remembered; beyond it the one that was quiet for longest is forgotten."""

log = logging.getLogger(__name__)


class Complaints:
    """The complaints of one process."""

    def __init__(self) -> None:
        self._balances: OrderedDict[str, float] = OrderedDict()
        self.counted = 0
        """All of them, also those that did not reach the log."""

    def about(self, address: str, sentence: str, now: float) -> None:
        self.counted += 1
        balance = rate_limit.spend(self._balances.pop(address, 0.0), now, PER_MINUTE, BURST)
        if balance is None:
            self._balances[address] = now + 60.0 / PER_MINUTE * BURST
            return
        self._balances[address] = balance
        if len(self._balances) > MOST_ADDRESSES:
            self._balances.popitem(last=False)
        log.warning("viewer %s: %s", printable(address), printable(sentence))


def printable(text: str, most: int = 200) -> str:
    """Text that neither ends the line nor talks to the terminal."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text[:most])
