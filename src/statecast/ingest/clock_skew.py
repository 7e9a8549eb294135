"""How far the clocks of devices are off, as far as their messages show it.

A message with a time of its own, later than its arrival in the queue, comes from a clock that is ahead. One that is
earlier may only have been on its way; so of a device's last messages the one that was fastest counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from statecast.model import Message

REMEMBERED = 8
"""Messages per device."""
MOST_DEVICES = 1_000
WORTH_TELLING = 30_000
"""Milliseconds; less may be the network or a queue that writes whole seconds."""


class ClockSkew:
    """Of the devices of one source."""

    def __init__(self) -> None:
        self._ahead: dict[str, deque[int]] = {}

    def note(self, messages: Iterable[Message]) -> None:
        """Take in what was received, times in ms."""
        for message in messages:
            for change in message.changes:
                if change.time is not None and change.by == "device":
                    self._one(change.device, change.time - message.delivery.sent_at)

    def _one(self, device: str, ahead: int) -> None:
        known = self._ahead.pop(device, None) or deque(maxlen=REMEMBERED)
        known.append(ahead)
        self._ahead[device] = known  # at the end: whoever was silent for longest is forgotten first
        if len(self._ahead) > MOST_DEVICES:
            del self._ahead[next(iter(self._ahead))]

    def wrong(self) -> Mapping[str, int]:
        """Device and the milliseconds its clock is ahead (below 0: behind), of those worth telling."""
        fastest = {device: max(known) for device, known in list(self._ahead.items())}
        return {device: ahead for device, ahead in fastest.items() if abs(ahead) >= WORTH_TELLING}
