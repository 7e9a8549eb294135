"""The part of the store about commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from statecast.access.patterns import EVERYTHING, Patterns
from statecast.access.records import AuditEntry
from statecast.commands.life import Command, NewCommand
from statecast.stores import errors
from statecast.stores.leases import command_lease
from statecast.stores.open_commands import OpenCommands
from statecast.stores.sqlite import commands, devices
from statecast.stores.sqlite.part import SqlitePart


class SqliteCommandStore(SqlitePart):
    """See ``contract.Store``."""

    def begin_command(
        self,
        new: NewCommand,
        takes: Collection[str] | None = None,
        *,
        audit: AuditEntry | None = None,
    ) -> Command:
        """Ask something of a device; durable on return.

        Raises NotTaken, TooManyCommands, Refused.
        """
        with self._counted() as (connection, counters, now):
            newest = counters.command
            own = devices.commands_of(connection, self.rows, new.device)
            takes = takes if own is None else own
            command = commands.begin(connection, self.rows, counters, new, takes, self.limits, now)
            age_from = self._watch.age_from(now)
            commands.forget(connection, new.device, self.limits.commands_kept, age_from)
            if command.number > newest:  # a repeated request asks for nothing new
                self._note(connection, counters, audit, now)
        return command

    def hand_out(self, device: str, *, after: str | None = None, limit: int = 100) -> list[Command]:
        """The open commands of a device in their order, noted as handed out before it returns."""
        with self.database.read() as connection:
            if not commands.any_to_take(connection, device, after):
                return []
        with self._counted() as (connection, counters, now):
            return commands.hand_out(connection, self.rows, counters, device, after, limit, now)

    def begin_dispatch(
        self, queue: str, term: int, belongs: Callable[[str, str | None], bool], limit: int
    ) -> list[Command]:
        """Waiting commands of devices that ``belongs`` takes, as they are. Raises LeaseLost."""
        with self.database.read() as connection:
            if not commands.to_dispatch(connection, belongs, 1):
                return []
        with self._counted() as (connection, _, now):
            self._source(connection, command_lease(queue), term)
            numbers = commands.to_dispatch(connection, belongs, limit)
            return commands.begin_dispatch(connection, self.rows, numbers, now)

    def end_dispatch(
        self, queue: str, term: int, put: Sequence[str], not_put: Sequence[str]
    ) -> None:
        """Note what became of commands that ``begin_dispatch`` returned. Raises LeaseLost."""
        with self._counted() as (connection, counters, now):
            self._source(connection, command_lease(queue), term)
            commands.end_dispatch(connection, self.rows, counters, put, not_put, now)

    def pass_deadlines(self) -> list[Command]:
        """Note of each command whose deadline has passed what it became; they are returned."""
        with self.database.read() as connection:
            if not commands.overdue(connection, self.clock()):
                return []
        with self._counted() as (connection, counters, now):
            return commands.pass_deadlines(connection, self.rows, counters, now)

    def command(self, id_: str) -> Command:
        """One command. Raises NotFound."""
        with self.database.read() as connection:
            found = commands.by_ids(connection, self.rows, [id_])
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
        with self.database.read() as connection:
            return commands.newest(connection, self.rows, device, before, limit, readable)

    def open_commands(self, limit: int = 10) -> OpenCommands:
        """How many commands are not at an end, and up to ``limit`` devices that have some."""
        with self.database.read() as connection:
            return commands.open_ones(connection, limit)
