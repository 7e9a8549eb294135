"""``flask --app myapp statecast ...``: the command line with the settings of the app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import FlaskGroup

from statecast import Statecast, program
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing.values import change, message, refused
from statecast.timestamps import now


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.chdir(tmp_path)
    one = Flask("house")
    one.config["STATECAST_STORE"] = "sqlite:///house.db"
    Statecast(one)
    yield one
    one.extensions["statecast"].stop()


def run(app: Flask, *words: str, **more: Any) -> Result:
    group = FlaskGroup(create_app=lambda: app)
    return CliRunner().invoke(group, ["statecast", *words], prog_name="flask", **more)


@pytest.fixture
def filled(app: Flask, tmp_path: Path) -> Flask:
    """The store of the app has a device and a message in quarantine."""
    store = SqliteStore(tmp_path / "house.db", Limits(), now)
    page = [message("a", change("pillow", {"mood": "happy"}), sent_at=now()), refused("b")]
    store.commit("queue", 1, page)
    store.close()
    return app


COMMANDS: dict[str, tuple[list[str], int, str]] = {
    "get": (["get", "pillow", "--json"], 0, '"mood":"happy"'),
    "devices": (["devices"], 0, "pillow"),
    "quarantine list": (["quarantine", "list"], 0, "It is not JSON."),
    "quarantine show": (["quarantine", "show", "1", "--body"], 0, "raw b"),
    "quarantine drop": (["quarantine", "drop", "1"], 0, "Dropped: 1."),
    "store check": (["store", "check"], 0, "Nothing is wrong."),
    "doctor": (["doctor"], 0, "sqlite:///house.db can be read; it knows 1 device"),
    "send": (["send", "pillow", "mood=calm"], 0, "house.db"),
    "help": (["--help"], 0, "quarantine"),
    "help of a command": (["get", "--help"], 0, "Usage: flask statecast get"),
    "a device that is not there": (["get", "chair"], 1, "No device called “chair”"),
    "a wrong name": (["get", "a b"], 1, "is not a name of a device"),
    "a wrong flag": (["get", "--nonsense"], 2, "No such option"),
    "a wrong setting": (["get", "pillow", "--store", "x"], 2, "x"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_uses_the_store_of_the_app(filled: Flask, tmp_path: Path, case: str) -> None:
    words, status, text = COMMANDS[case]
    ended = run(filled, *words)
    assert (ended.exit_code, text in ended.output) == (status, True), ended.output
    assert "Traceback" not in ended.output
    assert {path.name for path in tmp_path.iterdir()} <= {
        *("house.db", "house.db.lock", "house.db-wal", "house.db-shm", "house.db.lease-queue")
    }


def test_flags_the_environment_and_the_file_override_the_app(
    filled: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_store("sqlite:///other.db")
    other.edit(change("chair", {"n": 1}))
    other.close()
    (tmp_path / "s.toml").write_text('store = "sqlite:///other.db"\n')
    for words in (["--store", "sqlite:///other.db"], ["--config", "s.toml"]):
        assert "chair" in run(filled, "devices", *words).output
    # the environment beats what the app says of itself, as it does when it serves
    monkeypatch.setenv("STATECAST_STORE", "sqlite:///other.db")
    fresh = Flask("house")
    fresh.config["STATECAST_STORE"] = "sqlite:///house.db"
    Statecast(fresh)
    assert "chair" in run(fresh, "devices").output


def test_a_store_that_the_app_has_opened_is_opened_by_one_of_them(filled: Flask) -> None:
    # given an app that writes a state while it is imported
    live = filled.extensions["statecast"]
    live.edit(change("chair", {"n": 1}))
    ended = run(filled, "devices", "--json")
    assert ended.exit_code == 0
    assert {json.loads(line)["device"] for line in ended.output.splitlines()} == {
        "chair",
        "pillow",
    }


def test_an_app_without_statecast_is_refused_with_a_sentence() -> None:
    ended = run(Flask("plain"), "devices")
    assert ended.exit_code == 2
    assert "The Flask app 'plain' has no Statecast; add `live = Statecast(app)`" in ended.output


def test_a_store_in_memory_is_refused_with_a_sentence() -> None:
    app = Flask("house")
    Statecast(app, store="memory:")
    ended = run(app, "devices")
    assert ended.exit_code == 2 and "lives in the process of its server" in ended.output


def test_run_serves_the_app_of_flask_and_no_other(app: Flask) -> None:
    ended = run(app, "run", "other:app")
    assert ended.exit_code == 2
    assert "`flask --app other:app statecast run`" in ended.output


CALLED: dict[str, tuple[list[str], str]] = {
    "an app": (["flask", "--app", "house", "statecast", "devices"], "flask --app house statecast"),
    "by the environment": (["flask", "statecast", "devices"], "flask statecast"),
    "a short flag": (["flask", "-A", "a b", "statecast", "run"], "flask -A 'a b' statecast"),
    "debug": (["flask", "--debug", "statecast", "run"], "flask --debug statecast"),
    "an app of that name": (["flask", "--app", "statecast", "run"], ""),
    "another command": (["flask", "--app", "house", "run"], ""),
}


@pytest.mark.parametrize("case", CALLED)
def test_sentences_name_the_command_that_was_typed(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, expected = CALLED[case]
    plain = program.name()
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(program, "_is_found", lambda called: called.name == "flask")
    if expected:
        assert program.name() == expected
    else:
        assert not program.name().startswith("flask") and plain
