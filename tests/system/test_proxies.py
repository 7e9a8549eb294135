"""Two servers behind one proxy, without sticky sessions, with the files of ``contrib``.

Each of them is stopped, or killed, in its turn: its viewers come back by the other one and miss
nothing. Where it is stopped, who asks for pages meanwhile gets every one of them.
"""

from __future__ import annotations

import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_process import ScriptProcess, ServerProcess, statecast

import haproxy_server
import nginx_server
from waiting import wait_for

VIEWERS = 4


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[ServerProcess]]:
    started: list[ServerProcess] = []
    try:
        for _ in range(2):
            started.append(served(tmp_path))
        yield started
    finally:
        for one in started:
            one.kill()


def served(folder: Path, port: int = 0) -> ServerProcess:
    flags = ("--port", str(port), "--trusted-proxy", "127.0.0.1", "--no-long-polling")
    return ServerProcess(folder, *flags, "--page-rate-limit", "10000")


@dataclass
class Proxy:
    """The one before the servers."""

    address: str
    all_are_up: Callable[[], bool]
    """Whether it sends requests to each of them."""


@pytest.fixture(params=["nginx", "haproxy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path: Path, servers: Sequence[ServerProcess]
) -> Iterator[Proxy]:
    program: str = request.getfixturevalue(request.param)
    kind = {"nginx": nginx_server, "haproxy": haproxy_server}[request.param]
    folder = tmp_path / request.param
    folder.mkdir()
    with kind.before_several(program, folder, [one.address for one in servers]) as address:
        yield Proxy(address, lambda: kind.all_are_up(folder))


@pytest.fixture
def viewers(proxy: Proxy) -> Iterator[list[ScriptProcess]]:
    made = [ScriptProcess("reconnecting_client.py", proxy.address) for _ in range(VIEWERS)]
    yield made
    for one in made:
        one.end()


@contextmanager
def asking(address: str) -> Iterator[list[int]]:
    """Asks for a page all the time; yields the statuses so far."""
    statuses: list[int] = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            try:
                with urllib.request.urlopen(f"{address}/", timeout=30) as response:
                    statuses.append(response.status)
            except urllib.error.HTTPError as error:
                statuses.append(error.code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        ending.set()
        thread.join(60)


def report(viewer: ScriptProcess, wanted: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(viewer.ask(json.dumps(wanted)))
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_server_that_leaves_loses_no_viewer_and_no_state(
    number: signal.Signals,
    tmp_path: Path,
    servers: list[ServerProcess],
    proxy: Proxy,
    viewers: list[ScriptProcess],
) -> None:
    # given viewers of two servers, which hold what there is
    assert statecast(tmp_path, "send", "pillow", "n=0").returncode == 0
    for viewer in viewers:
        assert report(viewer, {"states": {"pillow": {"n": 0}}})["states"] == {"pillow": {"n": 0}}
    for turn in (0, 1):
        # when one of the servers leaves, while others ask for pages
        leaving = servers[turn]
        if number == signal.SIGTERM:
            with asking(proxy.address) as statuses:
                assert leaving.terminate() == 143
            # then each page was answered, by whichever server
            assert statuses and set(statuses) == {200}
        else:
            leaving.kill()
        # and what is sent then reaches every viewer, which has gone back nowhere
        states = {"pillow": {"n": turn + 1}}
        assert statecast(tmp_path, "send", "pillow", f"n={turn + 1}").returncode == 0
        for viewer in viewers:
            said = report(viewer, {"states": states})
            assert (said["states"], said["overtaken"], said["resets"]) == (states, [], 0)
        servers[turn] = served(tmp_path, leaving.port)
        wait_for(proxy.all_are_up, "the proxy does not see that the server is back")
    # and each viewer had been with one of the two that left
    assert all(report(viewer, {})["joined"] >= 2 for viewer in viewers)
