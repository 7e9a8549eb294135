"""The errors that every store raises with the same sentence."""

from __future__ import annotations

from statecast.errors import LeaseLost, NotFound, QueueFull
from statecast.stores.contract import Limits


def lease_lost(source: str) -> LeaseLost:
    """A commit came with a term that is not the newest of its source."""
    return LeaseLost(
        f"Another process has taken over the source {source!r}; this one stopped writing."
    )


def no_quarantine_row(number: int) -> NotFound:
    return NotFound(f"There is no message {number} in quarantine.")


def check_queue_bounds(name: str, limits: Limits, messages: int, size: int) -> None:
    """Raises QueueFull if the queue would exceed its bounds. ``size`` is in bytes."""
    if messages > limits.queue_messages:
        bound = f"{limits.queue_messages} messages (setting queue_messages)"
    elif size > limits.queue_bytes:
        bound = f"{limits.queue_bytes} bytes (setting queue_bytes)"
    else:
        return
    raise QueueFull(f"The queue {name!r} is full: it may hold {bound}. Is a server consuming it?")
