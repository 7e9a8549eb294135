"""Three hosts on one PostgreSQL, while something breaks all the time.

`make drill` is the long form.

The variables TEST_STATECAST_MESSAGES and TEST_STATECAST_VIEWERS make it longer and larger.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drill
import pytest

import namespaces
from postgres_server import PostgresServer
from tests.conftest import installed
from tools import system_parts

MESSAGES = int(os.environ.get("TEST_STATECAST_MESSAGES", "3000"))
VIEWERS = int(os.environ.get("TEST_STATECAST_VIEWERS", "24"))
SEED = int(os.environ.get("TEST_STATECAST_SEED", "1"))
IS_LONG = MESSAGES > 3000


@pytest.fixture
def plan() -> drill.Plan:
    if IS_LONG:
        return drill.Plan(MESSAGES, 500, VIEWERS, every=5.0, lasts=3.0, faults=drill.FAULTS)
    return drill.Plan(MESSAGES, 150, VIEWERS, every=2.2, lasts=1.3, faults=drill.FAST_FAULTS)


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """One that the drill starts in a namespace, where other hosts reach it."""
    server = PostgresServer(installed(system_parts.POSTGRESQL), listen_addresses="*")
    try:
        with (server.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {namespaces.NETWORK}.0/24 trust\n")
        yield server
    finally:
        server.remove()


@pytest.mark.timeout(1800)
def test_whatever_breaks_nothing_is_lost_and_every_viewer_shows_the_store(
    plan: drill.Plan, postgres: PostgresServer, nginx: str, node: Any, tmp_path: Path
) -> None:
    installed(system_parts.NFT)
    if why := namespaces.why_not():
        pytest.skip(why)
    # given three hosts, viewers of all of them, and devices
    with drill.prepared(plan, tmp_path, nginx, node, postgres, SEED) as run:
        # when the devices talk, and something breaks every few seconds
        run.run()
        # then the store is what the oracle says, and every viewer shows it and went back nowhere
        print(f"\n{run.check()}")
