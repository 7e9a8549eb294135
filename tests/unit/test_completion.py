"""What a shell offers behind ``statecast``: names of devices and rows, and never a trace of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete
from flask import Flask
from flask.cli import FlaskGroup

from statecast import Statecast
from statecast.access.records import RecordKind
from statecast.cli.errors import COMPLETE
from statecast.cli.main import main
from statecast.stores.limits import Limits
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing.values import VirtualClock, change, message, refused

DEVICES = {
    "pillow": {"mood": "happy", "battery": 80},
    "pine": {"n": 1},
    "floor2/lamp": {"on": True},
    "gone": {},
}

RECORDS: list[tuple[RecordKind, str]] = [
    ("key", "pillow-1"),
    ("key", "prometheus"),
    ("key", "revoked"),
    ("key", "x\x1b[2J"),
    ("session", "s1"),
    ("share", "0a1b"),
    ("user", "ada"),
    ("user", "é"),
]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    monkeypatch.chdir(tmp_path)
    clock = VirtualClock()
    one = SqliteStore(tmp_path / "statecast.db", Limits(), clock)
    page = [message(name, change(name, state)) for name, state in DEVICES.items()]
    one.commit("queue", 1, [*page, refused("a", "It is not JSON."), refused("b", "No\x1b device.")])
    for kind, id_ in RECORDS:
        one.put_access(kind, id_, {})
    one.put_access("key", "revoked", None)
    clock.advance(1)
    one.edit(change("gone", kind="delete"))
    yield one
    one.close()


def offered(
    *words: str, program: click.Command = main, kind: type[ShellComplete] = BashComplete
) -> list[str]:
    """What the shell gets for the last word; the others are complete."""
    complete = kind(program, {}, "statecast", COMPLETE)
    return [one.value for one in complete.get_completions(list(words[:-1]), words[-1])]


CASES: dict[str, tuple[list[str], list[str]]] = {
    "all devices": (["get", ""], ["floor2/lamp", "pillow", "pine"]),
    "a beginning": (["get", "pi"], ["pillow", "pine"]),
    "a longer beginning": (["get", "pil"], ["pillow"]),
    "with a slash": (["get", "floor2/"], ["floor2/lamp"]),
    "another device": (["get", "x"], []),
    "a removed device": (["get", "go"], []),
    "no second device": (["get", "pillow", ""], []),
    "after a flag": (["get", "--json", "pil"], ["pillow"]),
    "several to watch": (["watch", "pine", "pi"], ["pillow"]),
    "a device to send to": (["send", "pi"], ["pillow", "pine"]),
    "no field": (["send", "pillow", "p"], []),
    "a row": (["quarantine", "show", ""], ["1", "2"]),
    "rows that are left": (["quarantine", "drop", "1", ""], ["2"]),
    "the same for replay": (["quarantine", "replay", "2", ""], ["1"]),
    "keys": (["key", "revoke", ""], ["pillow-1", "prometheus"]),
    "a beginning of a key": (["key", "revoke", "pr"], ["prometheus"]),
    "users": (["user", "remove", ""], ["ada", "é"]),
    "a user whose role is set": (["user", "role", "a"], ["ada"]),
    "a user whose password is set": (["user", "password", "é"], ["é"]),
    "no user for a new one": (["user", "add", ""], []),
    "a user to forget": (["forget", "--user", ""], ["ada", "é"]),
    "a device to forget": (["forget", "pil"], ["pillow"]),
    "share links": (["unshare", ""], ["0a1b"]),
    "the store by a flag": (["get", "--store", "sqlite:///statecast.db", "pil"], ["pillow"]),
    "another store": (["get", "--store", "sqlite:///other.db", "pil"], []),
    "a store in memory": (["get", "--store", "memory:", ""], []),
    "a wrong store": (["get", "--store", "nonsense", ""], []),
    "no path": (["get", "--store", "sqlite:///", ""], []),
    "commands": (["q"], ["quarantine"]),
    "flags": (["get", "--js"], ["--json"]),
}


@pytest.mark.parametrize("kind", [BashComplete, ZshComplete, FishComplete])
def test_names_are_offered(store: SqliteStore, kind: type[ShellComplete]) -> None:
    found = {case: offered(*words, kind=kind) for case, (words, _) in CASES.items()}
    assert found == {case: expected for case, (_, expected) in CASES.items()}


def test_the_reason_stands_beside_a_row(store: SqliteStore) -> None:
    complete = ZshComplete(main, {}, "statecast", COMPLETE)
    found = complete.get_completions(["quarantine", "show"], "")
    assert [one.help for one in found] == ["It is not JSON.", "No\\x1b device."]


def test_settings_are_those_of_the_command(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert offered("get", "pil") == []
    monkeypatch.setenv("STATECAST_STORE", f"sqlite:///{tmp_path}/statecast.db")
    assert offered("get", "pil") == ["pillow"]
    monkeypatch.delenv("STATECAST_STORE")
    (tmp_path / "s.toml").write_text(f'store = "sqlite:///{tmp_path}/statecast.db"\n')
    assert offered("get", "--config", f"{tmp_path}/s.toml", "pil") == ["pillow"]
    (tmp_path / "s.toml").write_text("store = [")
    assert offered("get", "--config", f"{tmp_path}/s.toml", "pil") == []


# Nothing is touched


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
        if path.is_file()
    }


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def garble(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + os.urandom(8_000))


def remove(path: Path) -> None:
    path.unlink()


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)  # opening it would wait for a writer


def another_program(path: Path) -> None:
    path.unlink()
    command = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE devices(x)')"
    subprocess.run([sys.executable, "-c", command, str(path)], check=True)


def leave(path: Path) -> None:
    """It was closed, and is whole."""


FILES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "closed": (leave, ["pillow", "pine"]),
    "no store": (remove, []),
    "cut off": (cut, []),
    "no database": (garble, []),
    "a folder": (replace_by_folder, []),
    "a pipe": (replace_by_pipe, []),
    "of another program": (another_program, []),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_stays_as_it_is(store: SqliteStore, tmp_path: Path, case: str) -> None:
    # given a store that no process uses
    store.close()
    change_file, expected = FILES[case]
    change_file(tmp_path / "statecast.db")
    before = contents(tmp_path)
    # when names are completed, then nothing is made, changed or waited for
    assert offered("get", "pi") == expected
    assert offered("quarantine", "show", "7") == []
    assert contents(tmp_path) == before


def test_a_store_in_use_stays_as_it_is(store: SqliteStore, tmp_path: Path) -> None:
    # given a store that a process uses, with devices that are only in its log
    before = contents(tmp_path)
    before.pop("statecast.db-shm")  # locks of readers are marked there
    assert offered("get", "pi") == ["pillow", "pine"]
    after = contents(tmp_path)
    after.pop("statecast.db-shm")
    assert after == before
    # and the process goes on
    store.edit(change("pizza", {"n": 1}))
    assert offered("get", "pi") == ["pillow", "pine", "pizza"]


def test_a_store_of_a_killed_process_stays_as_it_is(store: SqliteStore, tmp_path: Path) -> None:
    # given what a killed process leaves: a store and its log, in another folder
    left = tmp_path / "left"
    left.mkdir()
    for suffix in ("", "-wal", ".lock"):
        shutil.copy(f"{store.path}{suffix}", left / f"statecast.db{suffix}")
    before = contents(left)
    names = offered("get", "--store", f"sqlite:///{left}/statecast.db", "pi")
    # then its devices are offered, and store, log and lock are what they were
    assert names == ["pillow", "pine"]
    after = contents(left)
    assert {name: after[name] for name in before} == before
    # and the next process opens it
    again = SqliteStore(left / "statecast.db", Limits(), store.clock)
    assert again.check() == []
    again.close()


# In the app's own program


def flask_program(tmp_path: Path) -> FlaskGroup:
    def create_app() -> Flask:
        print("What an app prints is no offer.")
        app = Flask("house")
        app.config["STATECAST_STORE"] = f"sqlite:///{tmp_path}/statecast.db"
        Statecast(app)
        return app

    return FlaskGroup(create_app=create_app)


def test_flask_offers_the_devices_of_its_app(
    store: SqliteStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir("/")
    program = flask_program(tmp_path)
    assert offered("statecast", "get", "pil", program=program) == ["pillow"]
    assert offered("statecast", "q", program=program) == ["quarantine"]
    assert capsys.readouterr() == ("", "")


def test_an_app_that_cannot_be_loaded_offers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Flask:
        raise ValueError("a defect of the app")

    assert offered("statecast", "get", "p", program=FlaskGroup(create_app=broken)) == []
    assert capsys.readouterr() == ("", "")


# A real shell

SCRIPT = r"""
eval "$(_STATECAST_COMPLETE=bash_source statecast)"
complete -p statecast
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _statecast_completion statecast
    echo "${COMPREPLY[@]}"
}
complete_words statecast get pi
complete_words statecast quarantine show ""
complete_words statecast dev
complete_words statecast get --store sqlite:///nowhere.db ""
"""


BROKEN: dict[str, dict[str, str]] = {
    "no words": {COMPLETE: "bash_complete"},
    "no number": {COMPLETE: "bash_complete", "COMP_WORDS": "statecast get", "COMP_CWORD": "x"},
    "no shell": {COMPLETE: "nonsense"},
    "an open quote": {
        COMPLETE: "bash_complete",
        "COMP_WORDS": "statecast get 'pil",
        "COMP_CWORD": "2",
    },
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_shell_that_asks_badly_gets_no_traceback(case: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("statecast")],
        env=os.environ | BROKEN[case],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ended.stdout.strip(), ended.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_bash_completes(store: SqliteStore, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    folder = Path(sys.executable).parent
    ended = subprocess.run(
        [bash, "--norc", "-c", SCRIPT],
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "complete -o nosort -F _statecast_completion statecast",
        "pillow pine",
        "1 2",
        "devices",
        "",
    ]
    assert not (tmp_path / "nowhere.db").exists()
