"""A PostgreSQL whose disk is really full: the one of its tables, and the one of its log (WAL).

Tables that cannot grow fail a transaction. A log that cannot grow ends the server, and it does not
come up again until there is room.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess, statecast
from test_health import ask, fill, health_event, kinds, post

from postgres_server import PostgresServer
from tests.conftest import installed, missing
from tools import system_parts
from waiting import wait_for

SIZES = {"tables": "100m", "log": "40m"}
SETTINGS = {"min_wal_size": "32MB", "max_wal_size": "32MB"}
ROOM = 2_000_000
MOST = 2_000
"""Messages after which a small disk is full for certain."""


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of its own. Its path is short, because a socket's is."""
    if os.geteuid() != 0:
        missing("needs root rights, to mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="statecast-disk-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        folder.rmdir()
        missing(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@contextmanager
def server_on(disk: Path, part: str) -> Iterator[PostgresServer]:
    """A server of which one part is on the small disk."""
    server = PostgresServer(installed(system_parts.POSTGRESQL), **SETTINGS)
    try:
        whole = server.folder / "data"
        moved = whole if part == "tables" else whole / "pg_wal"
        if part == "tables":  # without its log
            (whole / "pg_wal").rename(server.folder / "log")
            (whole / "pg_wal").symlink_to(server.folder / "log")
        shutil.copytree(moved, disk / "moved", symlinks=True)
        shutil.rmtree(moved)
        moved.symlink_to(disk / "moved")
        for path in (disk, *disk.rglob("*")):
            os.chown(path, server.options["user"], server.options["group"], follow_symlinks=False)
        server.start()
        yield server
    finally:
        server.remove()


def message(number: int, text: str = "") -> dict[str, Any]:
    return {"device": f"pillow{number}", "state": {"number": number, "text": text}}


def acknowledged_until_refused(server: ServerProcess) -> list[int]:
    """Send messages until one is refused; the numbers of the others."""
    for number in range(1, MOST):
        if (status := post(server, message(number, os.urandom(20_000).hex()))) != 202:
            assert status == 503
            return list(range(number))
    raise AssertionError("the disk was never full")


@pytest.mark.parametrize("part", SIZES)
def test_a_disk_of_postgresql_that_is_full(part: str, tmp_path: Path) -> None:
    with small_disk(SIZES[part]) as disk, server_on(disk, part) as database:
        url = database.url(database.create())
        server = ServerProcess(tmp_path, "--store", url, "--port", "0")
        try:
            assert post(server, message(0)) == 202
            wait_for(lambda: kinds(server) == set())
            # given a disk that fills while messages come
            fill(disk / "filling")
            os.truncate(disk / "filling", (disk / "filling").stat().st_size - ROOM)
            acknowledged = acknowledged_until_refused(server)
            assert len(acknowledged) > 5
            fill(disk / "rest")
            # then the store says what is away, and pages since when
            kind = {"tables": "disk-full", "log": "store-away"}[part]
            wait_for(lambda: (kind, "store") in kinds(server))
            shown = shown_to_viewers(server, kind)
            assert shown["since"] and str(disk) not in json.dumps(shown)
            # when there is room again; a server that has ended is started by its operator
            (disk / "filling").unlink()
            (disk / "rest").unlink()
            if part == "log":
                database.stop()
                database.start()
            # then all is well without a restart of ours, and nothing acknowledged is lost
            wait_for(lambda: kinds(server) == set())
            assert post(server, message(MOST)) == 202
            for number in [*acknowledged, MOST]:
                wait_for(lambda: number_of(server, number) == number)  # noqa: B023
            checked = statecast(tmp_path, "store", "check", "--store", url)
            assert checked.stdout == "Nothing is wrong.\n", checked.stdout + checked.stderr
        finally:
            server.kill()


def shown_to_viewers(server: ServerProcess, kind: str) -> dict[str, Any]:
    """The problem of a kind, as viewers get it."""
    found: list[dict[str, Any]] = []

    def is_shown() -> bool:
        found[:] = [one for one in health_event(server)["problems"] if one["kind"] == kind]
        return bool(found)

    wait_for(is_shown)
    return found[0]


def number_of(server: ServerProcess, number: int) -> object:
    status, body = ask(server, f"/api/devices/pillow{number}")
    return body["state"]["number"] if status == 200 else None
