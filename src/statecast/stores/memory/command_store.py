"""The part of the store about commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from statecast.access.patterns import EVERYTHING, Patterns
from statecast.access.records import AuditEntry
from statecast.commands.life import Command, NewCommand
from statecast.stores import errors
from statecast.stores.leases import command_lease
from statecast.stores.memory.part import MemoryPart
from statecast.stores.open_commands import OpenCommands


class MemoryCommandStore(MemoryPart):
    """See ``contract.Store``."""

    def begin_command(
        self,
        new: NewCommand,
        takes: Collection[str] | None = None,
        *,
        audit: AuditEntry | None = None,
    ) -> Command:
        """Ask something of a device. Raises NotTaken, TooManyCommands, Refused."""
        with self._lock:
            now, newest = self._watch.check(self._counters), self._counters.command
            known = self._devices.get(new.device)
            if known is not None and known.record.commands is not None:
                takes = known.record.commands
            command = self._commands.begin(self._counters, new, takes, self.limits, now)
            age_from = self._watch.age_from(now)
            self._commands.forget(new.device, self.limits.commands_kept, age_from)
            if command.number > newest:  # a repeated request asks for nothing new
                self._access.note(audit, now)
        self._notifier.notify()
        return command

    def hand_out(self, device: str, *, after: str | None = None, limit: int = 100) -> list[Command]:
        """The open commands of a device in their order, noted as handed out."""
        with self._lock:
            now = self._watch.check(self._counters)
            found = self._commands.hand_out(self._counters, device, after, limit, now)
        self._notifier.notify()
        return found

    def begin_dispatch(
        self, queue: str, term: int, belongs: Callable[[str, str | None], bool], limit: int
    ) -> list[Command]:
        """Waiting commands of devices that ``belongs`` takes, as they are. Raises LeaseLost."""

        def takes(device: str) -> bool:
            known = self._devices.get(device)
            return belongs(device, None if known is None else known.record.source)

        with self._lock:
            self._check_term(command_lease(queue), term)
            return self._commands.begin_dispatch(takes, limit, self._watch.check(self._counters))

    def end_dispatch(
        self, queue: str, term: int, put: Sequence[str], not_put: Sequence[str]
    ) -> None:
        """Note what became of commands that ``begin_dispatch`` returned. Raises LeaseLost."""
        with self._lock:
            self._check_term(command_lease(queue), term)
            now = self._watch.check(self._counters)
            self._commands.end_dispatch(self._counters, put, not_put, now)
        self._notifier.notify()

    def pass_deadlines(self) -> list[Command]:
        """Note of each command whose deadline has passed what it became; they are returned."""
        with self._lock:
            now = self._watch.check(self._counters)
            found = self._commands.pass_deadlines(self._counters, now)
        if found:
            self._notifier.notify()
        return found

    def command(self, id_: str) -> Command:
        """One command. Raises NotFound."""
        with self._lock:
            found = self._commands.by_ids([id_])
        if not found:
            raise errors.no_command(id_)
        return found[id_]

    def commands(
        self,
        device: str | None = None,
        *,
        before: int | None = None,
        limit: int = 50,
        readable: Patterns = EVERYTHING,
    ) -> list[Command]:
        """Commands with numbers below ``before``, newest first, of one device or of all."""
        with self._lock:
            return self._commands.newest(device, before, limit, readable)

    def open_commands(self, limit: int = 10) -> OpenCommands:
        """How many commands are not at an end, and up to ``limit`` devices that have some."""
        with self._lock:
            return self._commands.open_ones(limit)
