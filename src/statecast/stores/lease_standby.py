"""The pauses of a thread that stands by for a lease which another process holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from statecast.stores.contract import Store
from statecast.stores.leases import AwaitsLeases, LeaseWait

ASKING = 0.1
"""Seconds between two attempts to get the lease."""
TOLD = 1.0
"""The same where the store says when it is free."""


class LeaseStandby:
    """Of one lease. A thread with nothing else to do calls ``pause`` between two attempts; one that
    follows the store too calls ``begin_pause``, and asks ``due_in``."""

    def __init__(
        self,
        store: Store,
        lease: str,
        *,
        on_free: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_free`` is called by another thread when the lease may be free."""
        self._store = store
        self._lease = lease
        self._on_free = on_free
        self._monotonic = monotonic
        self._may_be_free = threading.Event()
        """Ends the pause. Also set at the end."""
        self._ask_at = float("-inf")
        """When the pause that was begun is over in any case."""
        self._wait: LeaseWait | None = None
        self._has_ended = False

    def pause(self) -> None:
        """Return when the lease may be free, when it is time to ask for it, or at the end."""
        seconds = self._await()
        if not self._has_ended:
            self._may_be_free.wait(seconds)

    def begin_pause(self) -> None:
        """The lease is not free: let ``due_in`` count from now."""
        self._ask_at = self._monotonic() + self._await()

    def due_in(self) -> float:
        """Seconds until it is time to ask for the lease."""
        return 0.0 if self._may_be_free.is_set() else max(0.0, self._ask_at - self._monotonic())

    def end(self) -> None:
        """Let no pause begin any more, and end the present one. Any thread."""
        self._has_ended = True
        self._may_be_free.set()

    def _await(self) -> float:
        """Have it said when the lease is free; the seconds after which to ask in any case."""
        if self._wait is None or self._wait.is_over:
            self._may_be_free.clear()  # before the wait begins: from here on nothing is missed
            self._wait = (
                self._store.await_lease(self._lease, self._note_free)
                if isinstance(self._store, AwaitsLeases)
                else None
            )
        return ASKING if self._wait is None else TOLD

    def _note_free(self) -> None:
        self._may_be_free.set()
        self._on_free()
