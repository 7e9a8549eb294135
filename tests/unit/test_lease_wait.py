"""The wait for a lease that another process holds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.stores.limits import Limits
from statecast.stores.sqlite.file_lock import FileLease, take_lease
from statecast.stores.sqlite.lease_wait import FileLeaseWait
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock

HOLDER = """
import sys
from pathlib import Path
from statecast.stores.sqlite.file_lock import take_lease
lease = take_lease(Path(sys.argv[1]), "queue")
print("holds", flush=True)
sys.stdin.readline()
"""
WAITING_PARENT = """
import os, sys, threading
from pathlib import Path
from statecast.stores.sqlite.lease_wait import FileLeaseWait
free = threading.Event()
waits = FileLeaseWait(Path(sys.argv[1]), "queue", free.set)
child = os.fork()
if child == 0:
    sys.stdin.readline()
    os._exit(0)
print("waits", child, flush=True)
free.wait()
print("free", flush=True)
os.waitpid(child, 0)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def free() -> threading.Event:
    return threading.Event()


def held(path: Path) -> FileLease:
    lease = take_lease(path, "queue")
    assert lease is not None
    return lease


def process(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield child
        child.kill()


def line(child: subprocess.Popen[str]) -> list[str]:
    assert child.stdout is not None
    return child.stdout.readline().split()


def test_it_ends_when_the_holder_releases_the_lease(path: Path, free: threading.Event) -> None:
    lease = held(path)
    wait = FileLeaseWait(path, "queue", free.set)
    assert not wait.is_over
    # when the lease is released
    lease.release()
    # then it is said once, and anyone may take it
    assert free.wait(20)
    assert wait.is_over
    held(path).release()


def test_it_ends_when_the_holder_is_killed(path: Path, free: threading.Event) -> None:
    for child in process(HOLDER, path):
        assert line(child) == ["holds"]
        wait = FileLeaseWait(path, "queue", free.set)
        assert not wait.is_over
        child.kill()
        assert free.wait(20)
        held(path).release()


def test_several_wait_for_one_lease(path: Path) -> None:
    lease, frees = held(path), [threading.Event() for _ in range(3)]
    waits = [FileLeaseWait(path, "queue", free.set) for free in frees]
    lease.release()
    assert all(free.wait(20) for free in frees)
    assert all(wait.is_over for wait in waits)


def test_a_child_of_who_waits_never_holds_the_lease(path: Path) -> None:
    # given a process that waits, and its child, which lives longer than the wait
    lease = held(path)
    for parent in process(WAITING_PARENT, path):
        said, child = line(parent)
        assert said == "waits"
        # when the lease is released
        lease.release()
        assert line(parent) == ["free"]
        # then the child keeps it from no one
        held(path).release()
        os.kill(int(child), 0)
        assert parent.stdin is not None
        parent.stdin.close()
        assert parent.wait(20) == 0


def test_without_a_file_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())
    assert store.await_lease("queue", lambda: None) is None
    store.close()
