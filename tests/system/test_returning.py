"""A client that stays open converges.

Over a restart, over messages sent meanwhile, over a backup that was restored.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ScriptProcess, ServerProcess, statecast

from tests.conftest import installed
from tools import system_parts


@pytest.fixture
def servers(store_url: str, tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    started: list[ServerProcess] = []

    def start(port: int = 0) -> ServerProcess:
        started.append(ServerProcess(tmp_path, "--port", str(port)))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def watching() -> Iterator[Callable[[str], ScriptProcess]]:
    made: list[ScriptProcess] = []

    def watch(address: str) -> ScriptProcess:
        made.append(ScriptProcess("reconnecting_client.py", address))
        return made[-1]

    yield watch
    for one in made:
        one.end()


def holds(client: ScriptProcess, states: dict[str, Any]) -> int:
    """The client holds these states and has never gone back; how often it was reset."""
    report = json.loads(client.ask(json.dumps({"states": states})))
    assert report["overtaken"] == []
    assert report["states"] == states
    resets: int = report["resets"]
    return resets


def test_what_is_sent_while_the_server_is_away_arrives(
    tmp_path: Path, servers: Callable[..., ServerProcess], watching: Callable[[str], ScriptProcess]
) -> None:
    # given a server with a state and somebody who watches
    server = servers()
    assert statecast(tmp_path, "send", "pillow", "mood=happy", "battery=80").returncode == 0
    client = watching(server.address)
    holds(client, {"pillow": {"mood": "happy", "battery": 80}})
    # when it is stopped, two messages are sent, and it starts again
    assert server.terminate() == 143
    for mood in ("calm", "sleepy"):
        assert statecast(tmp_path, "send", "pillow", f"mood={mood}").returncode == 0
    servers(server.port)
    # then the one who stayed sees the last; its place was good, so it got what was missing and no
    # reset
    assert holds(client, {"pillow": {"mood": "sleepy", "battery": 80}}) == 0
    # and so does a client that asks
    shown = statecast(tmp_path, "get", "pillow", "--json")
    assert json.loads(shown.stdout)["state"] == {"mood": "sleepy", "battery": 80}


def back_up(folder: Path, store_url: str) -> None:
    if store_url.startswith("sqlite"):
        made = statecast(folder, "store", "backup", "backup.db")
        assert made.returncode == 0, made.stderr
        # while it runs, nothing takes the place of its store
        refused = statecast(folder, "store", "restore", "backup.db")
        assert refused.returncode == 1 and "is in use" in refused.stderr
    else:
        run_of_postgres("pg_dump", "--format=custom", f"--file={folder}/backup.db", store_url)


def restore(folder: Path, store_url: str) -> None:
    if store_url.startswith("sqlite"):
        restored = statecast(folder, "store", "restore", "backup.db")
        assert restored.returncode == 0, restored.stderr
    else:
        options = ("--clean", "--if-exists", f"--dbname={store_url}")
        run_of_postgres("pg_restore", *options, f"{folder}/backup.db")


def run_of_postgres(program: str, *arguments: str) -> None:
    folder = Path(installed(system_parts.POSTGRESQL)).parent
    ended = subprocess.run([folder / program, *arguments], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_restored_backup_is_noticed(
    tmp_path: Path,
    store_url: str,
    servers: Callable[..., ServerProcess],
    watching: Callable[[str], ScriptProcess],
) -> None:
    # given a backup, made while the server runs, and a server that has gone on since
    server = servers()
    statecast(tmp_path, "send", "pillow", "mood=happy")
    client = watching(server.address)
    holds(client, {"pillow": {"mood": "happy"}})
    back_up(tmp_path, store_url)
    assert server.terminate() == 143
    second = servers(server.port)
    for device in ("pillow", "lamp"):
        statecast(tmp_path, "send", device, "mood=sad")
    holds(client, {"pillow": {"mood": "sad"}, "lamp": {"mood": "sad"}})
    # when the backup is put in place of the store while the client is away, and the server starts
    assert second.terminate() == 143
    restore(tmp_path, store_url)
    servers(server.port)
    # then the client, whose place was never in this history, is reset and shows the store as it is
    assert holds(client, {"pillow": {"mood": "happy"}}) == 1
