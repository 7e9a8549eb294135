"""How far the clocks of devices are off, as far as their messages show it.

A message whose own time is later than its arrival in the queue comes from a clock that is ahead. A
message whose time is earlier may only have been delayed. So of the newest messages of a device the
one with the least delay counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from statecast.model import Message

MESSAGES_PER_DEVICE = 8
MAX_DEVICES = 1_000
MIN_SKEW_MS = 30_000
"""Less may be the network, or a queue that writes whole seconds."""


class ClockSkew:
    """The clocks of the devices of one source."""

    def __init__(self) -> None:
        self._ahead: dict[str, deque[int]] = {}
        """By how many ms the newest messages of each device are ahead; longest silent first."""

    def note(self, messages: Iterable[Message]) -> None:
        """Take account of received messages."""
        for message in messages:
            for change in message.changes:
                if change.time is not None and change.by == "device":
                    self._note_one(change.device, change.time - message.delivery.sent_at)

    def _note_one(self, device: str, ahead: int) -> None:
        known = self._ahead.pop(device, None) or deque(maxlen=MESSAGES_PER_DEVICE)
        known.append(ahead)
        self._ahead[device] = known
        if len(self._ahead) > MAX_DEVICES:
            del self._ahead[next(iter(self._ahead))]

    def wrong(self) -> Mapping[str, int]:
        """Devices whose clocks are wrong, and by how many ms they are ahead (below 0: behind)."""
        ahead = {device: max(known) for device, known in list(self._ahead.items())}
        return {device: skew for device, skew in ahead.items() if abs(skew) >= MIN_SKEW_MS}
