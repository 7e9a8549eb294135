"""Every store keeps the contract; those that outlive their process keep more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from statecast.stores import open_store
from statecast.stores.contract import Limits, Store
from statecast.testing import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self, limits: Limits, clock: Callable[[], int]) -> Store:
        return open_store("memory:", limits, clock)


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path
        yield

    def make_store(self, limits: Limits, clock: Callable[[], int]) -> Store:
        return open_store(f"sqlite:///{self.path}/{len(self.opened)}.db", limits, clock)
