"""What a commit did, and what all of one source did."""

from __future__ import annotations

from dataclasses import asdict, field, fields
from operator import add, attrgetter

from statecast.model import Quarantined, value_class


@value_class
class Committed:
    """What one commit did."""

    applied: int = 0
    """Changes that were folded in, visible or not."""
    versions: int = 0
    duplicates: int = 0
    quarantined: int = 0
    dropped: int = 0
    """Changes below the floor of their device."""
    answered: int = 0
    """Answers of devices that brought a command to its end."""
    set_aside: tuple[Quarantined, ...] = field(default=(), compare=False)
    """What went into quarantine, still without the numbers of its rows."""

    @property
    def refused(self) -> tuple[str, ...]:
        """Ids of the messages of which at least one part went into quarantine."""
        return tuple(dict.fromkeys(row.id for row in self.set_aside))

    def __add__(self, other: Committed) -> Committed:
        return Committed(
            self.applied + other.applied,
            self.versions + other.versions,
            self.duplicates + other.duplicates,
            self.quarantined + other.quarantined,
            self.dropped + other.dropped,
            self.answered + other.answered,
            self.set_aside + other.set_aside,
        )


@value_class
class Totals:
    """What came through one source since its store was made. Every number only rises."""

    messages: int = 0
    """Messages that were committed, and edits: each once, whatever became of it."""
    versions: int = 0
    duplicates: int = 0
    """Repetitions of messages or events: they changed nothing."""
    dropped: int = 0
    """Changes that came too late: below the floor of their device."""
    quarantined: int = 0
    """Messages, or items of one, that went into quarantine."""
    evicted: int = 0
    """Rows that left quarantine because it was full."""
    refused: int = 0
    """Messages and edits that were refused before a commit; their sender got the reason."""
    left_out: int = 0
    """Changes that were applied without a part that could not be read: a field, or their time."""

    def __add__(self, other: Totals) -> Totals:
        return Totals(*map(add, self.numbers(), other.numbers()))

    def numbers(self) -> tuple[int, ...]:
        """All numbers, in their order. ``astuple`` costs ten times as much."""
        found: tuple[int, ...] = _totals(self)
        return found

    def report(self) -> dict[str, int]:
        """The totals as in the ``health`` event."""
        return asdict(self)


_totals = attrgetter(*(one.name for one in fields(Totals)))
