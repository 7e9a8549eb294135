"""The recipients of the same messages, and how many of them are written to in one bare loop.

A recipient that takes whatever comes has an ``Outlet``. The outlets of one kind are a group: their
transport room encodes a message once, and no recipient is asked for its state. All others (long
polling, server-sent events, full transports) get each message by a call of their own.

Rule: a group never changes. When the outlet of a recipient changes, ``forget_groups`` is called.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from statecast.broadcast.outgoing_message import Compression, OutgoingMessage, Recipient

FEW = 4
"""Recipients for which a group would cost more than it saves."""

FEW_ASKED = 20
"""Recipients that are asked how they compress."""


class Outlet(Protocol):
    """A connection that is open and not full."""

    @property
    def writer(self) -> GroupWriter:
        """What writes to it and to the others of its kind."""

    def deliver(self, message: OutgoingMessage) -> None:
        """As the recipient does it."""


class GroupWriter(Protocol):
    """Writes to many connections together."""

    def group(self, outlets: Collection[Any]) -> Any:
        """What ``write`` takes for these connections, which all have this writer."""

    def write(self, group: Any, message: OutgoingMessage, lane: object) -> None:
        """Write a message to all of a group, at the end of this turn of the loop at the latest.

        Groups of one ``lane`` have no connection in common.
        """


class HasOutlet(Protocol):
    """A recipient of one kind or another."""

    @property
    def outlet(self) -> Outlet | None:
        """Its connection while it takes whatever comes."""


One = TypeVar("One", bound=HasOutlet)


class Groups(Generic[One]):
    """A number of recipients, ready to be written to. It does not change."""

    __slots__ = ("_groups", "others", "size")

    def __init__(self, recipients: Collection[One]) -> None:
        self.size = len(recipients)
        self.others: list[One] = []
        """Those without an outlet: each wants a call of its own."""
        found: dict[GroupWriter, list[Outlet]] = {}
        for recipient in recipients:
            outlet = recipient.outlet if self.size > FEW else None
            if outlet is None:
                self.others.append(recipient)
            else:
                found.setdefault(outlet.writer, []).append(outlet)
        self._groups = [(writer, writer.group(outlets)) for writer, outlets in found.items()]

    def write(self, message: OutgoingMessage, lane: object = None) -> int:
        """Write to all but the ``others``; how many these are. No lane is a lane of its own."""
        for writer, group in self._groups:
            writer.write(group, message, lane or group)
        return self.size - len(self.others)


class UpToDate:
    """The viewers of an audience that have everything up to the head."""

    __slots__ = ("_few", "_groups", "_viewers", "size")

    def __init__(self) -> None:
        self._viewers: set[Recipient] = set()
        self.size = 0
        """How many they are."""
        self._groups: Groups[Recipient] | None = None
        self._few: tuple[Outlet | Recipient, ...] | None = None
        """Either is made with the first message after a change: ``_few`` of a few viewers."""

    def add(self, viewer: Recipient) -> None:
        self._viewers.add(viewer)
        self._note_change()

    def discard(self, viewer: Recipient) -> None:
        self._viewers.discard(viewer)
        self._note_change()

    def forget_groups(self) -> None:
        self._groups = self._few = None

    def _note_change(self) -> None:
        self.size = len(self._viewers)
        self.forget_groups()

    def __contains__(self, viewer: object) -> bool:
        return viewer in self._viewers

    def compressions(self) -> set[Compression]:
        """How messages are compressed for some of them, which most others are like."""
        some = islice(self._viewers, FEW_ASKED)
        return {one.compression for one in some if one.compression is not None}

    def deliver(self, message: OutgoingMessage) -> None:
        """Write a message to all of them. A viewer that it fills is taken out meanwhile."""
        if self.size <= FEW:
            if self._few is None:
                self._few = tuple(viewer.outlet or viewer for viewer in self._viewers)
            for one in self._few:
                one.deliver(message)
            return
        groups = self._groups
        if groups is None:
            groups = self._groups = Groups(self._viewers)
        groups.write(message, UpToDate)  # a viewer is in one audience
        for viewer in groups.others:
            viewer.deliver(message)
