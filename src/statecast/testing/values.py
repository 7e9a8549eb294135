"""Values for tests in one line each, and a clock that tests control."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from statecast import strict_json
from statecast.model import Change, Delivery, Kind, Message, Refusal, Speaker

START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


@dataclass
class VirtualClock:
    """Call it for the time in ms. Only ``advance`` and ``set`` change the time."""

    now: int = START
    running: int = 0
    """The uptime in ms."""

    def __call__(self) -> int:
        return self.now

    def uptime(self) -> int:
        return self.running

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1000)
        self.running += round(seconds * 1000)

    def set(self, seconds: float) -> None:
        """Set the clock forward, or back if below 0; no time passes."""
        self.now += round(seconds * 1000)


def change(
    device: str = "pillow",
    state: dict[str, Any] | None = None,
    *,
    kind: Kind = "merge",
    time: int | None = None,
    sequence: int = 0,
    event_id: str | None = None,
    silent_after: float | None = None,
    by: Speaker = "device",
    commands: tuple[str, ...] | None = None,
) -> Change:
    """A change; each argument has the default of a plain message."""
    return Change(
        device,
        kind,
        state or {},
        time,
        sequence,
        event_id,
        silent_after,
        by,
        commands=commands,
    )


def message(
    id_: str,
    *changes: Change,
    sent_at: int = START,
    order: int | None = None,
    refusals: tuple[Refusal, ...] = (),
    sender: str = "",
) -> Message:
    """A decoded message; several changes are the items of an array."""
    items = tuple(
        (
            index if len(changes) > 1 else None,
            strict_json.encode({"device": one.device, "state": dict(one.state)}),
        )
        for index, one in enumerate(changes)
    )
    delivery = Delivery(id_, b"raw " + id_.encode(), sent_at, order=order, sender=sender)
    return Message(delivery, changes, items, refusals)


def refused(id_: str, reason: str = "It is not JSON.", sent_at: int = START) -> Message:
    """A message that the decoder refused."""
    return message(id_, sent_at=sent_at, refusals=(Refusal(reason, b"raw " + id_.encode()),))


@contextmanager
def raises(kind: type[Exception]) -> Iterator[None]:
    """Assert that the block raises an exception of this class."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")
