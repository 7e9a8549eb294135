"""Waiting for what another process or thread does, where nothing tells the test about it."""

from __future__ import annotations

import time
from collections.abc import Callable

from statecast.stores.contract import Store
from statecast.stores.leases import Lease

INTERVAL = 0.02


def wait_for(
    condition: Callable[[], object],
    why: str | Callable[[], object] = "",
    *,
    seconds: float = 30,
) -> None:
    """Return once ``condition`` holds. Fails after ``seconds``, with the sentence ``why``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why() if callable(why) else why
        time.sleep(INTERVAL)


def wait_for_lease(store: Store, source: str) -> Lease:
    """The lease, once it is free: a server learns a moment later that a process was killed."""
    found: list[Lease] = []

    def take() -> bool:
        if (lease := store.lease(source)) is not None:
            found.append(lease)
        return bool(found)

    wait_for(take)
    return found[0]
