"""One event for one or many viewers, and what a viewer must offer to receive it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from statecast.access.reader import Reader


class OutgoingMessage:
    """One event, encoded once. All viewers that receive it share this object."""

    __slots__ = (
        "attachments",
        "compressible",
        "encodings",
        "name",
        "payload",
        "position",
        "unnamed",
    )

    def __init__(
        self, name: str, payload: bytes, position: int = 0, *, compressible: bool = False
    ) -> None:
        self.name = name
        """Of the event."""
        self.payload = payload
        """Its argument as JSON."""
        self.position = position
        """The offset up to which a viewer has everything once it has this message."""
        self.unnamed: tuple[str, str] | None = None
        """Epoch and scope of the position, where the argument does not name them."""
        self.compressible = compressible
        """Several viewers share it, and its length may be seen on the network."""
        self.attachments: Sequence[bytes] = ()
        """Bytes that follow it as messages of their own."""
        self.encodings: dict[str, bytes] = {}
        """The complete frame per transport; each transport adds its own."""


class Compression(Protocol):
    """How messages are compressed for the viewers of some transports."""

    def is_due(self, message: OutgoingMessage) -> bool:
        """Whether a thread is to compress the message before it is delivered."""

    def compress(self, message: OutgoingMessage) -> None:
        """Compress it, for all of these viewers. Any thread."""


class Recipient(Protocol):
    """What the broadcaster needs of a viewer."""

    @property
    def name(self) -> str | None:
        """What the application calls it, to others who watch the same."""

    @property
    def reader(self) -> Reader:
        """Who it is, and what it may see."""

    @property
    def outlet(self) -> Any:
        """Its ``recipients.Outlet``; None if it wants each message by ``deliver``."""

    @property
    def compression(self) -> Compression | None:
        """How messages are compressed for it; None: not at all."""

    def deliver(self, message: OutgoingMessage) -> None:
        """Write the message out now, without waiting.

        If the transport is full after it, the recipient calls the broadcaster's ``pause``.
        """
