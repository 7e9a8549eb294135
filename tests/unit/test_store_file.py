"""The file of the store: under two names, and when somebody removes, replaces or damages it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from statecast.errors import StoreUnavailable, StoreUnusable
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.sqlite.connection_pool import Purpose
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change, message

pytestmark = pytest.mark.bare

Opener = Callable[[Path], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "store.db"


@pytest.fixture
def opened() -> Iterator[Opener]:
    stores: list[SqliteStore] = []

    def opener(path: Path) -> SqliteStore:
        stores.append(SqliteStore(path, Limits(), VirtualClock()))
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def say(store: SqliteStore, id_: str, device: str = "pillow") -> None:
    body = change(device, {"text": "x" * 500, "id": id_})
    store.commit("queue", 1, [message(id_, body, sent_at=store.clock())])


def say_many(store: SqliteStore, number: int = 20) -> None:
    """One commit about as many devices."""
    text = {"text": "x" * 500}
    several = [
        message(f"m{n}", change(f"d{n}", text), sent_at=store.clock()) for n in range(number)
    ]
    store.commit("queue", 1, several)


def other_process(path: Path) -> str:
    """What another process meets that opens the store of this name: its devices, or a sentence."""
    program = (
        "import sys; from statecast.stores import open_store\n"
        "from statecast.errors import StatecastError\n"
        "try:\n"
        "    store = open_store(f'sqlite:///{sys.argv[1]}')\n"
        "    print(*(one.device for one in store.devices()))\n"
        "    store.close()\n"
        "except StatecastError as error: print(error)"
    )
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


# Two names of one file


def symbolic_link(path: Path, other: Path) -> None:
    other.symlink_to(path)


def link_to_the_folder(path: Path, other: Path) -> None:
    other.parent.rmdir()
    other.parent.symlink_to(path.parent)


def link_to_a_link(path: Path, other: Path) -> None:
    between = other.with_name("between")
    between.symlink_to(os.path.relpath(path, between.parent))
    other.symlink_to(between)


def hard_link(path: Path, other: Path) -> None:
    other.hardlink_to(path)


def bind_mount(path: Path, other: Path) -> None:
    other.touch()
    try:
        command = ["mount", "--bind", path, other]
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root rights, to mount a file at a second place")


def copy(path: Path, other: Path) -> None:
    shutil.copy(path, other)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """The second name, in another folder."""
    (tmp_path / "other").mkdir()
    name = tmp_path / "other" / "store.db"
    yield name
    mounts = Path("/proc/self/mounts")
    if mounts.exists() and str(name) in mounts.read_text("utf-8"):
        subprocess.run(["umount", name], check=True)


@pytest.mark.parametrize("link", [symbolic_link, link_to_the_folder, link_to_a_link])
def test_a_symbolic_link_is_the_same_store(
    tmp_path: Path, path: Path, other: Path, opened: Opener, link: Callable[[Path, Path], None]
) -> None:
    # given a store in use, and a link to it
    store = opened(path)
    link(path, other)
    lease = store.lease("queue")
    assert lease is not None
    # when another name of it is opened, here and in another process
    second = opened(other)
    say(second, "a")
    # then both have one lock, one lease and one log
    assert second.lease("queue") is None
    assert store.get("pillow") == second.get("pillow") is not None
    assert other_process(other) == "pillow"
    assert {file.name for file in path.parent.iterdir()} == {
        "store.db", "store.db-wal", "store.db-shm", "store.db.lock", "store.db.lease-queue"
    }  # fmt: skip
    assert not list(tmp_path.glob("other/store.db?*")) or other.parent.is_symlink()
    lease.release()


@pytest.mark.parametrize("link", [hard_link, bind_mount])
def test_a_second_name_of_the_file_is_refused_while_the_first_is_in_use(
    path: Path, other: Path, opened: Opener, link: Callable[[Path, Path], None]
) -> None:
    # given a store in use under one name
    store = opened(path)
    say(store, "a")
    link(path, other)
    # when it is opened under the other, then one sentence refuses, here and in another process
    with pytest.raises(StoreUnusable, match="in use under another name"):
        opened(other)
    assert "in use under another name" in other_process(other)
    # and the first goes on
    say(store, "b", "lamp")
    assert other_process(path) == "lamp pillow"
    # when the first is closed, the second may have it, and then the first may not
    store.close()
    second = opened(other)
    assert [one.device for one in second.devices()] == ["lamp", "pillow"]
    with pytest.raises(StoreUnusable, match="in use under another name"):
        opened(path)
    assert "in use under another name" in other_process(path)


def test_a_copy_is_another_store(path: Path, other: Path, opened: Opener) -> None:
    opened(path).close()
    copy(path, other)
    first, second = opened(path), opened(other)
    say(first, "a")
    assert second.get("pillow") is None


def test_a_tool_that_reads_the_file_is_no_second_name(path: Path, opened: Opener) -> None:
    # given a reader of another program
    opened(path).close()
    tool = apsw.Connection(str(path))
    tool.execute("SELECT count(*) FROM devices").fetchall()
    # then the store opens nevertheless
    say(opened(path), "a")
    tool.close()


def test_a_removed_lock_file_lets_no_second_process_in(path: Path, opened: Opener) -> None:
    # given a store in use, whose lock file somebody removed
    store = opened(path)
    say(store, "a")
    Path(f"{path}.lock").unlink()
    # then a process that would take itself for the first is refused, and this one goes on
    assert "its lock file was removed" in other_process(path)
    say(store, "b")


def test_a_second_store_of_a_process_leaves_the_first_its_locks(path: Path, opened: Opener) -> None:
    # given two stores of one process on one file. To close any descriptor of a file drops all
    # POSIX locks that the process has on it.
    store = opened(path)
    say(store, "a")
    opened(path).close()
    # when another process opens and closes the store, which deletes the log if it is the last
    log = os.stat(f"{path}-wal").st_ino
    assert other_process(path) == "pillow"
    # then the log is still there: the other process saw our lock
    assert os.stat(f"{path}-wal").st_ino == log
    say(store, "b")


# The file is removed, replaced or cut off while it is in use


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def replace(path: Path) -> None:
    shutil.copy(path, f"{path}.copy")
    Path(f"{path}.copy").replace(path)


def remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (Path.unlink, "was removed or replaced"),
    "replaced": (replace, "was removed or replaced"),
    "renamed": (lambda path: path.rename(f"{path}.old"), "was removed or replaced"),
    "folder renamed": (
        lambda path: path.parent.rename(f"{path.parent}.old"),
        "was removed or replaced",
    ),
    "all removed": (remove_all, "was removed or replaced"),
    "a folder in its place": (
        lambda path: (path.unlink(), path.mkdir()),
        "was removed or replaced",
    ),
    "half": (half, "was cut off"),
    "one byte": (lambda path: os.truncate(path, path.stat().st_size - 1), "was cut off"),
    "empty": (lambda path: os.truncate(path, 0), "was cut off"),
    "log removed": (lambda path: Path(f"{path}-wal").unlink(), "log of .* was removed"),
    "log replaced": (lambda path: replace(Path(f"{path}-wal")), "log of .* was removed"),
    "index removed": (lambda path: Path(f"{path}-shm").unlink(), "log of .* was removed"),
}
CALLS: dict[str, Callable[[SqliteStore], object]] = {
    "get": lambda store: store.get("d1"),
    "devices": lambda store: store.devices(),
    "read": lambda store: store.read(ReadCursor()),
    "history": lambda store: store.history("d1"),
    "position": lambda store: store.read_position(),
    "quarantine": lambda store: store.quarantined(),
    "wait": lambda store: store.wait(0),
    "commit": lambda store: say(store, "late"),
    "edit": lambda store: store.edit(change("pillow", {"n": 9}, by="user")),
    "send": lambda store: store.queue("queue").append([b"{}"]),
    "announce": lambda store: store.announce("process", {}),
    "lease": lambda store: store.lease("other"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_while_running_is_an_error_with_a_sentence(
    path: Path, opened: Opener, damage: str, call: str
) -> None:
    # given a store in use, of which the file holds a part and the log the rest
    store = opened(path)
    say_many(store)
    apsw_checkpoint(store)
    say(store, "last")
    # when its file is damaged
    harm, sentence = DAMAGE[damage]
    harm(path)
    # then a call says what happened, on this thread and on one that has no connection yet
    with ThreadPoolExecutor(1) as fresh:
        for attempt in (CALLS[call], CALLS[call]):
            with pytest.raises(StoreUnusable, match=sentence) as raised:
                attempt(store)
            with pytest.raises(StoreUnusable, match=sentence):
                fresh.submit(attempt, store).result()
    # and viewers get the same without the place
    assert str(path) in str(raised.value) and str(path.parent) not in raised.value.public


@pytest.mark.parametrize("call", ["get", "devices", "read", "history", "position", "quarantine"])
def test_damage_that_a_check_confirms_is_damage(path: Path, opened: Opener, call: str) -> None:
    # given a store whose file somebody overwrites
    store = opened(path)
    say_many(store)
    store.close()
    store = opened(path)
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * (path.stat().st_size - 8192))
    # then reading it says so, each time, and not only once
    for _ in range(3):
        with pytest.raises(StoreUnusable, match="is damaged"):
            CALLS[call](store)
            store.devices()


def apsw_checkpoint(store: SqliteStore) -> None:
    with store.database._use(Purpose.WRITE) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def test_a_file_that_grows_while_it_is_measured_is_whole(
    path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(path)
    say(store, "a")
    measure = os.stat
    grown: list[int] = []

    def measure_slowly(name: Any, **more: Any) -> os.stat_result:
        """Between the measure and its use, another thread writes, and measures the file too."""
        found = measure(name, **more)
        if not grown and name == path:
            grown.append(found.st_size)
            with ThreadPoolExecutor(1) as thread:
                thread.submit(say_many, store, 100).result()
                thread.submit(apsw_checkpoint, store).result()
                thread.submit(store.read_position).result()
        return found

    # when a thread is interrupted there, then it finds nothing wrong
    monkeypatch.setattr("statecast.stores.sqlite.store_file.os.stat", measure_slowly)
    store.database.check_file()
    assert grown and measure(path).st_size > grown[0]


@pytest.mark.parametrize(
    "damage", ["half", "empty", "log removed", "log replaced", "index removed"]
)
def test_what_the_log_has_is_written_at_the_end(path: Path, opened: Opener, damage: str) -> None:
    # given a store of which the log holds everything
    store = opened(path)
    say_many(store)
    # when the file is cut off, or the log loses its name, and the server stops
    DAMAGE[damage][0](path)
    store.close()
    # then nothing is lost
    assert len(opened(path).devices()) == 20


@pytest.mark.parametrize("order", [-1, 1])
@pytest.mark.parametrize("damage", ["half", "empty"])
def test_what_the_log_does_not_have_is_not_made_up(
    path: Path, opened: Opener, damage: str, order: int
) -> None:
    store = opened(path)
    say_many(store)
    apsw_checkpoint(store)
    store.commit("queue", 1, [message("last", change("d1", {"n": 1}))])
    store.close()  # the log is gone with it
    store = opened(path)
    say(store, "later")
    DAMAGE[damage][0](path)
    left = path.stat().st_size
    store.close()
    # then the file and its log stay as they are, and the next start refuses them with a sentence
    assert path.stat().st_size == left and Path(f"{path}-wal").stat().st_size > 0
    # whichever of the two was written last
    written = path.stat().st_mtime_ns + order * 10**9
    os.utime(f"{path}-wal", ns=(written, written))
    with pytest.raises(StoreUnusable, match="restore it from a backup"):
        opened(path)


def test_a_file_that_vacuum_made_smaller_is_whole(path: Path, opened: Opener) -> None:
    store = opened(path)
    say_many(store, 300)
    for number in range(300):
        store.edit(change(f"d{number}", {}, kind="delete", by="user"))
    apsw_checkpoint(store)
    size = path.stat().st_size
    tool = apsw.Connection(str(path))
    for statement in ("DELETE FROM history", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
        tool.execute(statement).fetchall()
    tool.close()
    assert path.stat().st_size < size
    say(store, "later")
    assert store.get("pillow") is not None


def test_a_file_that_comes_back_is_used_again(path: Path, opened: Opener) -> None:
    store = opened(path)
    say(store, "a")
    path.rename(f"{path}.away")
    with pytest.raises(StoreUnusable):
        store.devices()
    Path(f"{path}.away").rename(path)
    say(store, "b")


# A disk that fails for a moment


class FailingFile(apsw.VFSFile):
    """A file whose reads fail while ``FailingDisk.failures`` lasts."""

    def __init__(self, disk: FailingDisk, name: object, flags: list[int]) -> None:
        super().__init__(disk.system, name, flags)  # type: ignore[arg-type]
        self.disk = disk
        self.main = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)

    def xRead(self, amount: int, offset: int) -> bytes:
        if self.main and offset >= self.disk.sound and self.disk.failures:
            self.disk.failures -= 1
            if self.disk.kind == "error":
                raise apsw.IOError("read failed")
            return b"\xff" * amount
        return super().xRead(amount, offset)


class FailingDisk(apsw.VFS):
    """The default file system of SQLite, with reads of the database that fail on demand.

    ``kind``: ``error``, or ``garbage``, which SQLite takes for damage, as it does
    an EIO of the system (SQLITE_IOERR_CORRUPTFS).
    """

    def __init__(self) -> None:
        self.failures = 0
        self.sound = 0
        """So many bytes of the file never fail."""
        self.kind = "error"
        self.system = apsw.vfs_names()[0]
        super().__init__("failing", self.system, makedefault=True)

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        return FailingFile(self, name, flags)


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    made = FailingDisk()
    yield made
    made.unregister()


@pytest.fixture
def full(disk: FailingDisk, path: Path, opened: Opener) -> SqliteStore:
    """A store with 50 devices, none of them in memory."""
    store = opened(path)
    say_many(store, 50)
    store.close()
    disk.sound = path.stat().st_size // 2  # the tables' names: a connection can always be opened
    return opened(path)


@pytest.mark.parametrize("kind", ["error", "garbage"])
def test_one_failed_read_is_no_damage(disk: FailingDisk, full: SqliteStore, kind: str) -> None:
    # when the disk fails once
    disk.failures, disk.kind = 1, kind
    with pytest.raises(StoreUnavailable, match="failed"):
        full.devices()
    # then the same call works at once
    assert disk.failures == 0
    assert len(full.devices()) == 50


def test_a_disk_that_goes_on_failing_is_no_damage(disk: FailingDisk, full: SqliteStore) -> None:
    disk.failures = 1_000_000
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="failed"):
            full.devices()
    disk.failures = 0
    assert len(full.devices()) == 50


def test_confirmed_damage_is_not_checked_again_by_each_request(
    disk: FailingDisk, full: SqliteStore
) -> None:
    disk.failures, disk.kind = 1_000_000, "garbage"
    confirmed = set()
    for _ in range(5):
        with pytest.raises(StoreUnusable, match="damaged"):
            full.devices()
        confirmed.add(full.database._damaged_until)
    # the time until which the verdict holds is that of the first check
    assert len(confirmed) == 1 and confirmed != {0.0}
    disk.failures = 0
