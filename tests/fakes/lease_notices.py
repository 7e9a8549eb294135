"""A store that says when a lease is free, as the test tells it to."""

from __future__ import annotations

import queue
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class LeaseNotices:
    """The waits that are begun in a store."""

    def __init__(self, store: Any, *, are_over: bool = True) -> None:
        """``are_over``: each is over as soon as it is told, so that another one is begun."""
        self._are_over = are_over
        self._begun: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()
        store.await_lease = self._await

    def next(self) -> tuple[str, Callable[[], None]]:
        """The lease of the next wait that is begun, and the call that ends it."""
        return self._begun.get(timeout=20)

    def _await(self, lease: str, on_free: Callable[[], None]) -> SimpleNamespace:
        self._begun.put((lease, on_free))
        return SimpleNamespace(is_over=self._are_over)
