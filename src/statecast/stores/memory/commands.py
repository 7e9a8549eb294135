"""What is asked of devices, in a dict."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from statecast.commands import life
from statecast.commands.life import Command, NewCommand
from statecast.stores import errors
from statecast.stores.counters import Counters
from statecast.stores.retention import COMMAND_MS


class MemoryCommands:
    """Every command by its number. The caller holds the lock of the store."""

    def __init__(self) -> None:
        self._commands: dict[int, Command] = {}

    def begin(
        self,
        counters: Counters,
        new: NewCommand,
        takes: Collection[str] | None,
        most: int,
        now: int,
    ) -> Command:
        """Keep a new command. Raises NotTaken, TooManyCommands, Refused."""
        if new.key is not None:
            for one in self._commands.values():
                if one.key == new.key:
                    return errors.same_request(one, new)
        errors.check_taken(new, takes)
        self.pass_deadlines(counters, now, new.device)
        if len([one for one in self._of(new.device) if one.is_open]) >= most:
            raise errors.too_many_commands(new.device, most)
        counters.command += 1
        command = self._commands[counters.command] = Command.begin(new, counters.command, now)
        return command

    def hand_out(
        self, counters: Counters, device: str, after: str | None, limit: int, now: int
    ) -> list[Command]:
        """The open commands of a device after the one with the id ``after``, as handed out."""
        self.pass_deadlines(counters, now, device)
        known = [one.number for one in self._commands.values() if one.id == after]
        number = known[0] if known else 0
        found = [one for one in self._of(device) if one.is_open and one.number > number]
        return [
            self._changed(counters, one, life.hand_out(one, counters.command + 1, now))
            for one in found[:limit]
        ]

    def pass_deadlines(
        self, counters: Counters, now: int, device: str | None = None
    ) -> list[Command]:
        """Note what came to its deadline, of one device or of all."""
        return [
            self._changed(counters, one, life.pass_deadline(one, counters.command + 1, now))
            for one in self._of(device)
            if one.is_overdue(now)
        ]

    def changed_after(self, change: int) -> list[Command]:
        """The commands that changed after this one of their changes; -1: none."""
        found = [one for one in self._commands.values() if one.change > change >= 0]
        return sorted(found, key=lambda one: one.change)

    def by_ids(self, ids: Iterable[str]) -> dict[str, Command]:
        """Commands by their ids, of those that are known."""
        wanted = set(ids)
        return {one.id: one for one in self._commands.values() if one.id in wanted}

    def newest(self, device: str | None, before: int | None, limit: int) -> list[Command]:
        """Commands with numbers below ``before``, newest first, of one device or of all."""
        found = [one for one in self._of(device) if before is None or one.number < before]
        return found[::-1][:limit]

    def save(self, commands: Iterable[Command]) -> None:
        """Keep what became of commands."""
        for command in commands:
            self._commands[command.number] = command

    def forget(self, device: str, most: int, age_from: int) -> None:
        """Delete old commands that are at their end: by age, and beyond a number per device."""
        of_device = [one.number for one in self._of(device)]
        kept = of_device[-most:]
        for one in list(self._commands.values()):
            too_many = one.device == device and one.number < kept[0]
            if not one.is_open and (too_many or one.created_at < age_from - COMMAND_MS):
                del self._commands[one.number]

    def _of(self, device: str | None) -> list[Command]:
        return [one for one in self._commands.values() if device in (None, one.device)]

    def _changed(self, counters: Counters, before: Command, after: Command) -> Command:
        if after is not before:
            counters.command = after.change
            self._commands[after.number] = after
        return after
