"""The hint that a log is written: real files, and real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from statecast.stores import notifier as notifier_module
from statecast.stores import open_store
from statecast.stores.contract import ReadCursor
from statecast.stores.notifier import CommitNotifier
from statecast.stores.poll_pace import Pause, PollPace, TimedPause
from statecast.stores.sqlite import database, log_watch
from statecast.stores.sqlite.log_watch import pause_for

LONG = 60.0
"""Seconds: a test in which such a pause runs to its end fails by its time limit."""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


@linux_only
def test_a_write_ends_a_pause_and_a_sleep_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    watch = pause_for(log)
    assert watch.has_hints
    # given nothing new, then a pause comes to its end
    assert watch.wait(0) is False
    # when the log is written, then the next pause ends at once, once
    log.write_bytes(b"more")
    assert watch.wait(LONG) is True
    assert watch.wait(0) is False
    # and a sleep is not ended by it, nor is the hint lost
    log.write_bytes(b"again")
    watch.sleep(0.0)
    assert watch.wait(LONG) is True


@linux_only
def test_a_wake_ends_one_pause(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    watch = pause_for(tmp_path / "log")
    watch.wake()
    watch.wake()
    assert watch.wait(LONG) is False
    assert watch.wait(0) is False


@linux_only
def test_it_follows_the_name_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    watch = pause_for(log)
    # given no log yet, then there are no hints
    assert not watch.has_hints
    assert watch.wait(0) is False
    # when it is made, then there are hints from the next pause on
    log.write_bytes(b"1")
    assert watch.wait(0) is False
    assert watch.has_hints
    log.write_bytes(b"2")
    assert watch.wait(LONG) is True
    # when it is replaced, then the new one is watched
    log.unlink()
    log.write_bytes(b"3")
    watch.wait(0)
    log.write_bytes(b"4")
    assert watch.wait(LONG) is True
    # and when it is gone there are none
    log.unlink()
    watch.wait(0)
    assert not watch.has_hints


@pytest.mark.parametrize("reason", ["another system", "too many watches", "another C library"])
def test_without_inotify_pauses_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    class Library:
        """A C library; ``inotify_init1`` fails as it does at fs.inotify.max_user_instances."""

        inotify_init1 = staticmethod(lambda flags: -1)

    if reason == "another system":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        library = Library() if reason == "too many watches" else object()
        monkeypatch.setattr(log_watch.ctypes, "CDLL", lambda *_, **__: library)
    assert isinstance(pause_for(tmp_path / "log"), TimedPause)


COMMIT = """
import sys
from statecast.model import Change
from statecast.stores import open_store
store = open_store(sys.argv[1], begin_epoch=False)
sys.stdin.readline()
store.edit(Change("pillow", "merge", {"mood": sys.argv[2]}))
store.close()
"""


class Announced:
    """A pause, whose first one lets another process commit."""

    def __init__(self, inner: Pause, begin: Callable[[], None]) -> None:
        self._inner = inner
        self._begin: Callable[[], None] | None = begin
        self.sleep, self.wake = inner.sleep, inner.wake

    @property
    def has_hints(self) -> bool:
        return self._inner.has_hints

    def wait(self, seconds: float) -> bool:
        begin, self._begin = self._begin, None
        if begin is not None:
            begin()
        return self._inner.wait(seconds)


@pytest.mark.parametrize("hints", [pytest.param(True, marks=linux_only), False])
def test_a_commit_of_another_process_arrives_after_a_quiet_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hints: bool
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url).close()
    # given a store in which nothing has happened for a minute
    later = 0.0
    clock = partial(CommitNotifier, monotonic=lambda: time.monotonic() + later)
    monkeypatch.setattr(database, "CommitNotifier", clock)
    if hints:  # then no look comes within the time limit of the test unless there is a hint
        monkeypatch.setattr(notifier_module, "HINTED", PollPace(0.001, 10 * LONG, 1.0))
    with subprocess.Popen(
        [sys.executable, "-c", COMMIT, url, "happy"], stdin=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        begin = other.stdin.close
        monkeypatch.setattr(
            database,
            "pause_for",
            lambda log: Announced(pause_for(log) if hints else TimedPause(), begin),
        )
        store = open_store(url)
        cursor = store.read(ReadCursor()).cursor
        later = 60.0
        # when another process commits while a thread pauses
        store.wait(10 * LONG)
        # then the wait ends with the commit
        [update] = store.read(cursor).updates
        assert update.state == b'{"mood":"happy"}'
    store.close()
    assert other.returncode == 0
