"""What this store needs of its server, checked for each new connection, and who the server is.

The identity of a server is its system identifier, its timeline and its start. A promoted standby
has another timeline, a restored backup another start: what was committed before may be lost there.
"""

from __future__ import annotations

from typing import NamedTuple

from statecast.errors import StoreUnusable
from statecast.problems import Problems
from statecast.stores.postgres.driver import Connection, only_row, row

LEAST_VERSION = 15_00_00
"""The oldest major version that is tested."""

FACTS = """
    SELECT current_setting('server_version'), current_setting('server_version_num')::int,
        current_setting('server_encoding'), current_setting('synchronous_commit'),
        current_setting('fsync'), current_setting('full_page_writes'),
        current_setting('data_checksums'), pg_is_in_recovery(), pg_backend_pid()
"""

RUN = """
    (substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
    || '/' || extract(epoch FROM pg_postmaster_start_time()))"""
"""SQL for the timeline of a server and its start. It fails on a standby, which inserts nothing."""
IDENTITY = f"(SELECT system_identifier FROM pg_control_system()) || '/' || {RUN}"
"""SQL for the identity of a server: it ends with ``RUN``."""


class ServerFacts(NamedTuple):
    """What one server says of itself."""

    version: str
    version_number: int
    encoding: str
    synchronous_commit: str
    fsync: str
    full_page_writes: str
    data_checksums: str
    in_recovery: bool
    session: int
    """Its number. A pooler tells its clients another one."""

    def check(self, shown: str) -> None:
        """Raises StoreUnusable if the store cannot work on this server."""
        if self.version_number < LEAST_VERSION:
            raise StoreUnusable(
                f"PostgreSQL at {shown} is of version {self.version}; Statecast needs 15 or newer."
            )
        if self.encoding != "UTF8":
            raise StoreUnusable(
                f"The database of PostgreSQL at {shown} has the encoding {self.encoding}; make one "
                "with UTF8: createdb --encoding UTF8 --template template0 NAME."
            )

    def risks(self) -> list[str]:
        """Settings under which a crash can lose what was acknowledged, in words."""
        found = []
        if self.synchronous_commit == "off":
            found.append("synchronous_commit is off")
        if self.fsync == "off":
            found.append("fsync is off")
        if self.full_page_writes == "off":
            found.append("full_page_writes is off")
        return found


def read_facts(connection: Connection) -> ServerFacts:
    return ServerFacts(*only_row(connection.execute(FACTS)))


KIND = "store-not-durable"


def report_risks(facts: ServerFacts, shown: str, problems: Problems) -> None:
    """Say loudly that this server can lose what was acknowledged, or that it cannot any more."""
    if risks := facts.risks():
        problems.report(
            KIND,
            "store",
            f"PostgreSQL at {shown} can lose what was acknowledged, because {' and '.join(risks)}: "
            "after a crash of the server messages may be missing, or the database may be damaged. "
            "Turn it on.",
        )
    else:
        problems.clear(KIND, "store")


def is_pooled(connection: Connection) -> bool:
    """Whether a pooler stands between: it tells another number of the session than the server
    does, and may give each transaction another session."""
    numbers = {row(connection, "SELECT pg_backend_pid()") for _ in range(2)}
    return numbers != {(connection.info.backend_pid,)}
