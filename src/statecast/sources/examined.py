"""What a source can say of itself when somebody asks what is wrong; see ``statecast doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol, runtime_checkable

Verdict = Literal["good", "notice", "wrong"]


class Finding(NamedTuple):
    """One sentence, and whether it is good news."""

    verdict: Verdict
    sentence: str


@runtime_checkable
class Diagnosable(Protocol):
    """An optional contract of sources."""

    def examine(self) -> Iterator[Finding]:
        """Ask the queue what can be asked without taking a message out of it. Never raises."""
