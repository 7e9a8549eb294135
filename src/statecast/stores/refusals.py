"""Counts what was refused until a transaction writes it: a refused request costs no write."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Refusals:
    """The number of refusals by source that no transaction has written yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    def count(self, source: str) -> None:
        with self._lock:
            self._waiting[source] += 1

    def waiting(self) -> Counter[str]:
        with self._lock:
            return self._waiting.copy()

    @contextmanager
    def taken(self) -> Iterator[Counter[str]]:
        """All of them, for a transaction. If the block raises, they wait for the next one."""
        with self._lock:
            taken, self._waiting = self._waiting, Counter()
        try:
            yield taken
        except BaseException:
            with self._lock:
                self._waiting += taken
            raise
