"""The commands that changed last, for viewers: so many that a page shows what waits for its device.

A viewer that was away gets those that it may have missed. What is older, it finds by REST.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from statecast import strict_json
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriptions import Audience
from statecast.commands import life
from statecast.commands.life import Command

KEPT = 200


class ShownCommand(NamedTuple):
    """A command, encoded once: many viewers may ask for it, and its arguments may be long."""

    command: Command
    json: bytes


class LatestCommands:
    """Commands as they are now, in the order of their last changes."""

    def __init__(self) -> None:
        self._commands: dict[str, ShownCommand] = {}
        self.newest = 0
        """The newest change of a command."""

    def update(self, commands: Iterable[Command]) -> list[ShownCommand]:
        """Take over commands in ascending order of change; those that are news."""
        news = [
            ShownCommand(one, strict_json.encode(life.to_reader(one)))
            for one in commands
            if one.change > self.newest
        ]
        for shown in news:
            self._commands.pop(shown.command.id, None)
            self._commands[shown.command.id] = shown
            self.newest = shown.command.change
        while len(self._commands) > KEPT:
            del self._commands[next(iter(self._commands))]
        return news

    def changed_since(self, audience: Audience, change: int) -> list[ShownCommand]:
        """Those of the devices of an audience that changed after a change."""
        return [
            one
            for one in self._commands.values()
            if one.command.change > change and audience.matches(one.command.device)
        ]


def messages(
    commands: Iterable[ShownCommand], max_bytes: int
) -> Iterator[tuple[int, OutgoingMessage]]:
    """``commands`` events of at most ``max_bytes``, each with the newest change in it.

    One command that is larger comes alone.
    """
    part: list[ShownCommand] = []
    size = 1
    for one in commands:
        if part and size + len(one.json) + 1 > max_bytes:
            yield _message(part)
            part, size = [], 1
        part.append(one)
        size += len(one.json) + 1
    if part:
        yield _message(part)


def _message(part: Sequence[ShownCommand]) -> tuple[int, OutgoingMessage]:
    payload = b"[" + b",".join(one.json for one in part) + b"]"
    return part[-1].command.change, OutgoingMessage("commands", payload)
