"""The hint that a process has committed: real files, and real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from statecast.stores import notifier as notifier_module
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.notifier import CommitNotifier
from statecast.stores.poll_pace import Pause, TimedPause
from statecast.stores.sqlite import commit_watch, connections
from statecast.stores.sqlite.commit_watch import pause_for
from statecast.stores.sqlite.file_lock import StoreLock

LONG = 60.0
"""Seconds: a test in which such a pause runs to its end fails by its time limit."""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[StoreLock]:
    """The lock of a store that is in use."""
    made = StoreLock(tmp_path / "store.db")
    made.acquire()
    made.share()
    yield made
    made.abandon()


@linux_only
def test_an_announcement_ends_a_pause(lock: StoreLock) -> None:
    watch = pause_for(lock.path)
    assert watch.has_hints
    before = lock.path.read_bytes()
    watch.wait(0)
    # given nothing new, then a pause comes to its end
    assert watch.wait(0) is False
    # when commits are announced, then the next pause ends at once, once
    lock.announce()
    lock.announce()
    assert watch.wait(LONG) is True
    assert watch.wait(0) is False
    # and the file is as it was
    assert lock.path.read_bytes() == before


@linux_only
def test_messages_end_the_pauses_of_those_who_wait_for_them(lock: StoreLock) -> None:
    reader, consumer = pause_for(lock.path), pause_for(lock.path)
    consumer.expect_messages()
    # when a commit only brought messages
    lock.announce(messages_only=True)
    assert lock.note is None
    # then it ends no pause of those who expect none
    assert consumer.wait(LONG) is True
    assert reader.wait(0) is False
    # and another commit ends both
    lock.announce()
    assert consumer.wait(LONG) is reader.wait(LONG) is True


@linux_only
def test_a_wake_ends_one_pause(lock: StoreLock) -> None:
    watch = pause_for(lock.path)
    watch.wake()
    watch.wake()
    assert watch.wait(LONG) is False
    assert watch.wait(0) is False


def test_after_its_end_a_lock_announces_nothing(lock: StoreLock) -> None:
    lock.abandon()
    lock.announce()


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
        monkeypatch.setattr(commit_watch.ctypes, "CDLL", lambda *_, **__: library)
    assert isinstance(pause_for(tmp_path / "lock"), TimedPause)


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
        self.wake, self.expect_messages = inner.wake, inner.expect_messages

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
    monkeypatch.setattr(connections, "CommitNotifier", clock)
    if hints:  # then no look comes within the time limit of the test unless there is a hint
        monkeypatch.setattr(notifier_module, "HINTED", 10 * LONG)
    with subprocess.Popen(
        [sys.executable, "-c", COMMIT, url, "happy"], stdin=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        begin = other.stdin.close
        monkeypatch.setattr(
            connections,
            "pause_for",
            lambda lock: Announced(pause_for(lock) if hints else TimedPause(), begin),
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
