"""The store of many hosts: states, history, ids, quarantine and embedded queues in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from statecast.problems import Problems
from statecast.stores.contract import Limits
from statecast.stores.postgres import address
from statecast.stores.postgres.database import PostgresDatabase


def open_url(
    rest: str, limits: Limits, clock: Callable[[], int], begin_epoch: bool, problems: Problems
) -> PostgresStore:
    """``//user@host/database``: what stands after ``postgresql:``."""
    return PostgresStore(
        address.parse(f"postgresql:{rest}"),
        limits,
        clock,
        begin_epoch=begin_epoch,
        problems=problems,
    )


class PostgresStore:
    """States in a schema of a PostgreSQL database, for any number of processes and hosts."""

    def __init__(
        self,
        where: address.StoreAddress,
        limits: Limits,
        clock: Callable[[], int],
        *,
        begin_epoch: bool = True,
        problems: Problems | None = None,
    ) -> None:
        self.problems = problems or Problems(clock)
        self.limits = limits
        self.clock = clock
        self.database = PostgresDatabase(where, self.problems)

    def close(self) -> None:
        self.database.close()
