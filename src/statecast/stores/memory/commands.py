"""What is asked of devices, in dicts: no question looks at commands that do not concern it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, takewhile

from statecast.access.patterns import Patterns, any_covers
from statecast.commands import life
from statecast.commands.life import Command, NewCommand
from statecast.stores import errors
from statecast.stores.counters import Counters
from statecast.stores.forgotten_names import FORGOTTEN
from statecast.stores.limits import Limits
from statecast.stores.open_commands import DeviceBacklog, OpenCommands
from statecast.stores.retention import COMMAND_MS

Numbers = dict[int, None]
"""A set in the order of its insertion."""


class MemoryCommands:
    """Every command by its number. The caller holds the lock of the store."""

    def __init__(self) -> None:
        self._commands: dict[int, Command] = {}
        self._of_device: defaultdict[str, Numbers] = defaultdict(dict)
        self._open: Numbers = {}
        self._by_id: dict[str, int] = {}
        self._by_key: dict[str, int] = {}
        self._by_change: dict[int, int] = {}
        """Numbers in the order of the last changes."""

    def begin(
        self,
        counters: Counters,
        new: NewCommand,
        takes: Collection[str] | None,
        limits: Limits,
        now: int,
    ) -> Command:
        """Keep a new command. Raises NotTaken, TooManyCommands, Refused."""
        if new.key is not None and new.key in self._by_key:
            return errors.same_request(self._commands[self._by_key[new.key]], new)
        errors.check_taken(new, takes)
        self.pass_deadlines(counters, now, new.device)
        open_ones = sum(1 for _ in self._open_of(new.device))
        errors.check_open_commands(limits, new.device, open_ones, len(self._open))
        if new.asker is not None:
            own = [one for n in self._open if (one := self._commands[n]).asker == new.asker]
            of_device = sum(one.device == new.device for one in own)
            errors.check_share(limits, new.device, of_device, len(own))
        counters.command += 1
        command = Command.begin(new, counters.command, now)
        self._keep(command)
        return command

    def hand_out(
        self, counters: Counters, device: str, after: str | None, limit: int, now: int
    ) -> list[Command]:
        """The open commands of a device after the one with the id ``after``, as handed out."""
        self.pass_deadlines(counters, now, device)
        number = self._by_id.get(after or "", 0)
        found = [one for one in self._open_of(device) if one.number > number]
        return [
            self._changed(counters, one, life.hand_out(one, counters.command + 1, now))
            for one in found[:limit]
        ]

    def begin_dispatch(self, takes: Callable[[str], bool], limit: int, now: int) -> list[Command]:
        """Note that waiting commands may be put into a queue; the commands as they were."""
        waiting = (
            one
            for number in self._open
            if (one := self._commands[number]).status == "waiting"
            and not one.is_overdue(now)
            and takes(one.device)
        )
        found = list(islice(waiting, limit))
        self.save(life.begin_dispatch(one, now) for one in found)
        return found

    def end_dispatch(
        self, counters: Counters, put: Sequence[str], not_put: Sequence[str], now: int
    ) -> None:
        """Note which commands were put into a queue, and which certainly were not."""
        for one in self.by_ids(put).values():
            self._changed(counters, one, life.hand_out(one, counters.command + 1, now))
        self.save(map(life.cancel_dispatch, self.by_ids(not_put).values()))

    def pass_deadlines(
        self, counters: Counters, now: int, device: str | None = None
    ) -> list[Command]:
        """Note what came to its deadline, of one device or of all."""
        open_ones = self._open_of(device) if device is not None else self._all(self._open)
        return [
            self._changed(counters, one, life.pass_deadline(one, counters.command + 1, now))
            for one in [one for one in open_ones if one.is_overdue(now)]
        ]

    def changed_after(self, change: int, limit: int) -> list[Command]:
        """The commands that changed after this one of their changes; -1: none."""
        if change < 0:
            return []
        found: list[Command] = []
        for newer, number in reversed(self._by_change.items()):
            if newer <= change:
                break
            found.append(self._commands[number])
        return found[::-1][:limit]

    def by_ids(self, ids: Iterable[str]) -> dict[str, Command]:
        """Commands by their ids, of those that are known."""
        return {id_: self._commands[self._by_id[id_]] for id_ in ids if id_ in self._by_id}

    def newest(
        self, device: str | None, before: int | None, limit: int, readable: Patterns
    ) -> list[Command]:
        """Commands with numbers below ``before``, newest first, of one device or of all."""
        numbers = self._commands if device is None else self._of_device.get(device, {})
        older = (number for number in reversed(numbers) if before is None or number < before)
        found = self._all(older)
        if device is None:
            found = (one for one in found if any_covers(readable, one.device))
        return list(islice(found, limit))

    def open_ones(self, limit: int) -> OpenCommands:
        """How many are not at an end, and the devices whose oldest one is oldest."""
        found: dict[str, DeviceBacklog] = {}
        for one in self._all(self._open):
            known = found.get(one.device, DeviceBacklog(one.device, 0, one.created_at))
            since = min(known.since, one.created_at)
            found[one.device] = DeviceBacklog(one.device, known.open + 1, since)
        oldest = sorted(found.values(), key=lambda of: (of.since, of.device))
        return OpenCommands(len(self._open), oldest[:limit])

    def save(self, commands: Iterable[Command]) -> None:
        """Keep what became of commands."""
        for command in commands:
            self._keep(command)

    def forget(self, device: str, most: int, age_from: int) -> None:
        """Delete old commands that are at their end: by age, and beyond a number per device."""
        oldest = takewhile(
            lambda one: one.created_at < age_from - COMMAND_MS, self._all(self._commands)
        )
        for one in list(oldest):
            self._drop(one)
        numbers = self._of_device[device]
        for one in list(self._all(islice(numbers, max(0, len(numbers) - most)))):
            self._drop(one)

    def forget_device(self, device: str) -> int:
        """Delete all of a device, whatever became of them; how many."""
        found = list(self._all(self._of_device.get(device, ())))
        for one in found:
            self._open.pop(one.number, None)
            self._delete(one)
        return len(found)

    def forget_person(self, name: str, senders: Mapping[str, str]) -> int:
        """Leave out who asked, where it was this person or one of these senders; of how many."""
        changed = 0
        for number, one in self._commands.items():
            by = FORGOTTEN if one.by == name or one.by in senders else one.by
            asker = senders.get(one.asker or "", one.asker)
            if (by, asker) != (one.by, one.asker):
                self._commands[number] = replace(one, by=by, asker=asker)
                changed += 1
        return changed

    def _all(self, numbers: Iterable[int]) -> Iterator[Command]:
        return (self._commands[number] for number in numbers)

    def _open_of(self, device: str) -> Iterator[Command]:
        found = self._all(self._of_device.get(device, ()))
        return (one for one in found if one.is_open)

    def _changed(self, counters: Counters, before: Command, after: Command) -> Command:
        if after is not before:
            counters.command = after.change
            self._keep(after)
        return after

    def _keep(self, command: Command) -> None:
        before = self._commands.get(command.number)
        if before is not None and before.change != command.change:
            del self._by_change[before.change]
        self._commands[command.number] = command
        self._by_change[command.change] = command.number
        self._of_device[command.device][command.number] = None
        self._by_id[command.id] = command.number
        if command.key is not None:
            self._by_key[command.key] = command.number
        if command.is_open:
            self._open[command.number] = None
        else:
            self._open.pop(command.number, None)

    def _drop(self, command: Command) -> None:
        """Forget a command, if it is at its end."""
        if not command.is_open:
            self._delete(command)

    def _delete(self, command: Command) -> None:
        del self._commands[command.number], self._by_change[command.change]
        del self._by_id[command.id], self._of_device[command.device][command.number]
        if command.key is not None:
            del self._by_key[command.key]
