"""Messages for viewers that lag, kept because several viewers return to the same place.

Rule 1: a message is for one audience, one standing in it, and one offset of the store. When the
store has moved on, none of the kept ones is needed any more.
Rule 2: they are bounded in bytes over all audiences; the one that was made first leaves.
"""

from __future__ import annotations

from collections.abc import Hashable

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriptions import Audience

MAX_BYTES = 4_000_000
"""Of their payloads. With the frames of some transports, the compressed one among them, a message
takes two or three times as much."""

Key = tuple[Audience, int, Hashable]


class CatchUpMessages:
    """Those of one broadcaster."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._messages: dict[Key, OutgoingMessage] = {}
        """The one that was made first is the first."""
        self._bytes = 0
        self._head = -1

    def get(self, audience: Audience, standing: Hashable, head: int) -> OutgoingMessage | None:
        """The message for viewers that stand there; ``head`` is the store's offset."""
        if head != self._head:
            self.clear()
            self._head = head
        return self._messages.get(key_of(audience, standing))

    def keep(self, audience: Audience, standing: Hashable, message: OutgoingMessage) -> None:
        """Keep a message that was made where ``get`` found none, for the same offset."""
        self._messages[key_of(audience, standing)] = message
        self._bytes += len(message.payload)
        while self._bytes > self._max_bytes and len(self._messages) > 1:
            self._bytes -= len(self._messages.pop(next(iter(self._messages))).payload)

    def clear(self) -> None:
        """They are out of date."""
        self._messages.clear()
        self._bytes = 0


def key_of(audience: Audience, standing: Hashable) -> Key:
    return audience, audience.outdated, standing
