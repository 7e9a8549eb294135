"""Every store keeps the contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from postgres_server import PostgresServer
from statecast.errors import StoreUnavailable
from statecast.problems import Problems
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.stores.postgres.address import parse
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import StoreContract
from statecast.timestamps import now


class TestMemoryStore(StoreContract):
    def make_store(self, limits: Limits, clock: Callable[[], int]) -> Store:
        return open_store("memory:", limits, clock)


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path
        yield
        # whatever a test did, every row fits its checksum, and the tables agree
        for store in self.opened:
            with suppress(StoreUnavailable):  # the test has closed it
                assert isinstance(store, SqliteStore)
                assert store.check() == []

    def make_store(self, limits: Limits, clock: Callable[[], int]) -> Store:
        return open_store(f"sqlite:///{self.path}/{len(self.opened)}.db", limits, clock)


def migrated(url: str) -> None:
    """Make the tables, and no epoch: its time would be that of this machine."""
    PostgresDatabase(parse(url), Problems(now)).close()


class TestPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def databases(self, postgres_server: PostgresServer) -> Iterator[None]:
        self.server, names = postgres_server, []
        self.new_database = lambda: names.append(postgres_server.create(migrated)) or names[-1]
        yield
        for store in self.opened:
            with suppress(StoreUnavailable):  # the test has closed it
                assert store.check() == []
            store.close()
        for name in names:
            postgres_server.drop(name)

    def make_store(self, limits: Limits, clock: Callable[[], int]) -> Store:
        return open_store(self.server.url(self.new_database()), limits, clock)


def test_the_limits_are_the_settings_of_the_same_names() -> None:
    assert Limits.from_settings(Settings()) == Limits()
    assert Limits.from_settings(Settings(queue_messages=5)).queue_messages == 5


def test_a_store_in_memory_needs_no_apsw() -> None:
    # given a Python without apsw, when a store in memory is opened and used, then it works
    program = (
        "import sys; sys.modules['apsw'] = None\n"
        "from statecast.model import Change\n"
        "from statecast.stores import open_store\n"
        "update = open_store('memory:').edit(Change('pillow', 'merge', {'mood': 'happy'}))\n"
        "print(update.state)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ('b\'{"mood":"happy"}\'\n', "")
