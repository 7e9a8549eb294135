"""``socketio.run`` as programs call it: with a public host, with ``debug``, in a thread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from azurite_server import free_port
from tests.child_process import started

APP = """
import threading
from flask import Flask
from statecast import Statecast
from statecast.socketio import SocketIO

app = Flask(__name__)
socketio = SocketIO(app, store="memory:")

@app.get("/")
def boom():
    raise ValueError("boom")

"""
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}


@contextmanager
def running(folder: Path, last: str) -> Iterator[subprocess.Popen[str]]:
    program = folder / "program.py"
    program.write_text(f"{APP}{last}\n", "utf-8")
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with started(
        [sys.executable, program],
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the program that the reloader started, too


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (
            "Statecast(app); socketio.run(app, host='0.0.0.0', debug=True)",
            "nothing says yet what they may do",
        ),
        ("socketio.run(app, host='no.such.host.invalid', debug=True)", "There is no address"),
        ("socketio.run(app, certfile='a.pem', debug=True)", "The TLS file a.pem cannot be read"),
        (
            "t = threading.Thread(target=socketio.run, args=(app, 'no.such.host.invalid'))\n"
            "t.start(); t.join()",
            "There is no address",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_the_end(
    tmp_path: Path, last: str, sentence: str
) -> None:
    with running(tmp_path, last) as process:
        said, _ = process.communicate(timeout=30)
    assert "Traceback" not in said and said.splitlines()[-1].startswith("Statecast: "), said
    assert said.count(sentence) == 1, said
    assert process.returncode == (0 if "thread" in last else 1)


@pytest.mark.parametrize(
    "how",
    [
        "socketio.run(app, '0.0.0.0', {port}, debug=True)",
        "threading.Thread(target=lambda: socketio.run(app, '0.0.0.0', {port}, debug=True)).start()",
    ],
)
def test_a_program_with_debug_and_a_public_host_is_live(tmp_path: Path, how: str) -> None:
    # given a program as tutorials have it, in the main thread or in another one
    port = free_port()
    with running(tmp_path, how.format(port=port)) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "is live at" in line:
                break

        # then it is live, and says that others reach it
        assert said[-1].endswith(f"Statecast is live at http://127.0.0.1:{port}\n"), said
        assert any("everyone who reaches 0.0.0.0 may connect" in line for line in said)
        assert ("main thread" in "".join(said)) == ("Thread" in how)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/socket.io/?EIO=4&transport=polling", timeout=30
        ) as answer:
            assert json.loads(answer.read()[1:])["upgrades"] == ["websocket"]

        # and an error of a page is shown by werkzeug's debugger
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30)
        with error.value as page:
            assert "Werkzeug Debugger" in page.read().decode()

        # and Ctrl-C ends it
        os.killpg(process.pid, signal.SIGINT)
        if "Thread" not in how:  # Python waits for threads that a program has started
            assert process.wait(timeout=30) == 0
