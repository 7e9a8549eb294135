"""What is asked of devices: one row per command, from its beginning to past its end.

Rule: a transaction that writes here holds the row of the counters, so writers come one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from statecast.access.patterns import EVERYTHING, Patterns
from statecast.commands import life
from statecast.commands.life import Command, NewCommand
from statecast.stores import errors
from statecast.stores.command_row import COLUMNS, values_of
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.open_commands import DeviceBacklog, OpenCommands
from statecast.stores.postgres.driver import Connection, Cursor, only_row
from statecast.stores.retention import COMMAND_MS, COMMANDS_AT_ONCE, DEADLINES_AT_ONCE

NAMES = ", ".join(COLUMNS)
MARKS = ", ".join(["%s"] * len(COLUMNS))
IS_OPEN = "status IN ('waiting', 'delivered')"
OVERDUE = f"SELECT EXISTS (SELECT 1 FROM commands WHERE {IS_OPEN} AND expires_at <= %s)"
IS_READABLE = """(
    device = ANY(%s)
    OR EXISTS (
        SELECT 1 FROM unnest(%s::text[]) AS one (beginning) WHERE starts_with(device, beginning))
)"""
TO_TAKE = f"""
    SELECT EXISTS (SELECT 1 FROM commands WHERE device = %s AND {IS_OPEN} AND number > %s)"""
OF_DEVICE = f"SELECT count(*) FROM commands WHERE device = %s AND {IS_OPEN}"
OF_ALL = f"SELECT count(*) FROM commands WHERE {IS_OPEN}"
OF_ASKER = f"""
    SELECT count(*) FILTER (WHERE device = %s), count(*) FROM commands
    WHERE {IS_OPEN} AND asker = %s"""
WAITING = """
    SELECT commands.number, commands.device, devices.source
    FROM commands LEFT JOIN devices USING (device)
    WHERE commands.status = 'waiting' ORDER BY commands.number"""
OLD = f"""
    DELETE FROM commands WHERE number IN (
        SELECT number FROM commands
        WHERE NOT {IS_OPEN} AND created_at < %s ORDER BY created_at LIMIT {COMMANDS_AT_ONCE}
    )"""
SURPLUS = f"""
    DELETE FROM commands WHERE number IN (
        SELECT number FROM commands
        WHERE NOT {IS_OPEN} AND device = %(device)s AND number <= (
            SELECT number FROM commands WHERE device = %(device)s
            ORDER BY number DESC LIMIT 1 OFFSET %(most)s
        )
        ORDER BY number LIMIT {COMMANDS_AT_ONCE}
    )"""
BACKLOG = f"""
    SELECT device, count(*), min(created_at) FROM commands
    WHERE {IS_OPEN} GROUP BY device ORDER BY min(created_at), device COLLATE "C" LIMIT %s"""
INSERT = f"INSERT INTO commands ({NAMES}) VALUES ({MARKS})"
UPDATE = f"UPDATE commands SET ({NAMES}) = ROW({MARKS}) WHERE number = %s"


def open_ones(connection: Connection, limit: int) -> OpenCommands:
    """All that are not at an end."""
    number = number_in(connection, OF_ALL)
    found = connection.execute(BACKLOG, (limit,)).fetchall()
    return OpenCommands(number, [DeviceBacklog(*one) for one in found])


def ask_number(connection: Connection) -> Cursor:
    """Ask how many are not at an end."""
    return connection.execute(OF_ALL)


def begin(
    connection: Connection,
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
        known = read(connection, "WHERE key = %s", (new.key,))
        if known:
            return errors.same_request(known[0], new)
    errors.check_taken(new, takes)
    pass_deadlines(connection, counters, now, new.device)
    errors.check_open_commands(
        limits,
        new.device,
        number_in(connection, OF_DEVICE, (new.device,)),
        number_in(connection, OF_ALL),
    )
    if new.asker is not None:
        own = only_row(connection.execute(OF_ASKER, (new.device, new.asker)))
        errors.check_share(limits, new.device, *own)
    counters.command += 1
    command = Command.begin(new, counters.command, now)
    connection.execute(INSERT, values_of(command))
    return command


def hand_out(
    connection: Connection,
    counters: Counters,
    device: str,
    after: str | None,
    limit: int,
    now: int,
) -> list[Command]:
    """The open commands of a device after the one with the id ``after``, as handed out."""
    pass_deadlines(connection, counters, now, device)
    rest = f"WHERE device = %s AND {IS_OPEN} AND number > %s ORDER BY number LIMIT %s"
    found = read(connection, rest, (device, number_of(connection, after), limit))
    return [
        changed(connection, counters, one, life.hand_out(one, counters.command + 1, now))
        for one in found
    ]


def pass_deadlines(
    connection: Connection, counters: Counters, now: int, device: str | None = None
) -> list[Command]:
    """Note what came to its deadline: all of one device, or the next of all devices."""
    which = "device = %(device)s AND " if device is not None else ""
    rest = f"WHERE {which}{IS_OPEN} AND expires_at <= %(now)s ORDER BY number LIMIT %(most)s"
    most = DEADLINES_AT_ONCE if device is None else None
    found = read(connection, rest, {"device": device, "now": now, "most": most})
    return [
        changed(connection, counters, one, life.pass_deadline(one, counters.command + 1, now))
        for one in found
    ]


def changed_after(connection: Connection, change: int, limit: int) -> list[Command]:
    """The commands that changed after this one of their changes, by ascending change."""
    return read(connection, "WHERE change > %s ORDER BY change LIMIT %s", (change, limit))


def to_dispatch(
    connection: Connection, belongs: Callable[[str, str | None], bool], limit: int
) -> list[int]:
    """Numbers of waiting commands whose device and its source ``belongs`` takes, in their order."""
    chosen: list[int] = []
    for number, device, source in connection.execute(WAITING).fetchall():
        if len(chosen) < limit and belongs(device, source):
            chosen.append(number)
    return chosen


def begin_dispatch(connection: Connection, numbers: Sequence[int], now: int) -> list[Command]:
    """Note that these may be put into a queue from now on; the commands as they were before."""
    rest = "WHERE number = ANY(%s) AND status = 'waiting' AND expires_at > %s ORDER BY number"
    found = read(connection, rest, (list(numbers), now))
    save(connection, [life.begin_dispatch(one, now) for one in found])
    return found


def end_dispatch(
    connection: Connection,
    counters: Counters,
    put: Sequence[str],
    not_put: Sequence[str],
    now: int,
) -> None:
    """Note which commands were put into a queue, and which certainly were not."""
    for one in by_ids(connection, put).values():
        changed(connection, counters, one, life.hand_out(one, counters.command + 1, now))
    save(connection, map(life.cancel_dispatch, by_ids(connection, not_put).values()))


def any_to_take(connection: Connection, device: str, after: str | None) -> bool:
    """Whether ``hand_out`` has anything to do. It only reads, so an idle device costs no write."""
    asked = connection.execute(TO_TAKE, (device, number_of(connection, after)))
    return bool(only_row(asked)[0])


def overdue(connection: Connection, now: int) -> bool:
    """Whether any command came to its deadline and nothing says so yet."""
    return bool(only_row(connection.execute(OVERDUE, (now,)))[0])


def changed(connection: Connection, counters: Counters, before: Command, after: Command) -> Command:
    """Write what became of a command; nothing if it is as before."""
    if after is not before:
        counters.command = after.change
        save(connection, [after])
    return after


def save(connection: Connection, commands: Iterable[Command]) -> None:
    for command in commands:
        connection.execute(UPDATE, (*values_of(command), command.number))


def by_ids(connection: Connection, ids: Sequence[str]) -> dict[str, Command]:
    """Commands by their ids, of those that are known, in the order of ``ids``."""
    found = {one.id: one for one in read(connection, "WHERE id = ANY(%s)", (list(ids),))}
    return {id_: found[id_] for id_ in ids if id_ in found}


def newest(
    connection: Connection,
    device: str | None,
    before: int | None,
    limit: int,
    readable: Patterns,
) -> list[Command]:
    """Commands with numbers below ``before``, newest first, of one device or of all."""
    which, values = _of_devices(readable) if device is None else ("device = %s AND ", (device,))
    rest = f"WHERE {which}number < %s ORDER BY number DESC LIMIT %s"
    bound = 2**62 if before is None else before
    return read(connection, rest, (*values, bound, limit))


def _of_devices(readable: Patterns) -> tuple[str, tuple[Any, ...]]:
    """The condition for commands of devices that match, and its values."""
    if readable == EVERYTHING:
        return "", ()
    beginnings = [one[:-1] for one in readable if one.endswith("*")]
    return f"{IS_READABLE} AND ", (list(readable), beginnings)


def read(connection: Connection, rest: str, values: Any) -> list[Command]:
    found = connection.execute(f"SELECT {NAMES} FROM commands {rest}", values).fetchall()
    return [Command(*one) for one in found]


def number_of(connection: Connection, id_: str | None) -> int:
    """The number of a command; 0 for one that is not known, as after a restored backup."""
    return number_in(connection, "SELECT number FROM commands WHERE id = %s", (id_,)) if id_ else 0


def number_in(connection: Connection, sql: str, values: tuple[Any, ...] = ()) -> int:
    """The number that a query finds; 0 for no row."""
    found = connection.execute(sql, values).fetchone()
    return int(found[0]) if found is not None else 0


def forget(connection: Connection, device: str, most: int, age_from: int) -> None:
    """Delete old commands that are at their end: by age, and beyond a number of the device."""
    connection.execute(OLD, (age_from - COMMAND_MS,))
    connection.execute(SURPLUS, {"device": device, "most": most})
