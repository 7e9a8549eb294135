"""A parent and its serving processes: real ones, the smallest that keep the bargain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from statecast.server import supervisor as workers
from statecast.server import worker_sockets
from statecast.server.service_manager import Watchdog
from statecast.settings import Settings

pytestmark = pytest.mark.bare

CHILD = """
import os, signal, sys, threading
from statecast.server import worker_sockets as workers
sockets = workers.from_environment()
stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
signal.signal(signal.SIGINT, lambda *_: stopped.set())
{before}
sockets.stop_with_parent()
port, told = sockets.listening.getsockname()[1], workers.VARIABLE in os.environ
print("child", os.getpid(), port, told, flush=True)
sockets.ready()
stopped.wait()
if sockets.link is not None:
    sockets.link.close()
print("stopped", os.getpid(), flush=True)
"""
PARENT = """
import sys
from statecast.server import supervisor as workers
from statecast.settings import Settings
announce = lambda sentence: print(sentence, flush=True)
supervisor = workers.Supervisor(Settings(port=0, workers={count}, shutdown_timeout=1), announce,
                                [sys.executable, "-c", sys.argv[1]])
sys.exit(supervisor.run())
"""


class Parent:
    def __init__(self, child: str, count: int, variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT.format(count=count), child],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | variables,
        )

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def rest(self) -> str:
        said, self.errors = self.process.communicate(timeout=30)
        return said


@contextmanager
def parent(
    before: str = "", count: int = 2, variables: dict[str, str] | None = None
) -> Iterator[Parent]:
    one = Parent(CHILD.format(before=before), count, variables or {})
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_the_parent_says_the_address_once_when_all_serve() -> None:
    with parent() as one:
        children = [one.line(), one.line()]
        said = " ".join(one.line())
        port = said.rpartition(":")[2]
        assert said == f"Statecast is live at http://127.0.0.1:{port}"
        assert [child[2:] for child in children] == [[port, "False"]] * 2

        # when it is told to stop, then they are, and it ends after them
        one.process.send_signal(signal.SIGTERM)
        assert one.rest().count("stopped") == 2
        assert one.process.returncode == 143


def test_one_that_dies_is_started_again() -> None:
    with parent() as one:
        first, _, _ = one.line(), one.line(), one.line()
        os.kill(int(first[1]), signal.SIGKILL)
        again = one.line()
        assert again[0] == "child"
        assert again[1] != first[1]
        one.process.send_signal(signal.SIGINT)
        assert one.rest().count("stopped") == 2
        assert one.process.returncode == 130
        assert "ended with status 137; another starts" in one.errors


def test_one_that_cannot_begin_is_not_started_for_ever() -> None:
    with parent('sys.exit("There is no such setting.")') as one:
        assert one.rest() == ""
        assert one.process.returncode == 1
        assert "There is no such setting." in one.errors


def test_one_that_does_not_stop_is_killed() -> None:
    with parent("signal.signal(signal.SIGTERM, signal.SIG_IGN)", count=1) as one:
        child, _ = one.line(), one.line()
        one.process.send_signal(signal.SIGTERM)
        one.rest()
        assert one.process.returncode == 143
        with pytest.raises(ProcessLookupError):
            os.kill(int(child[1]), 0)


def test_a_second_signal_ends_all_at_once() -> None:
    before = 'signal.signal(signal.SIGTERM, lambda *_: print("not now", flush=True))'
    with parent(before, count=1) as one:
        child, _ = one.line(), one.line()
        one.process.send_signal(signal.SIGTERM)
        assert one.line() == ["not", "now"]
        one.process.send_signal(signal.SIGINT)
        one.rest()
        assert one.process.returncode == 130
        with pytest.raises(ProcessLookupError):
            os.kill(int(child[1]), 0)


def test_the_children_of_a_dead_parent_stop() -> None:
    with parent(count=1) as one:
        child, _ = one.line(), one.line()
        one.process.kill()
        assert one.line() == ["stopped", child[1]]


def test_a_process_that_nobody_placed_has_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(worker_sockets.VARIABLE, raising=False)
    assert worker_sockets.from_environment() is None


# The watchdog of the service manager


def watched(*processes: workers.Worker) -> tuple[workers.Supervisor, list[str]]:
    """A supervisor that was fed never, and what it fed; two seconds are the interval."""
    fed: list[str] = []
    supervisor = workers.Supervisor(Settings(), fed.append, [])
    supervisor.workers = list(processes)
    supervisor.announced, supervisor.fed_at = True, 0.0
    supervisor.watchdog = Watchdog(2.0, lambda: fed.append("alive"))
    return supervisor, fed


def serving(heard_at: float) -> workers.Worker:
    process = cast("subprocess.Popen[bytes]", object())
    return workers.Worker(process, ready=True, heard_at=heard_at)


def test_the_watchdog_is_fed_while_all_processes_are_alive() -> None:
    supervisor, fed = watched(serving(99.0), serving(98.5))
    supervisor._feed(100.0)
    supervisor._feed(101.0)  # it was fed a second ago
    assert fed == ["alive"]


def test_a_process_that_hangs_starves_the_watchdog() -> None:
    supervisor, fed = watched(serving(99.0), serving(97.0))
    supervisor._feed(100.0)
    assert fed == []
    # when it says something again, then all is well
    supervisor.workers[1].heard_at = 100.0
    supervisor._feed(100.1)
    assert fed == ["alive"]


def test_a_process_that_ended_has_a_successor_and_starves_nothing() -> None:
    ended = workers.Worker(None, ready=False, heard_at=1.0)
    supervisor, fed = watched(serving(99.0), ended)
    supervisor._feed(100.0)
    assert fed == ["alive"]


# Its sleep


def test_a_parent_sleeps_until_a_process_is_due_or_the_watchdog_is() -> None:
    # given a parent whose processes run: only one of them or a signal has news
    supervisor = workers.Supervisor(Settings(), print, [])
    supervisor.workers, supervisor.watchdog = [serving(1.0)], None
    assert supervisor._until_due() is None
    # when one is to be started, it wakes up for that
    supervisor.workers.append(workers.Worker(None, due=0.0))
    assert supervisor._until_due() == 0.0
    # and with a watchdog it looks some times in each interval
    supervisor.workers.pop()
    supervisor.watchdog = Watchdog(2.0, lambda: None)
    assert supervisor._until_due() == 0.5


# The sockets between the workers


def test_each_process_has_sockets_of_its_own_for_the_others() -> None:
    before = 'print("link", sockets.link.path, flush=True)'
    with parent(before) as one:
        lines = [one.line() for _ in range(5)]
        paths = [Path(line[1]) for line in lines if line[0] == "link"]
        folder = paths[0].parent
        assert len({path.name for path in paths}) == 2
        assert {path.stem for path in folder.iterdir()} == {path.name for path in paths}
        # when one is killed, then the next has others, and those of the killed one are removed
        (victim,) = [line[1] for line in lines if line[0] == "child"][:1]
        os.kill(int(victim), signal.SIGKILL)
        (again,) = [Path(line[1]) for line in (one.line(), one.line()) if line[0] == "link"]
        assert again.parent == folder
        assert again.name not in {path.name for path in paths}
        assert len(list(folder.iterdir())) == 4
        # when all stop, then the folder is removed
        one.process.send_signal(signal.SIGTERM)
        one.rest()
        assert not folder.exists()


def test_without_a_folder_the_processes_serve_without_long_polling(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    variables = {"TMPDIR": str(folder), "XDG_RUNTIME_DIR": "", "RUNTIME_DIRECTORY": ""}
    with parent('print("link", sockets.link, flush=True)', 1, variables) as one:
        assert one.line() == ["link", "None"]
        one.line()
        one.line()
        one.process.send_signal(signal.SIGTERM)
        one.rest()
        assert "long polling is off" in one.errors
        assert "TMPDIR" in one.errors
