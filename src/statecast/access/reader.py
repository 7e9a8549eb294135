"""Who reads, and what: a value, so that readers with the same rights share their messages."""

from __future__ import annotations

from dataclasses import dataclass

from statecast.access.actions import Action
from statecast.access.grants import EVERYTHING, NOTHING, Grants
from statecast.access.identity import ANONYMOUS, LOCAL, Identity
from statecast.access.patterns import Patterns


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who is connected, and what this one may do."""

    identity: Identity
    grants: Grants

    @property
    def readable(self) -> Patterns:
        """The devices that it may see."""
        return self.grants.patterns(Action.READ)

    @property
    def reads_everything(self) -> bool:
        return self.readable == ("*",)


READS_EVERYTHING = Reader(LOCAL, EVERYTHING)
READS_NOTHING = Reader(ANONYMOUS, NOTHING)
