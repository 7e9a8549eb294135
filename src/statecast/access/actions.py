"""What a route or an event needs."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What somebody may do."""

    READ = "read"
    """See states, history and commands."""
    COMMAND = "command"
    """Ask something of a device."""
    SEND = "send"
    """Act as a device: send its messages, take its commands, answer them."""
    WRITE = "write"
    """Set and remove states."""
    OPERATE = "operate"
    """See and use the operator's page, the quarantine and the metrics. It concerns no device."""
