"""The runs of a store's history: they decide which positions are valid."""

from __future__ import annotations

from typing import NamedTuple

from statecast.errors import Conflict
from statecast.model import Position


class EpochHistory(NamedTuple):
    """The epochs of a store, and what it has forgotten: this decides which positions are valid."""

    epochs: tuple[tuple[str, int], ...]
    """Epoch and its first offset, in ascending order."""
    forgotten: int
    """Offset of the newest tombstone that was deleted."""
    offset: int
    """The store's offset when this was read."""
    lacks: int | None = None
    """How many changes the store lacks since it was set back within a day; 0: it is not known how
    many. None: it was not, or no ``SetBackMemory`` keeps that."""

    def is_valid(self, position: Position) -> bool:
        """Whether a position belongs to this history and nothing after it was forgotten."""
        return self.judge(position) is True

    def judge(self, position: Position, offset: int | None = None) -> bool | None:
        """Whether it is valid; None: it may be of what was committed after this was read.

        ``offset`` is the store's newest offset, where the caller has a newer one.
        """
        last = self.last_of(position.epoch, offset)
        if last is None or (position.offset > last and position.epoch == self.epochs[-1][0]):
            return None
        return 0 <= position.offset <= last and not 0 < position.offset < self.forgotten

    def last_of(self, epoch: str, offset: int | None = None) -> int | None:
        """The last offset of an epoch; None for one of another history. ``offset`` as above."""
        names = [name for name, _ in self.epochs]
        if epoch not in names:
            return None
        following = names.index(epoch) + 1
        if following < len(names):
            return self.epochs[following][1] - 1
        return max(self.offset, offset or 0)

    def position_of(self, offset: int) -> Position:
        """The position of an offset: its epoch is the newest of those that had begun by then."""
        begun = [epoch for epoch, first in self.epochs if first <= offset]
        return Position(begun[-1] if begun else self.epochs[0][0], offset)

    def check_unchanged(self, claimed: Position, offset: int) -> None:
        """Raises Conflict unless ``claimed`` is a position of ``offset`` (0: no such device).

        More than one epoch can be right: a reader received the newest epoch of its time.
        """
        if not offset or claimed.offset != offset or not self.is_valid(claimed):
            raise Conflict(
                "The device was changed meanwhile; "
                "read it again and repeat the change on what it is now."
            )
