"""A store in dicts for the broadcaster: it forgets, restarts and is restored when a test asks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from statecast import names, strict_json
from statecast.commands.life import Command, Status
from statecast.commands.request import new_command
from statecast.model import Cause, Event, Position, Update
from statecast.problems import Problems
from statecast.stores.changes import Changes, ReadCursor
from statecast.stores.epoch_history import EpochHistory
from statecast.testing.values import START

CAUSE = Cause("queue", "m1", "device")
Backup = tuple[dict[str, Update], tuple[tuple[str, int], ...], int, int]
Shown = dict[str, tuple[int, Any, int | None]]
"""device -> (version, state, seen_at), as a page shows it."""


class FakeStore:
    """States, epochs, sightings and events."""

    def __init__(self) -> None:
        self.latest: dict[str, Update] = {}
        self.versions: list[Update] = []
        """Every version that was committed."""
        self.sightings: dict[str, int] = {}
        self.epochs: tuple[tuple[str, int], ...] = (("e1", 1),)
        self.offset = self.seen = self.forgotten = self.event = 0
        self.began = 1
        self.now = START
        self.problems = Problems(lambda: self.now)
        self.events: dict[int, Event] = {}
        self.asked: dict[str, Command] = {}
        self.command = 0

    def commit(self, device: str, state: dict[str, Any] | None, source: str = "queue") -> None:
        """A new version; None removes the device."""
        before = self.latest.get(device)
        self.offset += 1
        version = before.version + 1 if before else 1
        encoded = None if state is None else strict_json.encode(state)
        at = self._tick()
        cause = replace(CAUSE, id=f"m{self.offset}")
        self.latest[device] = Update(
            device, version, self.offset, encoded, at, at, cause, source=source
        )
        self.versions.append(self.latest[device])

    def see(self, device: str) -> None:
        """A message of the device that makes no version."""
        before = self.latest.get(device)
        if before is not None:
            self.seen += 1
            self.latest[device] = replace(before, seen_at=self._tick())
            self.sightings[device] = self.seen

    def ask(self, device: str) -> str:
        """A new command of a device; its id."""
        self.command += 1
        command = Command.begin(new_command(device, "hug"), self.command, self.now)
        self.asked[command.id] = command
        return command.id

    def become(self, id_: str, status: Status) -> None:
        """What becomes of a command."""
        self.command += 1
        self.asked[id_] = replace(self.asked[id_], status=status, change=self.command)

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def emit(self, name: str) -> None:
        self.event += 1
        self.events[self.event] = Event("/", name)

    def forget(self) -> None:
        """Forget the tombstones."""
        for device, update in list(self.latest.items()):
            if update.state is None:
                del self.latest[device]
                self.forgotten = max(self.forgotten, update.offset)

    def restart(self) -> None:
        self.began += 1
        self.epochs = (*self.epochs, (f"e{self.began}", self.offset + 1))

    def backup(self) -> Backup:
        return dict(self.latest), self.epochs, self.offset, self.forgotten

    def restore(self, backup: Backup) -> None:
        latest, self.epochs, self.offset, self.forgotten = backup
        self.latest = dict(latest)
        self.restart()

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        updates = sorted(
            (one for one in self.latest.values() if one.offset > after.offset),
            key=lambda one: one.offset,
        )
        seen = {
            device: self.latest[device].seen_at or 0
            for device, number in self.sightings.items()
            if number > after.seen
            and device in self.latest
            and self.latest[device].offset <= after.offset
        }
        known = after.event or self.event
        events = [event for number, event in self.events.items() if number > known]
        position = Position(self.epochs[-1][0], self.offset)
        changed = [one for one in self.asked.values() if one.change > after.command >= 0]
        return Changes(
            position,
            ReadCursor(self.offset, self.seen, self.event, self.command),
            updates,
            seen,
            events,
            sorted(changed, key=lambda one: one.change),
        )

    def commands(
        self, device: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> list[Command]:
        return sorted(self.asked.values(), key=lambda one: -one.number)[:limit]

    def epoch_history(self) -> EpochHistory:
        return EpochHistory(self.epochs, self.forgotten, self.offset)

    def shown(self, patterns: list[str]) -> Shown:
        """What a page that watches ``patterns`` must show."""
        return {
            device: (one.version, json.loads(one.state), one.seen_at)
            for device, one in self.latest.items()
            if one.state is not None and any(names.match(pattern, device) for pattern in patterns)
        }
