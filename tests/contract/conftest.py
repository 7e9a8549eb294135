"""Databases of the PostgreSQL server of a test run, and what lies between them and a store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import postgres_proxy
from postgres_proxy import PostgresProxy
from postgres_server import PostgresServer


@pytest.fixture
def name(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of an empty database."""
    with postgres_server.created() as made:
        yield made


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[PostgresProxy]:
    """Before the server; it can cut a connection at any message."""
    with postgres_proxy.before(postgres_server) as proxy:
        yield proxy
