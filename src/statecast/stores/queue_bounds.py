"""How much a queue inside a store may hold."""

from __future__ import annotations

from statecast import program
from statecast.errors import QueueFull
from statecast.stores.contract import Limits


def room(name: str, limits: Limits, messages: int, size: int) -> None:
    """Raises QueueFull when the queue would hold more than it may."""
    if messages > limits.queue_messages:
        bound = f"{limits.queue_messages} messages (setting queue_messages)"
    elif size > limits.queue_bytes:
        bound = f"{limits.queue_bytes} bytes (setting queue_bytes)"
    else:
        return
    raise QueueFull(
        f"The queue {name!r} is full: it may hold {bound}. Is a `{program.name()} run` consuming it?"
    )
