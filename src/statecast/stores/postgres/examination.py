"""What `statecast doctor` says of the server: its clock, replication, poolers and checksums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Literal

from statecast.stores.postgres import server
from statecast.stores.postgres.clock import CLOCK
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection, row
from statecast.timestamps import duration, now

Finding = tuple[Literal["good", "notice", "wrong"], str]

MUCH_MS = 2_000
"""By how much two clocks may differ before it is said."""
READINGS = 5
"""The shortest of so many questions tells the difference of two clocks best."""


def examine(database: PostgresDatabase) -> Iterator[Finding]:
    """What there is to know. Raises StoreUnavailable."""
    with closing(database.connect()) as connection, database.translated():
        facts = server.read_facts(connection)
        yield "good", f"It is in PostgreSQL {facts.version}, schema {database.address.schema}."
        yield clocks(*difference(connection))
        yield replication(facts, setting(connection, "synchronous_standby_names"))
        if facts.data_checksums == "off":
            yield (
                "notice",
                "Data checksums of the server are off, so damage on its disk is found late or "
                "never; turn them on: pg_checksums --enable, while the server is stopped.",
            )
        is_pooled = server.is_pooled(connection)
    if is_pooled:
        yield from pooler(database)


def difference(connection: Connection) -> tuple[int, int]:
    """By how many ms the server's clock is ahead of this machine's, and how exactly that is."""
    found = []
    for _ in range(READINGS):
        before = now()
        there = int((row(connection, f"SELECT {CLOCK}") or (0,))[0])
        after = now()
        found.append((after - before, there - (before + after) // 2))
    exactness, ahead = min(found)
    return ahead, exactness


def clocks(ahead: int, exactness: int) -> Finding:
    if abs(ahead) <= MUCH_MS + exactness:
        return "good", f"Its clock and this machine's agree within {abs(ahead) + exactness + 1} ms."
    word = "ahead of" if ahead > 0 else "behind"
    return (
        "notice",
        f"The clock of its server is {duration(abs(ahead), 'days')} {word} this machine's. Times "
        "in the store are the server's; check both clocks.",
    )


def replication(facts: server.ServerFacts, standbys: str) -> Finding:
    """Whether a commit waits for a second server."""
    if standbys and facts.synchronous_commit in ("on", "remote_apply"):
        return "good", f"Commits wait for a replica (synchronous_standby_names = {standbys})."
    return (
        "good",
        "Commits wait for no replica: if its server is lost for good, a replica may lack the last "
        "moments. The option acknowledge_after of a source keeps messages in their queue for that "
        "long.",
    )


def pooler(database: PostgresDatabase) -> Iterator[Finding]:
    """What becomes of leases and wake-ups behind a pooler."""
    if database.address.lease_url is not None:
        with closing(database.connect_directly()) as direct, database.translated():
            if not server.is_pooled(direct):
                yield "good", "A pooler stands before it; leases have a direct connection."
                return
    yield (
        "notice",
        "A pooler stands before it, so a lease is taken over only 5 s after its holder died, and "
        "commits of other processes are noticed up to 0.25 s late; add a direct connection to its "
        "URL: lease_url=postgresql://...",
    )


def setting(connection: Connection, name: str) -> str:
    found = row(connection, "SELECT current_setting(%s)", (name,))
    return str(found[0]) if found is not None else ""
