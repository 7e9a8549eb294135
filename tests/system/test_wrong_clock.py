"""Real processes under a clock of their own (libfaketime): nothing is frozen, and it is said."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from server_process import ENVIRONMENT, PROGRAM, ServerProcess, statecast

from statecast import strict_json
from statecast.stores import open_store
from statecast.stores.contract import Store


@pytest.fixture
def fake_clock(faketime: str, tmp_path: Path) -> FakeClock:
    return FakeClock(faketime, tmp_path / "offset")


SLEEP = """
import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""
"""libfaketime lets ``time.sleep`` fail (EINVAL) where the clock is set ahead and CLOCK_MONOTONIC,
until which Python sleeps, is not. A process that waits for its turn to write sleeps."""


class FakeClock:
    """A clock for processes that are started with its variables; it can be set while they run."""

    def __init__(self, faketime: str, file: Path) -> None:
        self.file = file
        self.set("+0")
        shown = [faketime, "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
        library = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()
        (file.parent / "sitecustomize.py").write_text(SLEEP)
        self.variables = {
            "PYTHONPATH": str(file.parent),
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Replaced at once, so that a process never reads half of it."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(offset)
        os.replace(fresh, self.file)

    def send(self, folder: Path, *arguments: str) -> None:
        """`statecast send` by this clock."""
        ended = subprocess.run(
            [PROGRAM, "send", *arguments],
            cwd=folder,
            env=ENVIRONMENT | self.variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path / 'statecast.db'}")) as store:
        yield store


def state(store: Store) -> Any:
    update = store.get("pillow")
    return None if update is None or update.state is None else strict_json.decode(update.state)


def until(store: Store, condition: Callable[[], bool]) -> None:
    """Wait for commits until it holds."""
    for _ in range(200):
        store.read_position()
        if condition():
            return
        store.wait(0.3)
    raise AssertionError(f"the state stays {state(store)}")


def post(server: ServerProcess, **message: Any) -> None:
    request = urllib.request.Request(
        f"{server.address}/api/messages",
        json.dumps({"device": "pillow", **message}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


@pytest.mark.parametrize("ahead", ["+5m", "+25h", "+400d"])
def test_a_sender_whose_clock_was_ahead_freezes_nothing(
    fake_clock: FakeClock, tmp_path: Path, store: Store, ahead: str
) -> None:
    server = ServerProcess(tmp_path, "--port", "0")
    try:
        # given a message that was sent while the clock was ahead
        fake_clock.set(ahead)
        fake_clock.send(tmp_path, "pillow", "m=1")
        until(store, lambda: state(store) == {"m": 1})
        # when the clock is right, then the next message is newer
        statecast(tmp_path, "send", "pillow", "m=2")
        until(store, lambda: state(store) == {"m": 2})
        assert server.terminate() == 143
    finally:
        server.kill()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("offset", ["+5m", "+25h", "+400d", "-5m", "-25h"])
def test_a_server_whose_clock_was_wrong_follows_and_says_so(
    fake_clock: FakeClock, tmp_path: Path, store: Store, offset: str, restarted: bool
) -> None:
    server = ServerProcess(tmp_path, "--port", "0", **fake_clock.variables)
    try:
        post(server, state={"n": 1}, silent_after=60)
        until(store, lambda: state(store) == {"n": 1})
        # given a clock that is wrong for some messages
        fake_clock.set(offset)
        for number in (2, 3):
            post(server, state={"n": number})
            until(store, lambda number=number: state(store) == {"n": number})
        # when it is put right
        fake_clock.set("+0")
        if restarted:
            assert server.terminate() == 143
            server = ServerProcess(tmp_path, "--port", "0", **fake_clock.variables)
        # then messages, a deletion, and what follows it take effect
        post(server, state={"n": 4})
        until(store, lambda: state(store) == {"n": 4})
        post(server, delete=True)
        until(store, lambda: state(store) is None)
        post(server, state={"n": 6})
        until(store, lambda: state(store) == {"n": 6})
        # and no history is gone, no time is later than now, and doctor says that the clock went
        versions = [row.version for row in store.history("pillow")]
        assert versions == [6, 5, 4, 3, 2, 1]
        update = store.get("pillow")
        assert update is not None and update.seen_at is not None
        assert max(update.seen_at, update.changed_at, update.arrived_at) <= store.clock()
        told = statecast(tmp_path, "doctor").stdout
        assert "The server's clock " in told
        assert server.terminate() == 143
        assert "clock: The server's clock " in "".join(server.output)
    finally:
        server.kill()
