"""What becomes of commands: for viewers of their devices, and for listeners in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from statecast.broadcast.event_output import EventOutput
from statecast.broadcast.latest_commands import KEPT, LatestCommands, messages
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.progress import Progress
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience, Audiences
from statecast.commands.life import Command
from statecast.stores.contract import Store

KNOWN_COMMANDS = 10_000
"""Commands of the past that are read at the start: the place of a device is one of them."""


class CommandFeed:
    """The commands that changed last, and which viewers have them."""

    def __init__(self, audiences: Audiences, output: EventOutput, max_bytes: int) -> None:
        """``max_bytes``: of a message."""
        self.latest = LatestCommands()
        self.listeners: list[Callable[[Command], None]] = []
        self._audiences = audiences
        self._output = output
        self._max_bytes = max_bytes
        self._sent = Progress()
        """Changes of commands."""

    def begin(self, store: Store) -> None:
        """Take over the commands from before the start; there is no viewer yet."""
        known = sorted(store.commands(limit=KNOWN_COMMANDS), key=lambda one: one.change)
        self._tell_listeners(known)
        self.latest.update(known[-KEPT:])
        self._sent.end(self.latest.newest)

    def start_over(self) -> None:
        """The store was set back."""
        self.latest, self._sent = LatestCommands(), Progress()

    def reached(self, audience: Audience) -> int:
        """The last change that the up-to-date viewers of an audience have."""
        return self._sent.of(audience)

    def send(self, commands: Sequence[Command]) -> None:
        """Send what became of commands to up-to-date viewers of their devices."""
        news = self.latest.update(commands)
        self._tell_listeners(one.command for one in news)
        devices = list(dict.fromkeys(one.command.device for one in news))
        watching = self._audiences.watching(devices)
        for audience, watched in watching.items():
            of = set(watched)
            chosen = [one for one in news if one.command.device in of]
            compressible = self._output.compresses(audience, of)
            for change, message in messages(chosen, self._max_bytes):
                message.compressible = compressible
                self._sent.serve(audience, change)
                self._output.to_current(audience, message)
        self._sent.end(self.latest.newest)

    def send_missed(self, subscriber: Subscriber) -> None:
        """Send a viewer the newest commands of its devices that it may not have."""
        known, newest = subscriber.command, self.latest.newest
        if known == newest:
            return
        for change, message in self._missed(subscriber.audience, known, newest):
            subscriber.command = change
            self._output.to_one(subscriber.viewer, message)
            if subscriber.paused:
                return
        subscriber.command = newest

    def _missed(
        self, audience: Audience, known: int, newest: int
    ) -> Sequence[tuple[int, OutgoingMessage]]:
        """What changed between two changes. Several viewers of an audience share the messages."""
        if audience.missed_commands is not None and audience.missed_commands[0] == (known, newest):
            return audience.missed_commands[1]
        missed = self.latest.changed_since(audience, known)
        made = list(messages(missed, self._max_bytes))
        audience.missed_commands = ((known, newest), made) if audience.size > 1 else None
        return made

    def _tell_listeners(self, commands: Iterable[Command]) -> None:
        for command in commands:
            for listener in self.listeners:
                listener(command)
