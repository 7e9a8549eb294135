"""What the serving processes of one store say to each other of wrong attempts.

An attacker who is sent to another process with each request would have as many attempts as there
are processes times those of one. So each process announces, in the report that it writes every two
seconds anyway, how often it has counted each bucket lately; see ``broadcast/process_reports.py``.
Nothing is added while no one guesses. Names and addresses stay here: a bucket is its digest.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping

Counts = Mapping[str, int]
"""How often each bucket was counted."""
MOST = 100
"""Buckets that a process announces, those of the newest attempts: some 3 KB of its report."""
LASTS = 300.0
"""Seconds after which a bucket is full again, whatever was counted."""


def digest(bucket: str) -> str:
    """The name of a bucket for others."""
    return hashlib.blake2b(bucket.encode("utf-8", "replace"), digest_size=12).hexdigest()


class SharedGuesses:
    """The attempts of this process as it announces them, and which of the others' it has seen."""

    def __init__(self) -> None:
        self._own: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """How often each bucket was counted, and when last; the newest at the end."""
        self._seen: dict[str, Counts] = {}
        """What each process said last."""

    def add(self, bucket: str, step: int, now: float) -> None:
        """Count an attempt of this process, or take one back."""
        number, _ = self._own.pop(bucket, (0, now))
        if number + step > 0:
            self._own[bucket] = number + step, now
        if len(self._own) > MOST:
            self._own.popitem(last=False)

    def report(self, now: float) -> dict[str, int]:
        """What this process announces."""
        while self._own and next(iter(self._own.values()))[1] <= now - LASTS:
            self._own.popitem(last=False)
        return {bucket: number for bucket, (number, _) in self._own.items()}

    def take(self, reports: Mapping[str, Counts]) -> Iterator[tuple[str, int]]:
        """What others, by the ids of their processes, have counted since they said so last."""
        before, self._seen = self._seen, {process: dict(one) for process, one in reports.items()}
        for process, counts in reports.items():
            known = before.get(process, {})
            for bucket, number in counts.items():
                if (step := number - known.get(bucket, 0)) > 0:
                    yield bucket, step
