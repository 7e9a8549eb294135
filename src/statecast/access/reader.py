"""Who reads, and what: a value, so that readers with the same rights share their messages."""

from __future__ import annotations

from dataclasses import dataclass

from statecast.access.identity import LOCAL, Identity
from statecast.access.patterns import EVERYTHING, Patterns, any_covers


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who is connected."""

    identity: Identity
    readable: Patterns
    """The devices that it may see."""

    @property
    def reads_everything(self) -> bool:
        return self.readable == EVERYTHING

    def may_read(self, device: str) -> bool:
        return any_covers(self.readable, device)


READS_EVERYTHING = Reader(LOCAL, EVERYTHING)
