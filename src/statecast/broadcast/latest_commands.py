"""The commands that changed last, for viewers: so many that a page shows what waits for its device.

A viewer that was away gets those that it may have missed. What is older, it finds by REST.
"""

from __future__ import annotations

from collections.abc import Iterable

from statecast import strict_json
from statecast.broadcast.subscriptions import Audience
from statecast.commands import life
from statecast.commands.life import Command

KEPT = 200


class LatestCommands:
    """Commands as they are now, in the order of their last changes."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self.newest = 0
        """The newest change of a command."""

    def update(self, commands: Iterable[Command]) -> list[Command]:
        """Take over commands in ascending order of change; those that are news."""
        news = [one for one in commands if one.change > self.newest]
        for command in news:
            self._commands.pop(command.id, None)
            self._commands[command.id] = command
            self.newest = command.change
        while len(self._commands) > KEPT:
            del self._commands[next(iter(self._commands))]
        return news

    def changed_since(self, audience: Audience, change: int) -> list[Command]:
        """Those of the devices of an audience that changed after a change."""
        return [
            one
            for one in self._commands.values()
            if one.change > change and audience.matches(one.device)
        ]


def encoded(commands: Iterable[Command]) -> bytes:
    """The argument of a ``commands`` event."""
    return strict_json.encode(list(map(life.to_reader, commands)))
