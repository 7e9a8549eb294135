"""The epochs of a store: each process that writes begins one, and so does a server after a start.

A server that was promoted, restored or restarted may lack what another has acknowledged. Positions
of the time before must not be taken for its own, so its first commit begins an epoch.
"""

from __future__ import annotations

import uuid

from statecast.model import Position
from statecast.stores.counters import Counters
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.postgres import server
from statecast.stores.postgres.driver import Connection, Cursor, only_row
from statecast.stores.retention import MAX_EPOCHS

BEGIN = f"""
    INSERT INTO epochs (epoch, first_offset, server)
    SELECT %s, "offset" + 1, {server.IDENTITY} FROM counters"""
UNLESS_BEGUN = f"""{BEGIN}
    WHERE coalesce((SELECT server FROM epochs ORDER BY number DESC LIMIT 1), '')
        IS DISTINCT FROM {server.IDENTITY}"""
"""Another process may have done it since the counters were loaded."""
FORGET = "DELETE FROM epochs WHERE number <= (SELECT max(number) FROM epochs) - %s"
ALL = """
    SELECT epoch, first_offset,
        CASE WHEN set_back_at > clock_timestamp() - interval '1 day' THEN lacks END
    FROM epochs ORDER BY number"""
NOTE_SET_BACK = """
    UPDATE epochs SET set_back_at = clock_timestamp(), lacks = greatest(lacks, %s)
    WHERE number = (SELECT max(number) FROM epochs)"""
NEWEST = "(SELECT epoch FROM epochs ORDER BY number DESC LIMIT 1)"


def begin(connection: Connection, *, unless_begun: bool = False) -> None:
    """Begin an epoch with the next offset. The row of the counters must be held, and not be saved.

    With ``unless_begun`` only if the newest one began under another server.
    """
    sql = UNLESS_BEGUN if unless_begun else BEGIN
    connection.execute(sql.encode(), (uuid.uuid4().hex,))
    connection.execute(FORGET, (MAX_EPOCHS,))


def ask(connection: Connection) -> Cursor:
    return connection.execute(ALL)


def history(asked: Cursor, counters: Counters) -> EpochHistory:
    found = asked.fetchall()
    epochs = tuple((epoch, first) for epoch, first, _ in found)
    lacks = max((lacks for *_, lacks in found if lacks is not None), default=None)
    return EpochHistory(epochs or (("unknown", 1),), counters.forgotten, counters.offset, lacks)


def note_set_back(connection: Connection, lacks: int) -> None:
    """Keep with the newest epoch how many changes are gone."""
    connection.execute(NOTE_SET_BACK, (lacks,))


def ask_position(connection: Connection) -> Cursor:
    return connection.execute(f'SELECT {NEWEST}, "offset" FROM counters'.encode())


def position(asked: Cursor) -> Position:
    """The newest epoch and offset."""
    epoch, offset = only_row(asked)
    return Position(epoch or "unknown", offset)
