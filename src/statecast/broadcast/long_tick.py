"""The long messages of a tick, made before the tick is delivered, so that a thread compresses them.

zlib takes milliseconds for them, and it gives up Python's lock meanwhile: on the loop that costs
the wait for a busy thread too. The thread of the change feed has nothing to do until the tick is
delivered, so it compresses what the loop expects to send.

Rule: this decides nothing. A tick is made and delivered in one turn of the loop, by what holds
then. A message that turns out to be the expected one is replaced by that, whose compression is
ready; any other is compressed then.
"""

from __future__ import annotations

from statecast.broadcast.outgoing_message import Compression, OutgoingMessage
from statecast.broadcast.state_patches import StatePatches
from statecast.broadcast.subscriptions import Audience
from statecast.stores.changes import Changes

LEAST_BYTES = 16_384
"""Of the states of a tick that may have long messages."""


class LongTick:
    """What the loop expects to send when these changes are delivered."""

    def __init__(self, changes: Changes, patches: StatePatches) -> None:
        self.changes = changes
        self.patches = patches
        """The entries that are encoded already."""
        self._expected: dict[Audience, list[OutgoingMessage]] = {}
        self._due: list[tuple[OutgoingMessage, Compression]] = []

    def expect(
        self, audience: Audience, message: OutgoingMessage, compressions: set[Compression]
    ) -> None:
        """A message for an audience, which has viewers with these ways to compress."""
        due = [(message, one) for one in compressions if one.is_due(message)]
        if due:
            self._due += due
            self._expected.setdefault(audience, []).append(message)

    def compress(self) -> None:
        """Compress the messages. Any thread."""
        for message, compression in self._due:
            compression.compress(message)

    def ready(self, audience: Audience, message: OutgoingMessage) -> OutgoingMessage:
        """The expected message if it is this one, else this one."""
        for expected in self._expected.get(audience, ()):
            same = expected.position == message.position and expected.unnamed == message.unnamed
            if same and expected.payload == message.payload:
                expected.compressible = message.compressible
                return expected
        return message


def may_be_long(changes: Changes) -> bool:
    """Whether it is worth asking the loop what it expects."""
    updates = changes.updates
    return sum(len(one.state) for one in updates if one.state is not None) >= LEAST_BYTES
