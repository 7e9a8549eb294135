"""The store that the processes of a test serve, as a program beside them sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url, Limits(), begin_epoch=False)
    yield opened
    opened.close()
