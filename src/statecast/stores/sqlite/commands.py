"""What is asked of devices: one row per command, from its beginning to past its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import apsw

from statecast import strict_json
from statecast.access.patterns import EVERYTHING, Patterns
from statecast.commands import life
from statecast.commands.life import Command, NewCommand
from statecast.stores import errors
from statecast.stores.command_row import values_of
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.open_commands import DeviceBacklog, OpenCommands
from statecast.stores.retention import COMMAND_MS, COMMANDS_AT_ONCE, DEADLINES_AT_ONCE
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import Row, sealed, table

COMMANDS = table("commands")
IS_OPEN = "status IN ('waiting', 'delivered')"
OF_ASKER = f"""
    SELECT count(*) FILTER (WHERE device = ?), count(*) FROM commands
    WHERE {IS_OPEN} AND asker = ?"""  # noqa: S608
OVERDUE = f"""
    SELECT EXISTS (SELECT 1 FROM commands WHERE {IS_OPEN} AND expires_at <= ?)"""  # noqa: S608
IS_READABLE = """(
    device IN (SELECT value FROM json_each(?))
    OR EXISTS (SELECT 1 FROM json_each(?) WHERE commands.device GLOB value)
)"""
TO_TAKE = f"""
    SELECT EXISTS (
        SELECT 1 FROM commands WHERE device = ? AND {IS_OPEN} AND number > ?
    )"""  # noqa: S608
WAITING = """
    SELECT commands.number, commands.device, devices.source
    FROM commands LEFT JOIN devices USING (device)
    WHERE commands.status = 'waiting' ORDER BY commands.number"""
OLD = f"""
    DELETE FROM commands WHERE number IN (
        SELECT number FROM commands
        WHERE NOT {IS_OPEN} AND created_at < ? ORDER BY created_at LIMIT {COMMANDS_AT_ONCE}
    )"""  # noqa: S608
SURPLUS = f"""
    DELETE FROM commands WHERE number IN (
        SELECT number FROM commands
        WHERE NOT {IS_OPEN} AND device = ? AND number <= (
            SELECT number FROM commands WHERE device = ? ORDER BY number DESC LIMIT 1 OFFSET ?
        )
        ORDER BY number LIMIT {COMMANDS_AT_ONCE}
    )"""  # noqa: S608


BACKLOG = f"""
    SELECT CAST(device AS BLOB), count(*), min(created_at) FROM commands
    WHERE {IS_OPEN} AND typeof(created_at) = 'integer'
    GROUP BY device ORDER BY min(created_at), device LIMIT ?"""  # noqa: S608


def open_ones(connection: apsw.Connection, limit: int) -> OpenCommands:
    """All that are not at an end. Rows are not checked: no command is shown."""
    of_all = f"SELECT count(*) FROM commands WHERE {IS_OPEN}"  # noqa: S608
    found = rows(connection, BACKLOG, (limit,))
    devices = [
        DeviceBacklog((device or b"").decode("utf-8", "replace"), number, since)
        for device, number, since in found
    ]
    return OpenCommands(first(connection, of_all)[0], devices)


def begin(
    connection: apsw.Connection,
    reader: RowReader,
    counters: Counters,
    new: NewCommand,
    takes: Collection[str] | None,
    limits: Limits,
    now: int,
) -> Command:
    """Write a new command; the known one, if its request was repeated.

    Raises NotTaken for one that is not among those that the device ``takes``, TooManyCommands, and
    Refused for another request with the same key.
    """
    if new.key is not None:
        known = read(connection, reader, "WHERE key = ?", (new.key,))
        if known:
            return errors.same_request(known[0], new)
    errors.check_taken(new, takes)
    pass_deadlines(connection, reader, counters, now, new.device)
    of_device = f"SELECT count(*) FROM commands WHERE device = ? AND {IS_OPEN}"  # noqa: S608
    of_all = f"SELECT count(*) FROM commands WHERE {IS_OPEN}"  # noqa: S608
    errors.check_open_commands(
        limits,
        new.device,
        first(connection, of_device, (new.device,))[0],
        first(connection, of_all)[0],
    )
    if new.asker is not None:
        own = first(connection, OF_ASKER, (new.device, new.asker))
        errors.check_share(limits, new.device, *own)
    counters.command += 1
    command = Command.begin(new, counters.command, now)
    try:
        rows(connection, COMMANDS.insert, row_of(command))
    except apsw.ConstraintError:
        # No number or id is given out twice, so the row that is in the way is damaged.
        rows(connection, COMMANDS.replace, row_of(command))
    return command


def hand_out(
    connection: apsw.Connection,
    reader: RowReader,
    counters: Counters,
    device: str,
    after: str | None,
    limit: int,
    now: int,
) -> list[Command]:
    """The open commands of a device after the one with the id ``after``, as handed out."""
    pass_deadlines(connection, reader, counters, now, device)
    which = f"WHERE device = ? AND {IS_OPEN} AND number > {number_of(connection, after)}"
    found = read(connection, reader, f"{which} ORDER BY number LIMIT ?", (device, limit))
    return [
        changed(connection, counters, one, life.hand_out(one, counters.command + 1, now))
        for one in found
    ]


def pass_deadlines(
    connection: apsw.Connection,
    reader: RowReader,
    counters: Counters,
    now: int,
    device: str | None = None,
) -> list[Command]:
    """Note what came to its deadline: all of one device, or the next of all devices."""
    which, values = ("", ()) if device is None else ("device = ? AND ", (device,))
    # The plus keeps SQLite from reading the whole table in this order.
    rest = f"WHERE {which}{IS_OPEN} AND expires_at <= ? ORDER BY +number LIMIT ?"
    limit = DEADLINES_AT_ONCE if device is None else -1
    found = read(connection, reader, rest, (*values, now, limit))
    return [
        changed(connection, counters, one, life.pass_deadline(one, counters.command + 1, now))
        for one in found
    ]


def changed_after(
    connection: apsw.Connection, reader: RowReader, change: int, limit: int
) -> list[Command]:
    """The commands that changed after this one of their changes, by ascending change."""
    rest = "WHERE change > ? ORDER BY change LIMIT ?"
    return read(connection, reader, rest, (change, limit))


def to_dispatch(
    connection: apsw.Connection, belongs: Callable[[str, str | None], bool], limit: int
) -> list[int]:
    """Numbers of waiting commands whose device and its source ``belongs`` takes, in their order."""
    chosen: list[int] = []
    for number, device, source in rows(connection, WAITING):
        if len(chosen) < limit and isinstance(device, str) and belongs(device, source):
            chosen.append(number)
    return chosen


def begin_dispatch(
    connection: apsw.Connection, reader: RowReader, numbers: Iterable[int], now: int
) -> list[Command]:
    """Note that these may be put into a queue from now on; the commands as they were before."""
    found: list[Command] = []
    for number in numbers:
        rest = "WHERE number = ? AND status = 'waiting' AND expires_at > ?"
        found += read(connection, reader, rest, (number, now))
    save(connection, [life.begin_dispatch(one, now) for one in found])
    return found


def end_dispatch(
    connection: apsw.Connection,
    reader: RowReader,
    counters: Counters,
    put: Sequence[str],
    not_put: Sequence[str],
    now: int,
) -> None:
    """Note which commands were put into a queue, and which certainly were not."""
    for one in by_ids(connection, reader, put).values():
        changed(connection, counters, one, life.hand_out(one, counters.command + 1, now))
    save(connection, map(life.cancel_dispatch, by_ids(connection, reader, not_put).values()))


def any_to_take(connection: apsw.Connection, device: str, after: str | None) -> bool:
    """Whether ``hand_out`` has anything to do. It only reads, so an idle device costs no write."""
    return bool(first(connection, TO_TAKE, (device, number_of(connection, after)))[0])


def overdue(connection: apsw.Connection, now: int) -> bool:
    """Whether any command came to its deadline and nothing says so yet."""
    return bool(first(connection, OVERDUE, (now,))[0])


def changed(
    connection: apsw.Connection, counters: Counters, before: Command, after: Command
) -> Command:
    """Write what became of a command; nothing if it is as before."""
    if after is not before:
        counters.command = after.change
        save(connection, [after])
    return after


def save(connection: apsw.Connection, commands: Iterable[Command]) -> None:
    for command in commands:
        rows(connection, COMMANDS.update, (*row_of(command), command.number))


def by_ids(
    connection: apsw.Connection, reader: RowReader, ids: Sequence[str]
) -> dict[str, Command]:
    """Commands by their ids, of those that are known."""
    found = [read(connection, reader, "WHERE id = ?", (id_,)) for id_ in ids]
    return {one.id: one for several in found for one in several}


def newest(
    connection: apsw.Connection,
    reader: RowReader,
    device: str | None,
    before: int | None,
    limit: int,
    readable: Patterns,
) -> list[Command]:
    """Commands with numbers below ``before``, newest first, of one device or of all."""
    which, values = _of_devices(readable) if device is None else ("device = ? AND ", (device,))
    rest = f"WHERE {which}number < ? ORDER BY number DESC LIMIT ?"
    bound = 2**62 if before is None else before
    return read(connection, reader, rest, (*values, bound, limit))


def _of_devices(readable: Patterns) -> tuple[str, tuple[str, ...]]:
    """The condition for commands of devices that match, and its values.

    To GLOB, a pattern means what it means to us: names have none of its other characters.
    """
    if readable == EVERYTHING:
        return "", ()
    wide = [one for one in readable if one.endswith("*")]
    exact = [one for one in readable if not one.endswith("*")]
    return f"{IS_READABLE} AND ", (
        strict_json.encode(exact).decode(),
        strict_json.encode(wide).decode(),
    )


def read(
    connection: apsw.Connection, reader: RowReader, rest: str, values: Sequence[int | str | None]
) -> list[Command]:
    found = reader.rows(connection, COMMANDS, rest, tuple(values))
    return [Command(*row[:-1]) for row in found]


def number_of(connection: apsw.Connection, id_: str | None) -> int:
    """The number of a command; 0 for one that is not known, as after a restored backup."""
    found = rows(connection, "SELECT number FROM commands WHERE id = ?", (id_,)) if id_ else []
    return int(found[0][0]) if found and type(found[0][0]) is int else 0


def forget(connection: apsw.Connection, device: str, most: int, age_from: int) -> None:
    """Delete old commands that are at their end: by age, and beyond a number of the device."""
    rows(connection, OLD, (age_from - COMMAND_MS,))
    rows(connection, SURPLUS, (device, device, most))


def row_of(one: Command) -> Row:
    """The columns of a row, with the checksum."""
    return sealed(values_of(one))
