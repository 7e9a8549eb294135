"""Which device has which command queue. Pure.

Rule: a device with a command queue takes its commands from there and nowhere else. With two ways
each command would come twice, and ``delivered`` would not say where to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from statecast import names
from statecast.model import value_class


@value_class
class CommandRoutes:
    """The URLs of command queues by what they are for."""

    by_pattern: Mapping[str, str] = field(default_factory=dict)
    """The setting ``command_queues``; the first pattern that matches decides."""
    by_source: Mapping[str, str] = field(default_factory=dict)
    """The option ``commands`` of sources, by the name of the source."""

    @property
    def queues(self) -> list[str]:
        """Every queue once."""
        return list(dict.fromkeys([*self.by_pattern.values(), *self.by_source.values()]))

    def queue_of(self, device: str, source: str | None) -> str | None:
        """The queue of a device; ``source`` is that of its own newest message."""
        for pattern, url in self.by_pattern.items():
            if names.match(pattern, device):
                return url
        return self.by_source.get(source or "")
