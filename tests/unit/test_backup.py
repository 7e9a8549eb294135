"""Backups: made while the store runs, checked before they take its place, the old store kept."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from statecast.errors import BadSetting, NotFound, StatecastError, StoreUnavailable, StoreUnusable
from statecast.stores.limits import Limits
from statecast.stores.sqlite import backup, schema
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
def copy(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    stores: list[SqliteStore] = []

    def opener(file: Path = path, **more: object) -> SqliteStore:
        stores.append(SqliteStore(file, Limits(), VirtualClock(), **more))  # type: ignore[arg-type]
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def say(store: SqliteStore, number: int, device: str = "pillow") -> None:
    store.commit("queue", 1, [message(f"{device}{number}", change(device, {"n": number}))])


def shown(store: SqliteStore) -> dict[str, bytes | None]:
    return {one.device: one.state for one in store.devices()}


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# Back up


def test_a_backup_is_the_store_of_one_moment(path: Path, copy: Path, opened: Opener) -> None:
    # given a store into which a thread writes all the time, always the same number to two devices
    store = opened()
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            both = [change(device, {"n": number, "text": "x" * 5_000}) for device in ("a", "b")]
            store.commit("queue", 1, [message(f"m{number}", *both)])

    writer = threading.Thread(target=write)
    writer.start()
    # when backups are made meanwhile, then in each both have the same number, and all is there
    try:
        for _ in range(5):
            backup.back_up(path, copy, force=True)
            with apsw.Connection(str(copy)) as found:
                rows = found.execute("SELECT state, version FROM devices").fetchall()
                assert len({str(row) for row in rows}) <= 1
            found.close()
    finally:
        ended.set()
        writer.join()
    # and nothing else was left beside it
    assert [file.name for file in copy.parent.glob("*backup*")] == ["backup.db"]


def test_a_backup_is_for_its_owner_only(path: Path, copy: Path, opened: Opener) -> None:
    say(opened(), 1)
    size = backup.back_up(path, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert size == copy.stat().st_size > 0
    # and it says at any umask how far it is
    seen: list[tuple[int, int]] = []
    backup.restore(copy.with_name("other.db"), copy, progress=lambda *at: seen.append(at))
    assert seen == [(size, size)]


def test_an_unclean_store_is_backed_up_with_its_log(path: Path, copy: Path, opened: Opener) -> None:
    store = opened()
    say(store, 1)
    kill(store)
    backup.back_up(path, copy)
    assert shown(opened(copy)) == {"pillow": b'{"n":1}'}


def test_an_older_store_is_not_migrated_by_a_backup(
    path: Path, copy: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().close()
    newer = (*schema.STEPS, "CREATE TABLE extra (x)")
    monkeypatch.setattr(schema, "STEPS", newer)
    backup.back_up(path, copy)
    for file in (path, copy):
        connection = apsw.Connection(str(file))
        assert connection.execute("PRAGMA user_version").fetchall() == [(len(newer) - 1,)]
        connection.close()


@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        ("backup.db", BadSetting, "exists already"),
        ("folder", BadSetting, "name a file"),
        ("missing/backup.db", BadSetting, "name a file"),
        ("folder/store.db", BadSetting, "is the store itself"),
        ("folder/store.db-wal", BadSetting, "is the store itself"),
        ("link.db", BadSetting, "is the store itself"),
    ],
)
def test_a_backup_overwrites_nothing(
    tmp_path: Path,
    path: Path,
    opened: Opener,
    target: str,
    error: type[StatecastError],
    sentence: str,
) -> None:
    say(opened(), 1)
    (tmp_path / "backup.db").write_bytes(b"older")
    (tmp_path / "link.db").symlink_to(path)
    force = target != "backup.db"
    with pytest.raises(error, match=sentence):
        backup.back_up(path, tmp_path / target, force=force)
    assert (tmp_path / "backup.db").read_bytes() == b"older"


def test_a_store_that_is_not_there_has_no_backup(path: Path, copy: Path) -> None:
    with pytest.raises(NotFound):
        backup.back_up(path, copy)
    assert not copy.exists() and not list(path.parent.iterdir())


def test_a_full_disk_leaves_no_half_backup(
    path: Path, copy: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    say(store, 1)

    def full(*arguments: object) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr("statecast.stores.sqlite.database.Database.copy_into", full)
    # then the sentence is about the disk of the backup, not that of the store
    with pytest.raises(StoreUnavailable, match=rf"The disk of {copy} is full"):
        backup.back_up(path, copy)
    assert not list(copy.parent.glob(".*")) and not copy.exists()
    say(store, 2)


def test_a_backup_that_is_not_whole_is_none(
    path: Path, copy: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a disk that writes something else than it was given
    say(opened(), 1)
    sound = backup._copy

    def damaging(database: object, partial: Path, *more: object) -> None:
        sound(database, partial, *more)  # type: ignore[arg-type]
        with partial.open("r+b") as file:
            file.seek(3 * 4096)
            file.write(b"\xff" * 4096)

    monkeypatch.setattr(backup, "_copy", damaging)
    with pytest.raises(StoreUnusable, match="damaged"):
        backup.back_up(path, copy)
    assert not copy.exists() and not list(copy.parent.glob(".*"))


# Restore


@pytest.fixture
def two(path: Path, copy: Path, opened: Opener) -> Path:
    """A store that went on after its backup; where the backup is."""
    store = opened()
    say(store, 1)
    backup.back_up(path, copy)
    say(store, 2)
    say(store, 1, "lamp")
    store.close()
    return copy


def test_a_restored_store_is_the_backup_and_the_old_one_is_kept(
    path: Path, two: Path, opened: Opener
) -> None:
    kept = backup.restore(path, two)
    assert kept == Path(f"{path}.before-restore")
    store = opened()
    assert shown(store) == {"pillow": b'{"n":1}'}
    store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # and what was there before is whole, and a further restore keeps it
    assert shown(opened(kept)) == {"lamp": b'{"n":1}', "pillow": b'{"n":2}'}
    assert backup.restore(path, two) == Path(f"{path}.before-restore-2")
    assert two.exists()


def test_the_log_of_a_killed_server_is_kept_with_its_file(
    path: Path, two: Path, opened: Opener
) -> None:
    # given a server that was killed, so that its newest commits are in the log
    store = opened()
    say(store, 3)
    kill(store)
    assert Path(f"{path}-wal").stat().st_size > 0
    # when the backup is restored
    kept = backup.restore(path, two)
    # then the log is applied to its own file and not to the backup
    assert shown(opened()) == {"pillow": b'{"n":1}'}
    assert kept is not None and shown(opened(kept))["pillow"] == b'{"n":3}'


def test_a_store_that_was_deleted_is_restored(path: Path, two: Path, opened: Opener) -> None:
    path.unlink()
    assert backup.restore(path, two) is None
    assert shown(opened()) == {"pillow": b'{"n":1}'}


def test_a_deleted_store_whose_log_is_there_is_restored(
    path: Path, two: Path, opened: Opener
) -> None:
    store = opened()
    say(store, 3)
    kill(store)
    path.unlink()
    with pytest.raises(StoreUnusable, match=r"is missing, but its log .* is there"):
        opened()
    backup.restore(path, two)
    assert shown(opened()) == {"pillow": b'{"n":1}'}


def test_a_store_in_use_is_not_replaced(path: Path, two: Path, opened: Opener) -> None:
    store = opened()
    with pytest.raises(StoreUnusable, match="is in use"):
        backup.restore(path, two)
    program = "import sys; from statecast.cli.main import main; main(sys.argv[1:])"
    command = ["store", "restore", "--store", f"sqlite:///{path}", str(two)]
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
    assert done.returncode == 1 and "is in use; stop every process" in done.stderr
    assert shown(store) == {"lamp": b'{"n":1}', "pillow": b'{"n":2}'}


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def damaged(file: Path) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(3 * 4096)
        opened_file.write(b"\xff" * 4096)


def foreign(file: Path) -> None:
    file.unlink()
    connection = apsw.Connection(str(file))
    connection.execute("CREATE TABLE theirs (x)").fetchall()
    connection.close()


def newer(file: Path) -> None:
    connection = apsw.Connection(str(file))
    connection.execute("PRAGMA user_version = 1000").fetchall()
    connection.close()


BAD_BACKUPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "There is no backup"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "There is no backup"),
    "empty": (lambda file: os.truncate(file, 0), "is empty"),
    "text": (lambda file: file.write_text("hello" * 100), "is not a store"),
    "cut off": (cut_off, "is damaged"),
    "damaged": (damaged, "is damaged"),
    "of another program": (foreign, "belongs to another program"),
    "newer": (newer, "written by a newer Statecast"),
    "with a log": (
        lambda file: Path(f"{file}-wal").write_bytes(b"frames"),
        "is no complete backup",
    ),
}


@pytest.mark.parametrize("kind", BAD_BACKUPS)
def test_a_bad_backup_changes_nothing(path: Path, two: Path, opened: Opener, kind: str) -> None:
    harm, sentence = BAD_BACKUPS[kind]
    harm(two)
    before = content(path.parent)
    with pytest.raises(StatecastError, match=sentence):
        backup.restore(path, two)
    assert content(path.parent) == before
    assert shown(opened()) == {"lamp": b'{"n":1}', "pillow": b'{"n":2}'}


NOT_A_STORE = ("-wal", "-shm", "lock")


class Killed(BaseException):
    """The end of the process at this point."""


@pytest.mark.parametrize("point", range(7))
def test_a_restore_that_is_killed_is_never_half_a_store(
    path: Path, two: Path, opened: Opener, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    # given a killed server's file and log
    store = opened()
    say(store, 3)
    kill(store)
    # when the restore ends at one of the calls that change names or the mark
    calls = 0
    for module, name in ((os, "link"), (os, "rename"), (os, "replace"), (os, "fsync")):
        sound = getattr(module, name)

        def dying(*arguments: object, sound: Callable[..., object] = sound) -> object:
            nonlocal calls
            calls += 1
            if calls == point + 1:
                raise Killed
            return sound(*arguments)

        monkeypatch.setattr(module, name, dying)
    with pytest.raises(Killed):
        backup.restore(path, two)
    monkeypatch.undo()
    # then the store is the old one with its log, or the new one, or refuses with the way out
    old, new = {"lamp": b'{"n":1}', "pillow": b'{"n":3}'}, {"pillow": b'{"n":1}'}
    if point in (0, 6):
        assert shown(opened()) == (new if point else old)
        return
    with pytest.raises(StoreUnusable, match="store restore"):
        opened()
    backup.restore(path, two)
    assert shown(opened()) == new
    # and what was acknowledged before is kept, with its log
    kept = [
        one for one in path.parent.glob("*.before-restore*") if one.name[-4:] not in NOT_A_STORE
    ]
    assert old in [shown(opened(one)) for one in kept]


def test_a_copy_made_by_hand_can_be_restored(path: Path, two: Path, opened: Opener) -> None:
    # given a copy of the closed store, which is in WAL mode
    by_hand = two.with_name("by-hand.db")
    shutil.copy(path, by_hand)
    store = opened()
    say(store, 9)
    store.close()
    backup.restore(path, by_hand)
    assert shown(opened())["pillow"] == b'{"n":2}'
    assert not Path(f"{by_hand}-wal").exists()
