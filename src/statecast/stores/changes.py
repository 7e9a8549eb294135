"""What a reader asks a store for, and what it gets: all that was committed after a cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from statecast.access.records import AccessRecord
from statecast.commands.life import Command
from statecast.model import Event, Position, Update, value_class

COMMANDS_PAGE = 256
"""Commands that one ``read`` returns: each may have 16 KiB."""


class ReadCursor(NamedTuple):
    """How far a reader has read each of the store's rising numbers."""

    offset: int = 0
    seen: int = 0
    event: int = 0
    command: int = -1
    """-1: from now on. The first command has the number 1."""
    watch: int = -1
    """-1: counts of viewers are not read; 0: all are."""
    access: int = -1
    """-1: users, keys, share links and sessions are not read; 0: all are."""


class WatchPart(NamedTuple):
    """One part of what the viewers of a serving process watch; see docs/design/presence.md."""

    process: str
    part: int
    counts: bytes
    """As JSON. It replaces what was known of this part."""


class WatchChanges(NamedTuple):
    """The parts that changed after a cursor."""

    processes: frozenset[str]
    """The processes that have parts; those of all others are void."""
    parts: Sequence[WatchPart]


@value_class
class Changes:
    """One consistent snapshot of everything that was committed after a cursor."""

    position: Position
    """The newest epoch, and the store's offset in this snapshot."""
    cursor: ReadCursor
    """For the next ``read``. Its offset is below ``position.offset`` if ``limit`` was reached."""
    updates: Sequence[Update] = ()
    """The latest state of each device that changed after the cursor, by ascending offset."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """device -> seen_at in ms, of devices that were seen without a new version."""
    events: Sequence[Event] = ()
    commands: Sequence[Command] = ()
    """The commands that changed after the cursor, as they are now, by ascending change: at most
    ``COMMANDS_PAGE``, the next ``read`` goes on."""
    watch: WatchChanges | None = None
    """What viewers watch; None: it is as it was at the cursor, or was not asked for."""
    access: Sequence[AccessRecord] = ()
    """The records that changed after the cursor, removed ones too, by ascending change; all of
    them if the store was set back. They hold for every update of this snapshot."""

    @property
    def has_all_commands(self) -> bool:
        """Whether there were no more commands than these."""
        return len(self.commands) < COMMANDS_PAGE


def commands_read(commands: Sequence[Command], newest: int) -> int:
    """Up to which change a page of commands goes, where ``newest`` is the store's newest one."""
    return commands[-1].change if len(commands) == COMMANDS_PAGE else newest


class ChangedNames(NamedTuple):
    """Devices that changed after an offset, without their states."""

    devices: Sequence[str]
    """By ascending offset, at most as many as were asked for. Some may have a damaged row."""
    offset: int
    """For the next ``read_names``; the store's offset, if these are all."""
