"""Leases: the right to consume a source, to run a reaction, or to fill a command queue."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from statecast import timestamps
from statecast.model import value_class

STALLED_AFTER = 60.0
"""Seconds without progress after which the holder of a lease counts as stopped."""


class Lease(Protocol):
    """The right to consume one source. Its term rises with every take-over."""

    term: int

    def note_progress(self) -> None:
        """Note that the holder works; see ``Store.holder``. Cheap: it writes every few seconds."""

    def release(self) -> None:
        """Let another process take over at once."""


class LeaseWait(Protocol):
    """One wait for the lease of a source."""

    is_over: bool
    """The lease was free since the wait began, or nothing more will say when it is."""


@runtime_checkable
class AwaitsLeases(Protocol):
    """A store that need not be asked time and again whether a lease is free."""

    def await_lease(self, source: str, on_free: Callable[[], None]) -> LeaseWait | None:
        """Have ``on_free`` called, once and by another thread, when the lease is free.

        None: ask time and again. Another process may be faster, so ask for the lease then.
        """


@value_class
class LeaseHolder:
    """The process that holds the lease of a source."""

    pid: int
    idle_seconds: float
    """How long ago it noted progress. A process that was stopped notes none."""
    host: str = ""
    """On which it runs."""

    def has_stalled(self, awake: float = math.inf) -> bool:
        """Whether it has stopped. Who asks has been running for ``awake`` seconds."""
        return min(self.idle_seconds, awake) >= STALLED_AFTER

    def is_same(self, other: LeaseHolder) -> bool:
        return (self.pid, self.host) == (other.pid, other.host)

    def stalled_sentence(
        self, what: str = "queue", result: str = "no process receives from it"
    ) -> str:
        """That it has stopped, where and since when, and what to do."""
        since = timestamps.iso(timestamps.now() - round(self.idle_seconds * 1000))
        where = f"on the host {self.host}, " if self.host else ""
        return (
            f"Process {self.pid} holds this {what}, {where}and has made no progress since "
            f"{since[:10]} {since[11:16]} UTC, so {result}; continue it there "
            f"(kill -CONT {self.pid}) or end it (kill -KILL {self.pid}): another one then takes "
            "over."
        )


def reaction_lease(name: str) -> str:
    """The name under which ``Store.lease`` gives the right to run a reaction."""
    return f"reaction:{name}"


def command_lease(queue: str) -> str:
    """The name under which ``Store.lease`` gives the right to put commands into a queue."""
    return f"commands:{queue}"
