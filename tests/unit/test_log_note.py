"""A log that lies beside the wrong file is noticed; a good store is never refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from statecast.errors import StoreUnusable
from statecast.stores.limits import Limits
from statecast.stores.sqlite import backup, log_note
from statecast.stores.sqlite.connection_pool import Purpose
from statecast.stores.sqlite.log_note import Note, Salts
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change, message
from tests.fakes.killed_store import kill

pytestmark = pytest.mark.bare

Opener = Callable[..., SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "store.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    stores: list[SqliteStore] = []

    def opener(file: Path = path) -> SqliteStore:
        stores.append(SqliteStore(file, Limits(), VirtualClock()))
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def say(store: SqliteStore, first: int, last: int) -> None:
    for number in range(first, last):
        state = {"n": number, "text": "x" * 500}
        store.commit("queue", 1, [message(f"m{number}", change(f"d{number % 10}", state))])


# A backup in the place of the store, with the old log beside it


def by_command(path: Path, copy: Path) -> None:
    backup.back_up(path, copy)


def by_vacuum(path: Path, copy: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("VACUUM INTO ?", (str(copy),)).fetchall()
    connection.close()


def by_copy(path: Path, copy: Path) -> None:
    """Of the closed store: the very bytes that the file still has when the server is killed."""
    shutil.copyfile(path, copy)


def overwrite(copy: Path, path: Path) -> None:
    """``cp``: the file keeps its inode."""
    shutil.copyfile(copy, path)


def rename(copy: Path, path: Path) -> None:
    """``mv``, and ``rsync``: the name leads to another inode."""
    copy.replace(path)


def preserve(copy: Path, path: Path) -> None:
    """``cp -p``: with the backup's time."""
    shutil.copy2(copy, path)


@pytest.mark.parametrize("later", [30, 200, 900, 3000])
@pytest.mark.parametrize("put", [overwrite, rename, preserve])
@pytest.mark.parametrize("made", [by_command, by_vacuum, by_copy])
def test_a_backup_beside_the_old_log_is_refused(
    tmp_path: Path,
    path: Path,
    opened: Opener,
    made: Callable[[Path, Path], None],
    put: Callable[[Path, Path], None],
    later: int,
) -> None:
    # given a backup, and a server that went on and was killed
    store = opened()
    say(store, 0, 20)
    store.close()
    copy = tmp_path / "backup.db"
    made(path, copy)
    store = opened()
    say(store, 20, 20 + min(later, 300))
    if later > 300:  # the log is written into the file from time to time
        with store.database._use(Purpose.WRITE) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        store.database._write_note(complete=True)
        say(store, 400, 420)
    kill(store)
    assert Path(f"{path}-wal").stat().st_size > 0
    kept = shutil.copyfile(copy, tmp_path / "kept.db")
    # and a while later (two writes within one tick of the kernel's clock have one time)
    last = os.stat(f"{path}-wal").st_mtime_ns
    os.utime(f"{path}-wal", ns=(last, last - 10**9))
    # when the backup is put in the place of the file and the log stays
    put(copy, path)
    # then the store does not open, and says what to do
    with pytest.raises(StoreUnusable, match="store restore"):
        opened()
    # and when that is done, it is the backup
    backup.restore(path, kept)
    states = {one.device: one.state or b"" for one in opened().devices()}
    assert states["d9"].startswith(b'{"n":19,')


# A file that was cut off, before or after the last commit


