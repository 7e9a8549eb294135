"""One viewer as the broadcaster keeps it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from statecast.access.patterns import Patterns
from statecast.broadcast.outgoing_message import Recipient
from statecast.broadcast.subscriptions import Audience
from statecast.model import Position


class Subscriber:
    """The audience of a viewer, its position while it lags, and what its next message must say."""

    __slots__ = (
        "audience",
        "command",
        "complete",
        "covered",
        "empty",
        "heard",
        "name",
        "paused",
        "position",
        "reset",
        "sighting",
        "since",
        "viewer",
        "wanted",
    )

    def __init__(
        self, viewer: Recipient, wanted: Patterns, audience: Audience, sighting: int
    ) -> None:
        self.viewer = viewer
        self.wanted = wanted
        """What it asked for; its audience has what it may read of that."""
        self.name = viewer.name
        """Under which it counts among those who watch."""
        self.audience = audience
        self.position = 0
        """The offset up to which it has everything; not kept while it is up to date."""
        self.since: Position | None = None
        """Where it says that it stands, while this process has not read so far. It keeps what it
        has until that is known."""
        self.empty = True
        """It has no states yet, so removed devices need not be mentioned."""
        self.covered: tuple[Audience, int] | None = None
        """While it catches up with a new watch set: the set before, and up to which offset it has
        everything of that. With ``since``, the offset follows when that is known."""
        self.paused = False
        """Its transport is full."""
        self.reset = False
        """The next message says ``reset``: the viewer drops the states that it has."""
        self.complete = False
        """The message that brings it up to date says ``complete``."""
        self.sighting = sighting
        """It has all sightings up to this number."""
        self.heard: Mapping[str, Any] | None = None
        """What the last ``health`` event said that was sent to it."""
        self.command = 0
        """It has all changes of commands up to this number."""

    @property
    def up_to_date(self) -> bool:
        return self.viewer in self.audience.current

    @property
    def standing(self) -> Hashable:
        """While it lags: what its next message depends on, beside its audience."""
        return self.position, self.empty, self.reset, self.complete, self.covered

    def start_over(self) -> None:
        """Send everything again, because what it has may never have been committed."""
        self.audience.current.discard(self.viewer)
        self.position, self.covered, self.command, self.since = 0, None, 0, None
        self.complete = self.reset = self.empty = True
