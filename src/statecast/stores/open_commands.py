"""How many commands are not at an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class DeviceBacklog(NamedTuple):
    """The commands of a device that are not at an end."""

    device: str
    open: int
    since: int
    """When the oldest of them was given, in ms."""


class OpenCommands(NamedTuple):
    """All commands that are not at an end."""

    number: int = 0
    devices: Sequence[DeviceBacklog] = ()
    """Of the devices, those whose oldest command is oldest, the oldest first."""