CUTS: dict[str, Callable[[Path], None]] = {
    "half": lambda path: os.truncate(path, path.stat().st_size // 2 // 4096 * 4096),
    "within a page": lambda path: os.truncate(path, path.stat().st_size // 2 // 4096 * 4096 + 9),
    "one byte": lambda path: os.truncate(path, path.stat().st_size - 1),
    "its last page": lambda path: os.truncate(path, path.stat().st_size - 4096),
    "its header": lambda path: os.truncate(path, 50),
    "its magic": lambda path: os.truncate(path, 10),
    "empty": lambda path: os.truncate(path, 0),
}


IN_THE_LOG = {"one byte", "its last page"}
"""The last page of the file is one that each commit changes."""


def date_log(path: Path, order: str) -> None:
    """Let the log be written a second before or after the file."""
    written = os.stat(path).st_mtime_ns
    os.utime(f"{path}-wal", ns=(written, written + (10**9 if order == "before" else -(10**9))))


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("note", [True, False])
@pytest.mark.parametrize("cut", [cut for cut in CUTS if cut not in IN_THE_LOG])
def test_a_file_that_was_cut_off_says_so(
    path: Path, opened: Opener, cut: str, note: bool, order: str
) -> None:
    # given a server that was killed, with its last commit in the log
    store = opened()
    say(store, 0, 20)
    store.close()
    store = opened()
    say(store, 20, 21)
    kill(store)
    # when its file was cut off, before or after that commit
    CUTS[cut](path)
    date_log(path, order)
    if not note:
        Path(f"{path}.lock").unlink()
    size = path.stat().st_size
    # then the store does not open, and says why; nothing is changed
    with pytest.raises(StoreUnusable, match=r"(was cut off|is empty).*restore it from a backup"):
        opened()
    assert path.stat().st_size == size and Path(f"{path}-wal").stat().st_size > 0


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("cut", [cut for cut in CUTS if cut not in ("empty", "its magic")])
def test_a_log_that_has_what_was_cut_off_is_used(
    path: Path, opened: Opener, cut: str, order: str
) -> None:
    # given a server that was killed, with everything in the log and some of it in the file
    store = opened()
    say(store, 0, 40)
    tool = apsw.Connection(str(path))
    tool.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    tool.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    tool.close()
    kill(store)
    # when the file was cut off
    CUTS[cut](path)
    date_log(path, order)
    # then nothing is lost
    assert opened().history_size("d9")[0] == 4


# A good store


STEP = """
import os, signal, sys
from pathlib import Path
import apsw
from statecast.stores.limits import Limits
from statecast.stores.sqlite import connections, log_note
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import change, message
from statecast.timestamps import now

path, point = Path(sys.argv[1]), int(sys.argv[2])
calls = 0

def dying(sound, after):
    def call(*arguments, **more):
        global calls
        calls += 1
        if calls == point and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = sound(*arguments, **more)
        calls += 1
        if calls == point and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

connections.CHECKPOINT_PAGES = 40
store = SqliteStore(path, Limits(), now)
log_note.write_note = dying(log_note.write_note, True)
from statecast.stores.sqlite import file_lock
file_lock.pwrite = dying(file_lock.pwrite, False)

class Dying(connections.StoreConnection):
    def wal_checkpoint(self, *arguments, **more):
        return dying(super().wal_checkpoint, True)(*arguments, **more)

connections.StoreConnection = Dying
for number in range(60):
    state = {"n": number, "text": "x" * 500}
    store.commit("queue", 1, [message(f"m{point}-{number}", change("d", state))])
    print(number, flush=True)
store.close()
"""


@pytest.mark.parametrize("point", range(1, 25))
def test_a_process_killed_at_any_point_leaves_a_good_store(
    path: Path, opened: Opener, point: int
) -> None:
    # given a process that commits and checkpoints often, killed between two of its steps: before a
    # checkpoint, after it, before the note, after it
    command = [sys.executable, "-c", STEP, str(path), str(point)]
    for _ in range(2):  # and once more over what it left
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        # then the store opens, with all that was acknowledged
        store = opened()
        acknowledged = int(done.stdout.split()[-1]) if done.stdout else -1
        update = store.get("d")
        if acknowledged >= 0:
            assert update is not None and update.state is not None
            assert int(update.state.split(b",")[0].split(b":")[1]) >= acknowledged
        kill(store)


def test_a_killed_store_opens_wherever_it_is_moved(
    tmp_path: Path, path: Path, opened: Opener
) -> None:
    store = opened()
    say(store, 0, 30)
    kill(store)
    # copied with its log, with and without the lock file, times kept or not
    for number, keep in enumerate(("times", "no times", "no lock")):
        folder = tmp_path / f"copy{number}"
        folder.mkdir()
        for file in sorted(path.parent.iterdir()):
            if keep != "no lock" or not file.name.endswith(".lock"):
                copy = shutil.copy2 if keep == "times" else shutil.copyfile
                copy(file, folder / file.name)
        assert len(opened(folder / "store.db").devices()) == 10
    # moved as a whole
    moved = path.parent.rename(tmp_path / "moved")
    assert len(opened(moved / "store.db").devices()) == 10


def test_a_killed_store_opens_after_it_was_put_away_and_back(
    tmp_path: Path, path: Path, opened: Opener
) -> None:
    store = opened()
    say(store, 0, 30)
    kill(store)
    away = [shutil.copyfile(f"{path}{end}", tmp_path / f"away{end}") for end in ("", "-wal")]
    for end, file in zip(("", "-wal"), away):
        shutil.copyfile(file, f"{path}{end}")
    assert len(opened().devices()) == 10


def test_an_older_pair_of_file_and_log_opens(tmp_path: Path, path: Path, opened: Opener) -> None:
    # given a copy of a killed store with its log, as a snapshot of the disk has it
    store = opened()
    say(store, 0, 30)
    kill(store)
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", tmp_path / f"pair{end}")
    # when the store went on, was closed, went on and was killed, and the pair is put back
    store = opened()
    say(store, 30, 60)
    store.close()
    store = opened()
    say(store, 60, 90)
    kill(store)
    for end in ("", "-wal"):
        shutil.copyfile(tmp_path / f"pair{end}", f"{path}{end}")
    # then it is what it was
    assert opened().history_size("d9")[0] == 3


def test_another_program_may_checkpoint(path: Path, opened: Opener) -> None:
    store = opened()
    say(store, 0, 30)
    tool = apsw.Connection(str(path))
    tool.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    say(store, 30, 60)
    tool.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    tool.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    tool.close()
    kill(store)
    assert opened().history_size("d9")[0] == 6


@pytest.mark.parametrize(
    "content",
    [b"", b"open", b"open            ", b"open" + b"\xff" * 500, b"open            0 {}\n"],
)
def test_a_lock_file_without_a_note_says_nothing(
    path: Path, opened: Opener, content: bytes
) -> None:
    store = opened()
    say(store, 0, 30)
    kill(store)
    Path(f"{path}.lock").write_bytes(content)
    assert len(opened().devices()) == 10


def test_a_note_reads_as_it_was_written() -> None:
    note = Note(7, (1, 2), (1, 3), None, Salts(5, 6), 9, "boot")
    assert Note.decode(note.encode() + b"   ") == note
    assert Note.decode(replace(note, salts=None, log=(4, 5)).encode()) is not None
    assert Note.decode(note.encode()[:-9]) is None
    assert Note.decode(note.encode().replace(b"7", b"8", 1)) is None


def test_the_note_costs_one_write_for_each_log(
    path: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    written: list[bool] = []
    sound = log_note.write_note

    def counted(*arguments: object, **what: bool) -> Note:
        written.append(bool(what))
        return sound(*arguments, **what)  # type: ignore[arg-type]

    monkeypatch.setattr(log_note, "write_note", counted)
    say(store, 0, 50)
    assert written == [] or written == [False]
