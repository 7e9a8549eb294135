"""What deliveries of changes cost a server, once its viewers are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.processes import BenchmarkError, Process


@dataclass(frozen=True)
class Deliveries:
    """What the viewers of a group got, and what that took."""

    updates: int
    bytes: int
    cpu: float
    """Seconds of the server's CPU time."""

    @property
    def cost(self) -> float:
        """Microseconds of CPU per delivery."""
        return self.cpu / self.updates * 1e6


def of_changes(
    generator: Process,
    server: Process,
    group: str,
    viewers: int,
    changes: int,
    make: Callable[[], object],
    least: float = 0.5,
) -> Deliveries:
    """Let ``make`` make the changes, and wait until the group has them.

    Several may reach a viewer as one. Raises BenchmarkError if less than this share of them did, or
    if a connection was lost.
    """
    generator.ask(do="count", group=group, what="updates")
    used = server.cpu()
    make()
    counts = generator.ask(60, do="quiet", group=group)
    used = server.cpu() - used
    if counts["updates"] < least * changes * viewers or counts["lost"]:
        raise BenchmarkError(
            f"of {changes} changes {counts['updates'] / viewers:g} reached each viewer; "
            f"{counts['lost']} connections were lost"
        )
    return Deliveries(counts["updates"], counts["bytes"], used)
