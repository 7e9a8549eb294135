"""Sends messages to viewers of an audience, and counts their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from statecast.broadcast.outgoing_message import OutgoingMessage, Recipient
from statecast.broadcast.subscriptions import Audience


class EventOutput:
    """The way out of all that the parts of a broadcaster send."""

    def __init__(self, has_rules: Callable[[], bool]) -> None:
        """``has_rules``: whether somebody who may read here may read less than everything."""
        self._has_rules = has_rules
        self.sent_bytes = 0
        """Before framing. Counted per audience, not per viewer."""

    def to_current(self, audience: Audience, message: OutgoingMessage) -> None:
        """Send a message to the up-to-date viewers of an audience."""
        self.sent_bytes += len(message.payload) * audience.current.size
        audience.current.deliver(message)

    def to_one(self, viewer: Recipient, message: OutgoingMessage) -> None:
        self.sent_bytes += len(message.payload)
        viewer.deliver(message)

    def may_compress(self, audience: Audience, devices: Iterable[str]) -> bool:
        """Whether the length of a compressed message about these devices may be seen.

        By it, who sets one device could guess what is in another one. Devices under one pattern
        of a viewer's rights may be known together; see docs/design/security.md.
        """
        return not self._has_rules() or audience.has_one_pattern_for(devices)

    def compresses(self, audience: Audience, devices: Iterable[str]) -> bool:
        """Whether a message to the up-to-date viewers of an audience is compressed, once for all.

        For a single one it is not worth it.
        """
        return audience.current.size > 1 and self.may_compress(audience, devices)
