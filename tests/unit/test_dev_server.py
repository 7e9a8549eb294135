"""Under ``flask run`` the live server starts in the process that serves, when the app is loaded,
and says where.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from flask.cli import ScriptInfo, routes_command, run_command

from statecast import Statecast, dev_server
from statecast.errors import BadSetting
from statecast.flask import runtime_of

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = dict(os.environ)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that would start the live server."""
    names: list[str] = []

    class Recorded(threading.Thread):
        def start(self) -> None:
            names.append(self.name)

    monkeypatch.setattr(threading, "Thread", Recorded)
    return names


def give(command: click.Command, **params: Any) -> Flask:
    """An app that gets its Statecast while ``command`` is running."""
    context = click.Context(command, obj=ScriptInfo())
    context.params = {"reload": None, "port": 5000} | params
    app = Flask("host")
    with context:
        Statecast(app, store="memory:", host="0.0.0.0", allow_origins="https://mine.example")
    return app


@pytest.mark.parametrize(
    ("reload", "debug", "child", "starts"),
    [
        (None, False, False, True),
        (False, True, False, True),
        (None, True, False, False),
        (None, True, True, True),
        (True, False, False, False),
        (True, False, True, True),
    ],
)
def test_of_two_processes_only_the_reloaders_child_serves(
    monkeypatch: pytest.MonkeyPatch,
    begun: list[str],
    reload: bool | None,
    debug: bool,
    child: bool,
    starts: bool,
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", str(int(debug)))
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", str(child).lower())
    give(run_command, reload=reload)
    assert begun == ["statecast-start"] * starts


def test_only_loopback_is_listened_on_and_pages_of_flasks_server_may_connect(
    begun: list[str],
) -> None:
    settings = runtime_of(give(run_command)).settings
    assert settings.host == "127.0.0.1"
    assert settings.allow_origins == (
        "https://mine.example",
        "http://127.0.0.1:5000",
        "http://localhost:5000",
    )


def test_no_other_command_and_no_other_server_starts_anything(begun: list[str]) -> None:
    assert runtime_of(give(routes_command)).settings.host == "0.0.0.0"
    Statecast(Flask("host"), store="memory:")
    assert begun == []


def test_where_the_port_is_taken_a_free_one_is(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        app = Flask("host")
        Statecast(app, store="memory:", port=other.getsockname()[1])
        server = dev_server.start(app, runtime_of(app))
        taken = other.getsockname()[1]
        assert int(server.address.rpartition(":")[2]) not in (0, taken)
        server.stop()
    assert capsys.readouterr().err == (
        f" * Port {taken} of 127.0.0.1 is taken by another program; choose another (--port), "
        "or 0 for a free one. Statecast takes a free one.\n"
    )


def test_where_the_store_cannot_be_used_that_is_the_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # given a port that is taken and a store that cannot be opened
    with socket.create_server(("127.0.0.1", 0)) as other:
        app = Flask("host")
        folder = tmp_path / "a-folder"
        folder.mkdir()
        Statecast(app, store=f"sqlite:///{folder}", port=other.getsockname()[1])
        info, address = ScriptInfo(create_app=lambda: app), dev_server.Address()
        info.load_app()
        # when the live server is to start
        dev_server.serve(info, app, runtime_of(app), address)
    # then both are said, and pages do not wait for an address
    port, store = capsys.readouterr().err.splitlines()
    assert "is taken by another program" in port
    assert store.startswith(" * Statecast is not live: ") and "closed by this process" not in store
    assert address.wait() == ""


def test_what_stands_against_it_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(app: Flask, runtime: Any) -> None:
        raise BadSetting("There is no store 'x'.")

    monkeypatch.setattr(dev_server, "start", refuse)
    app = Flask("host")
    Statecast(app, store="memory:")
    info = ScriptInfo(create_app=lambda: app)
    info.load_app()
    dev_server.serve(info, app, runtime_of(app), dev_server.Address())
    assert capsys.readouterr().err == " * Statecast is not live: There is no store 'x'.\n"


@pytest.fixture
def flask_run(tmp_path: Path) -> Iterator[Any]:
    """Starts ``flask run`` and reads until it says where Statecast is live."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        app = str(ROOT / "examples" / "clock" / "app.py")
        command = [sys.executable, "-m", "flask", "--app", app, "run", "-p", "0", *options]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=ENVIRONMENT | {"STATECAST_PORT": "0"}, text=True,
                start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append(process)
        assert process.stdout
        for line in process.stdout:
            if line.startswith(" * Statecast is live at "):
                return line.split()[5].rstrip(";")
        raise AssertionError("flask run ended")

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)  # the reloader's child outlives its parent
        process.communicate()


@pytest.mark.parametrize("options", [(), ("--debug",)])
def test_flask_run_serves_the_same_app_with_viewers_and_polls(
    flask_run: Any, options: tuple[str, ...]
) -> None:
    # given the example under Flask's own server
    address = flask_run(*options)

    # then our server beside it has the user's page, the polled state and the live endpoint
    assert b"Hello" in urllib.request.urlopen(f"{address}/", timeout=10).read()
    polling = urllib.request.urlopen(
        f"{address}/socket.io/?EIO=4&transport=polling", timeout=10
    ).read()
    assert json.loads(polling[1:])["upgrades"] == ["websocket"]
    sources = urllib.request.urlopen(f"{address}/readyz", timeout=10).read()
    assert json.loads(sources)["status"] == "ready"
