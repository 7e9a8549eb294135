"""Slows down who tries keys and passwords, and no one beside them.

Three buckets count a wrong attempt: that of the address and the name together, that of the address
(who tries many names), and that of the name (who tries from many addresses). What was right at an
address before is counted by the first alone. So an attacker cannot lock a user out of the places
at which that user signs in; elsewhere the user waits some seconds while the attack lasts.

A key or a token that is right is never slowed: no one finds one by trying. So only wrong ones are
counted. A password is counted before it is checked, for the check costs much, and what is right is
given back.

The processes of one store tell each other what they have counted; see ``shared_guesses.py``.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from statecast.access.credentials import GuessKind
from statecast.errors import TooManyGuesses
from statecast.http.addresses import is_loopback, key_of
from statecast.http.shared_guesses import Counts, SharedGuesses, digest
from statecast.rate_limit import MAX_KEYS, RateByKey, TokenBucket

PAIR_BURST, PAIR_PER_MINUTE = 5, 6
ADDRESS_BURST, ADDRESS_PER_MINUTE = 50, 30
NAME_BURST, NAME_PER_MINUTE = 50, 30
LONGEST_DEBT = 120.0
"""Seconds beyond an empty bucket that attempts in other processes may cost: so twelve processes
allow what one would, and no one waits for long after an attack."""
PAIR, ADDRESS, NAME = "p", "a", "n"
"""The first letter of a bucket says what is counted."""
MAX_NAME = 128
"""Characters of a name that count."""
SENTENCE = "Too many wrong keys or passwords came from here; wait some seconds and try again."


class GuessLimiter:
    """The attempts of one process. Every method may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._pairs = RateByKey(TokenBucket(PAIR_PER_MINUTE, PAIR_BURST))
        self._addresses = RateByKey(TokenBucket(ADDRESS_PER_MINUTE, ADDRESS_BURST))
        self._names = RateByKey(TokenBucket(NAME_PER_MINUTE, NAME_BURST))
        self._shared = SharedGuesses()
        self._right: OrderedDict[str, None] = OrderedDict()
        """Pairs that were right; the one of the last use is at the end."""
        self._lock = threading.Lock()
        """For all of the above."""

    def attempt(self, kind: GuessKind, address: str, name: str) -> None:
        """Count an attempt. Raises TooManyGuesses if it must wait; it counts for nothing then."""
        with self._lock:
            buckets, now = tuple(self._buckets(kind, address, name)), self._monotonic()
            delay = max((rates.delay(key, now) for rates, key in buckets), default=0.0)
            if delay > 0:
                raise TooManyGuesses(SENTENCE, math.ceil(delay))
            for rates, key in buckets:
                rates.try_acquire(key, now)
                self._shared.add(key, 1, now)

    def succeeded(self, kind: GuessKind, address: str, name: str) -> None:
        """What ``attempt`` has counted was right."""
        with self._lock:
            for rates, key in self._buckets(kind, address, name):
                rates.give_back(key)
                self._shared.add(key, -1, self._monotonic())
            pair = _pair(kind, address, name)
            self._pairs.forget(pair)
            self._right[pair] = None
            self._right.move_to_end(pair)
            if len(self._right) > MAX_KEYS:
                self._right.popitem(last=False)

    def was_right(self, kind: GuessKind, address: str, name: str) -> bool:
        """Whether this was right at this address before, in this process."""
        with self._lock:
            return _pair(kind, address, name) in self._right

    def report(self) -> dict[str, int]:
        """What this process has counted lately, for the others."""
        with self._lock:
            return self._shared.report(self._monotonic())

    def take(self, reports: Mapping[str, Counts]) -> None:
        """Count what other processes, by their ids, have counted."""
        rates = {PAIR: self._pairs, ADDRESS: self._addresses, NAME: self._names}
        with self._lock:
            now = self._monotonic()
            for bucket, times in self._shared.take(reports):
                if bucket[:1] in rates:
                    rates[bucket[:1]].owe(bucket, now, times, LONGEST_DEBT)

    def _buckets(self, kind: str, address: str, name: str) -> Iterator[tuple[RateByKey, str]]:
        pair = _pair(kind, address, name)
        if name:
            yield self._pairs, pair
        if pair in self._right:
            return
        if not is_loopback(address):  # it may be that of a proxy, and so of everybody
            yield self._addresses, ADDRESS + digest(f"{kind} {key_of(address)}")
        if name:
            yield self._names, NAME + digest(f"{kind} {name[:MAX_NAME]}")


def _pair(kind: str, address: str, name: str) -> str:
    return PAIR + digest(f"{kind} {key_of(address)} {name[:MAX_NAME]}")
