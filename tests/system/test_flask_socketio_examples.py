"""Apps written for Flask-SocketIO, with one changed line: they say what they said there.

The transcripts were recorded from Flask-SocketIO itself: see ``conversations.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conversations import APPS, CONVERSATIONS, THEIRS, counts, hold, on_flask_socketio, recorded
from server_process import ServerProcess

TRANSPORTS = ["default", "websocket"]
LINE = "from statecast.socketio import"


def with_one_changed_line(name: str, folder: Path) -> Path:
    """The app as it is on Flask-SocketIO, in which one line becomes another."""
    theirs = on_flask_socketio(APPS[name])
    ours = theirs.replace(THEIRS, LINE)
    pairs = list(zip(theirs.splitlines(), ours.splitlines(), strict=True))
    assert sum(one != other for one, other in pairs) == 1
    path = folder / f"{name}.py"
    path.write_text(ours, "utf-8")
    return path


@pytest.fixture(scope="module", params=["1", "2"])
def addresses(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The address of each app, served by one process or by two."""
    folder = tmp_path_factory.mktemp("apps")
    (folder / "run").mkdir()
    servers: dict[str, ServerProcess] = {}

    def serve(name: str) -> None:
        with_one_changed_line(name, folder)
        options = ("--port", "0", "--workers", request.param, "--log-level", "error")
        servers[name] = ServerProcess(
            folder,
            f"{name}:app",
            *options,
            XDG_RUNTIME_DIR=str(folder / "run"),
            STATECAST_STORE=f"sqlite:///{folder}/{name}.db",
        )

    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(serve, APPS))
        yield {name: server.address for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.kill()


@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("name", APPS)
def test_viewers_hear_what_they_heard_on_flask_socketio(
    node: Any, addresses: dict[str, str], name: str, transports: str
) -> None:
    expected = recorded(name)
    found = hold(addresses[name], transports, CONVERSATIONS[name], counts(expected))
    assert found.splitlines() == expected.splitlines()


def test_a_conversation_that_went_otherwise_is_found(node: Any, addresses: dict[str, str]) -> None:
    steps = CONVERSATIONS["chat"][:2]
    steps[0] = ["anna", "POST", "/login", {"name": "eve"}]
    # given what anna hears after her login, when eve has logged in, then that is something else
    expected = "\n".join(recorded("chat").splitlines()[:5]) + "\n"
    assert "anna" in expected
    assert hold(addresses["chat"], "websocket", steps, counts(expected)) != expected
