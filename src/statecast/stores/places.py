"""What is decided about places, in whatever store they are kept."""

from __future__ import annotations

from statecast.errors import Conflict
from statecast.model import Position
from statecast.stores.contract import EpochHistory

MOST_EPOCHS = 1_000
EVENT_MS = 60_000
"""How long an application event is kept."""
REPORT_MS = 10_000
"""How long a process that says nothing counts as alive."""


def epoch_of(known: EpochHistory, offset: int) -> str:
    """The epoch under which an offset lies: the newest of those that had begun then."""
    begun = [epoch for epoch, first in known.epochs if first <= offset]
    return begun[-1] if begun else known.epochs[0][0]


def compare(known: EpochHistory, claimed: Position, offset: int) -> None:
    """Raises Conflict unless ``claimed`` is the place of what stands at ``offset`` (0: nothing does).

    Every epoch that knew this offset is a good name for it: a reader was told the newest of its time.
    """
    if not offset or claimed.offset != offset or not known.is_valid(claimed):
        raise Conflict(
            "The device was changed meanwhile; read it again and repeat the change on what it is now."
        )
