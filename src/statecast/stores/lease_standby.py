"""The pauses of a thread that stands by for a lease which another process holds."""

from __future__ import annotations

import threading

from statecast.stores.contract import Store
from statecast.stores.leases import AwaitsLeases, LeaseWait

ASKING = 0.1
"""Seconds between two attempts to get the lease."""
TOLD = 1.0
"""The same where the store says when it is free."""


class LeaseStandby:
    """Of one lease."""

    def __init__(self, store: Store, lease: str) -> None:
        self._store = store
        self._lease = lease
        self._may_be_free = threading.Event()
        """Ends the pause. Also set at the end."""
        self._wait: LeaseWait | None = None
        self._has_ended = False

    def pause(self) -> None:
        """Return when the lease may be free, when it is time to ask for it, or at the end."""
        if self._wait is None or self._wait.is_over:
            self._may_be_free.clear()  # before the wait begins: from here on nothing is missed
            self._wait = (
                self._store.await_lease(self._lease, self._may_be_free.set)
                if isinstance(self._store, AwaitsLeases)
                else None
            )
        if not self._has_ended:
            self._may_be_free.wait(ASKING if self._wait is None else TOLD)

    def end(self) -> None:
        """Let no pause begin any more, and end the present one. Any thread."""
        self._has_ended = True
        self._may_be_free.set()
