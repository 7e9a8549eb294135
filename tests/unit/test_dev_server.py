"""Under ``flask run`` the address that Flask prints is live: viewers' requests there go to our
server in the same process, which starts when the app is loaded.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from flask import Flask
from flask.cli import ScriptInfo, routes_command, run_command

from statecast import Statecast, dev_server
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


GIVEN = {"tls_cert", "tls_key", "hsts_days", "allow_public", "public_read"}


def give(command: click.Command, **params: Any) -> Flask:
    """An app that gets its Statecast while ``command`` is running.

    ``params`` are those of the command, and the settings in ``GIVEN``.
    """
    settings = {name: params.pop(name) for name in GIVEN & params.keys()}
    context = click.Context(command, obj=ScriptInfo())
    options = {"reload": None, "host": "127.0.0.1", "port": 5000, "with_threads": True}
    context.params = options | params
    app = Flask("host")
    with context:
        Statecast(
            app, store="memory:", host="192.0.2.7", live_url="https://live.example", **settings
        )
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


@pytest.mark.parametrize(
    ("host", "named", "warned"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("localhost", "localhost", False),
        ("::1", "::1", False),
        ("0.0.0.0", "0.0.0.0", True),
        ("::", "::", True),
        ("192.0.2.8", "192.0.2.8", True),
        ("unix:///run/app.sock", "127.0.0.1", False),
    ],
)
def test_the_host_that_flask_was_given_is_the_host_of_viewers(
    begun: list[str], capsys: pytest.CaptureFixture[str], host: str, named: str, warned: bool
) -> None:
    settings = runtime_of(give(run_command, host=host)).settings
    assert (settings.host, settings.allow_public, settings.live_url) == (named, False, ".")
    assert settings.trusted_proxy == ("127.0.0.1",)
    assert capsys.readouterr().err == ""  # what others may do is said when all is loaded
    # and with the setting that opens it
    give(run_command, host=host, allow_public=True)
    sentence = (
        f" * Everyone who reaches {host} may read every state and ask something of a device.\n"
    )
    assert capsys.readouterr().err == sentence * warned


def test_tls_is_left_to_flask(begun: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    app = give(run_command, tls_cert="a.pem", tls_key="k.pem", hsts_days=1)

    settings = runtime_of(app).settings
    assert (settings.tls_cert, settings.tls_key, settings.hsts_days) == ("", "", 0)
    assert "with `flask run --cert ... --key ...`." in capsys.readouterr().err


def test_a_server_that_answers_one_request_at_a_time_has_no_viewers(
    begun: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = runtime_of(give(run_command, with_threads=False))
    assert (begun, runtime.unserved.serving) == ([], False)
    assert capsys.readouterr().err == (
        " * Statecast is not live: with --without-threads Flask's server answers one request at a "
        "time, and a viewer's request lasts. Leave it out.\n"
    )


def test_no_other_command_and_no_other_server_starts_anything(begun: list[str]) -> None:
    assert runtime_of(give(routes_command)).settings.host == "192.0.2.7"
    Statecast(Flask("host"), store="memory:")
    assert begun == []


def test_what_stands_against_it_is_said_in_one_line_and_to_viewers(
    begun: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # given an app under `flask run` whose store cannot be opened
    app = give(run_command)
    runtime = runtime_of(app)
    runtime.settings = dataclasses.replace(runtime.settings, store=f"sqlite:///{tmp_path}")
    info = ScriptInfo(create_app=lambda: app)
    info.load_app()
    # when the live server is to start
    forwarder: Any = app.wsgi_app
    dev_server.serve(info, app, runtime, forwarder)
    # then the reason is said, a viewer gets an answer at once, and pages say that they are not live
    said = capsys.readouterr().err
    assert said.startswith(" * Statecast is not live: ") and str(tmp_path) in said
    answer = app.test_client().get("/socket.io/", environ_overrides={"werkzeug.socket": object()})
    assert answer.status_code == 503
    assert "Statecast is not live; the output of flask run says why." in answer.text
    assert str(tmp_path) not in answer.text
    assert (runtime.settings.live_url, runtime.unserved.serving) == ("", False)


@pytest.fixture
def flask_run(tmp_path: Path) -> Iterator[Any]:
    """Starts ``flask run`` and reads until it has said where it is and that it is live."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        app = str(ROOT / "examples" / "clock" / "app.py")
        command = [sys.executable, "-m", "flask", "--app", app, "run", "-p", "0", *options]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=ENVIRONMENT | {"NO_COLOR": "1"}, text=True,
                start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append(process)
        assert process.stdout
        address, live = "", False
        for line in process.stdout:
            if " Running on " in line:
                address = line.rpartition(" Running on ")[2].split()[0]
            if line.startswith(" * Statecast is live at the address that Flask prints"):
                live = True
            if live and address:
                return address
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

    # then the address that Flask prints has the user's page, the polled state and the live endpoint
    assert b"Hello" in urllib.request.urlopen(f"{address}/", timeout=10).read()
    polling = urllib.request.urlopen(
        f"{address}/socket.io/?EIO=4&transport=polling", timeout=10
    ).read()
    assert json.loads(polling[1:])["upgrades"] == ["websocket"]
    sources = urllib.request.urlopen(f"{address}/readyz", timeout=10).read()
    assert json.loads(sources)["status"] == "ready"


@pytest.mark.parametrize(
    ("host", "settings", "said"),
    [
        ("127.0.0.1", {}, False),
        ("0.0.0.0", {}, True),
        ("0.0.0.0", {"allow_public": True}, False),
        ("0.0.0.0", {"public_read": ("hall",)}, False),
    ],
)
def test_it_is_said_that_other_machines_may_do_nothing(
    monkeypatch: pytest.MonkeyPatch,
    begun: list[str],
    capsys: pytest.CaptureFixture[str],
    host: str,
    settings: dict[str, Any],
    said: bool,
) -> None:
    # given an app that Flask's server shows to a host, and that is loaded
    app = give(run_command, host=host, **settings)
    runtime = runtime_of(app)
    monkeypatch.setattr(dev_server, "start", lambda app, runtime: ("127.0.0.1", 1))
    info, forwarder = SimpleNamespace(_loaded_app=app), SimpleNamespace(begin=lambda address: None)
    # when it becomes live
    dev_server.serve(info, app, runtime, forwarder)  # type: ignore[arg-type]
    # then there is a line where others reach it and nothing says what they may
    lines = capsys.readouterr().err.splitlines()
    assert " * Statecast is live at the address that Flask prints" in lines
    assert ("Other machines may do nothing here" in lines[-1]) == said
    runtime.stop()
