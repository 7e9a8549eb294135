"""How far the up-to-date viewers of each audience are, also in the middle of a tick.

A tick serves one audience after the other, and what is written for one of them may fill the
transport of a viewer of another: the loop writes for many connections together. So a viewer that is
paused is as far as its own audience is, which may not have been served yet.
"""

from __future__ import annotations

from statecast.broadcast.subscriptions import Audience


class Progress:
    """A rising number of the store, and who has everything up to where."""

    __slots__ = ("_everywhere", "_within")

    def __init__(self) -> None:
        self._everywhere = 0
        """All audiences have everything up to it."""
        self._within: dict[Audience, int] = {}
        """In a tick, by audience that the tick has served."""

    def serve(self, audience: Audience, number: int) -> None:
        """The next message for an audience brings it up to a number.

        Before the message is delivered, because a viewer may be paused by it.
        """
        self._within[audience] = number

    def end(self, number: int) -> None:
        """The tick is over: all have everything up to a number."""
        self._everywhere = number
        self._within = {}

    def of(self, audience: Audience) -> int:
        """Up to where the up-to-date viewers of an audience have everything."""
        return self._within.get(audience, self._everywhere)
