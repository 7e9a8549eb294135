"""Sentences about a store that cannot be used: their commands work as printed, from the shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from statecast import program
from statecast.cli.main import main
from statecast.errors import StatecastError
from statecast.stores.limits import Limits
from statecast.stores.sqlite import backup
from statecast.stores.sqlite.file_lock import StoreLock
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change, message

DEVICES = 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store whose path a shell would not read as one word."""
    folder = tmp_path / "my stores"
    folder.mkdir()
    store = SqliteStore(folder / "store.db", Limits(), VirtualClock())
    fill(store)
    store.close()
    return folder / "store.db"


@pytest.fixture
def saved(path: Path, tmp_path: Path) -> Path:
    backup.back_up(path, tmp_path / "backup.db")
    return tmp_path / "backup.db"


def fill(store: SqliteStore) -> None:
    several = [message(f"m{n}", change(f"d{n}", {"text": "x" * 500})) for n in range(DEVICES)]
    store.commit("queue", 1, several)


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 8192 * 4096)


def cut_off_beside_a_log(path: Path) -> None:
    cut_off(path)
    log = f"{path}-wal"
    Path(log).write_bytes(b"\x37\x7f\x06\x82" + bytes(28))


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def damaged_in_one_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def missing_beside_its_log(path: Path) -> None:
    path.rename(f"{path}-wal")


def restored_by_half(path: Path) -> None:
    lock = StoreLock(path)
    lock.mark_restoring()
    lock.abandon()


def without_a_table(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE totals").fetchall()
    connection.close()


def of_a_version_before(path: Path) -> None:
    """Its tables are newer than it says."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 3").fetchall()
    connection.close()


def with_a_damaged_row(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE devices SET state = '{}' WHERE device = 'd3'").fetchall()
    connection.close()


HARMS: dict[str, Callable[[Path], None]] = {
    harm.__name__: harm
    for harm in (
        cut_off,
        cut_off_beside_a_log,
        emptied,
        damaged,
        damaged_in_one_page,
        missing_beside_its_log,
        restored_by_half,
        without_a_table,
        of_a_version_before,
        with_a_damaged_row,
    )
}
ASKED = {
    "get": ("get", "d1"),
    "doctor": ("doctor",),
    "store check": ("store", "check"),
    "store check --repair": ("store", "check", "--repair"),
    "store backup": ("store", "backup", "copy.db"),
}


OPENS = {"with_a_damaged_row", "without_a_table", "damaged_in_one_page"}
NO_COMMAND = {
    ("with_a_damaged_row", "get"),
    ("of_a_version_before", "store check"),  # "start a server on it once", which says the rest
    ("of_a_version_before", "store check --repair"),
}


def run(*words: str, path: Path | None = None) -> tuple[int, str]:
    store = [] if path is None else ["--store", f"sqlite:///{path}"]
    done = CliRunner().invoke(main, [*words, *store], prog_name="statecast")
    return done.exit_code, done.output


def commands(text: str) -> set[str]:
    """The commands about a store's file that a text prints."""
    found = re.findall(r"`([^`]*)`", " ".join(text.split()))
    return {one for one in found if " store " in one}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("harm", HARMS)
def test_a_command_that_is_printed_works(
    path: Path, saved: Path, harm: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that something has happened to, and a shell in another folder
    HARMS[harm](path)
    monkeypatch.chdir(saved.parent)
    monkeypatch.setattr("sys.argv", ["statecast"])
    # when a command meets it
    status, text = run(*ASKED[asked], path=path)
    printed = commands(text)
    # then each command that it prints works there
    assert printed or status == 0 or (harm, asked) in NO_COMMAND, text
    for one in printed:
        words = shlex.split(one.removeprefix(program.name()).replace("FILE", str(saved)))
        status, text = run(*words)
        assert status == 0, (one, text)


@pytest.mark.parametrize(
    "harm", [harm for harm in HARMS if not harm.startswith(("with", "damaged_in"))]
)
def test_viewers_do_not_see_where_the_store_is(path: Path, harm: str) -> None:
    HARMS[harm](path)
    with pytest.raises(StatecastError) as raised:
        SqliteStore(path, Limits(), VirtualClock()).close()
    assert f"--store 'sqlite:///{path}'" in str(raised.value)
    # their sentence has the same command without a place
    public = raised.value.public
    assert "`statecast store restore FILE`" in public and str(path.parent) not in public
    assert "sqlite:" not in public


def test_the_default_store_is_not_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the store of the default's name in this folder
    shutil.move(path, path.with_name("statecast.db"))
    monkeypatch.chdir(path.parent)
    monkeypatch.delenv("STATECAST_STORE", raising=False)
    cut_off(Path("statecast.db"))
    # then the command finds it by itself
    assert "store restore FILE`." in run("get", "d1")[1]
    # and names it where the environment names another
    monkeypatch.setenv("STATECAST_STORE", "sqlite:///other.db")
    assert "store restore FILE --store sqlite:///statecast.db`." in run(
        "get", "d1", path=Path("statecast.db")
    )[1]  # fmt: skip
