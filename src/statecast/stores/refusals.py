"""Counts what was refused until a transaction writes it: a refused request costs no write."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from statecast.errors import Conflict, NotFound, Refused
from statecast.stores.totals import Totals


class CountingRefused:
    """Counts what a block refuses. A generator would cost each edit 1 us."""

    __slots__ = ("_count", "_source")

    def __init__(self, count: Callable[[str], None], source: str) -> None:
        self._count = count
        self._source = source

    def __enter__(self) -> None:
        """The block begins."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # With these, what the caller assumed is not so; the message is in order.
        if isinstance(error, Refused) and not isinstance(error, (NotFound, Conflict)):
            self._count(self._source)


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

    def added_to(self, totals: Mapping[str, Totals]) -> dict[str, Totals]:
        """These totals, with those that wait, by source."""
        found = dict(totals)
        for source, number in self.waiting().items():
            found[source] = found.get(source, Totals()) + Totals(refused=number)
        return dict(sorted(found.items()))

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
