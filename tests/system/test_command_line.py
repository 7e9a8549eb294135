"""The command line as processes: pipes, signals, and a server beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from flask import Flask
from server_process import ENVIRONMENT, PROGRAM, ServerProcess, statecast

from child_process import started
from statecast import Statecast
from waiting import wait_for

pytestmark = pytest.mark.bare

Watching = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    """Starts `statecast watch` in the folder."""
    started: list[subprocess.Popen[str]] = []

    def watch(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PROGRAM, "watch", *words], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield watch
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path, "--port", "0")
    yield running
    running.kill()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def next_item(process: subprocess.Popen[str]) -> tuple[str, object]:
    item = json.loads(output(process).readline())
    return item["device"], item["state"]


def test_send_run_get_watch(tmp_path: Path, watching: Watching) -> None:
    # Given messages sent before any server ran
    assert statecast(tmp_path, "send", "pillow", "mood=sleepy").stdout == "1\n"
    assert statecast(tmp_path, "send", "pillow", "battery=5").returncode == 0
    assert statecast(tmp_path, "get", "pillow").returncode == 1
    # When a server starts, then it applies them, and says how to send more
    watch = watching("pillow", "--json")
    server = ServerProcess(tmp_path, "--port", "0")
    try:
        seen = next_item(watch)
        while seen != ("pillow", {"mood": "sleepy", "battery": 5}):
            seen = next_item(watch)
        assert server.process.stdout is not None
        assert server.process.stdout.readline().endswith("statecast send pillow mood=happy\n")
        # And what is sent now is seen now, but nothing of others
        statecast(tmp_path, "send", "lamp", "on=true")
        statecast(tmp_path, "send", "pillow", "mood=null")
        assert next_item(watch) == ("pillow", {"battery": 5})
        item = json.loads(statecast(tmp_path, "get", "pillow", "--json").stdout)
        assert item["state"] == {"battery": 5}
        listed = statecast(tmp_path, "devices").stdout.splitlines()
        assert [line.split()[0] for line in listed] == ["lamp", "pillow"]
        # When it is told to stop, then it says so by its status, and get still answers
        assert server.terminate() == 128 + signal.SIGTERM
    finally:
        server.kill()
    assert json.loads(statecast(tmp_path, "get", "pillow", "--json").stdout) == item


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_watch_cleanly(
    tmp_path: Path, server: ServerProcess, watching: Watching, number: int
) -> None:
    # Given a watch that has begun
    statecast(tmp_path, "send", "pillow", "n=1")
    watch = watching()
    assert "pillow  v1  " in output(watch).readline()
    # When the signal comes, then it ends without a word
    watch.send_signal(number)
    assert watch.communicate(timeout=20) == ("", "")
    assert watch.returncode == 128 + number


def test_ctrl_c_ends_run_with_130(server: ServerProcess) -> None:
    assert server.terminate(signal.SIGINT) == 130
    assert "Traceback" not in "".join(server.output)


def test_a_closed_pipe_ends_watch_although_nothing_more_happens(
    tmp_path: Path, server: ServerProcess
) -> None:
    statecast(tmp_path, "send", "pillow", "n=1")
    watch = subprocess.Popen(
        [PROGRAM, "watch"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert watch.stdout is not None and watch.stderr is not None
    with watch, watch.stderr:
        assert b"pillow" in watch.stdout.readline()
        watch.stdout.close()
        assert watch.wait(20) == 0
        assert watch.stderr.read() == b""


def test_a_closed_pipe_ends_what_still_writes(tmp_path: Path) -> None:
    lines = "".join(
        json.dumps({"device": f"d{number}", "state": {}}) + "\n" for number in range(5000)
    )
    command = f"{PROGRAM} send - | head -1"
    piped = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], cwd=tmp_path, env=ENVIRONMENT,
        input=lines,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert piped.stdout == "1\n0\n"
    assert piped.stderr.startswith("Made a new store ")
    assert piped.stderr.count("\n") == 1


def test_messages_are_sent_as_they_come(tmp_path: Path) -> None:
    """A pipe that stays open, like `tail -f`.

    Each message has its id before the next is written.
    """
    with subprocess.Popen(
        [PROGRAM, "send", "-", "--json"], cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as send:  # fmt: skip
        assert send.stdin and send.stdout
        for number in range(1, 4):
            print('{"device": "pillow", "state": {}}', file=send.stdin, flush=True)
            assert json.loads(send.stdout.readline()) == {"id": str(number)}
        send.stdin.close()
        assert send.wait(20) == 0


def sentence(finished: subprocess.CompletedProcess[str], status: int) -> str:
    """The only line it said."""
    assert finished.returncode == status, finished
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_run_says_what_is_in_its_way(tmp_path: Path) -> None:
    # A port in use
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = sentence(statecast(tmp_path, "run", "--port", port), 2)
        assert port in said and "--port" in said
    # An address that others reach
    assert "--allow-public" in sentence(
        statecast(tmp_path, "run", "--host", "0.0.0.0", "--port", "0"), 2
    )
    # A file that is not ours
    (tmp_path / "letter.txt").write_text("Dear pillow")
    said = sentence(statecast(tmp_path, "run", "--store", "sqlite:///letter.txt", "--port", "0"), 1)
    assert "letter.txt is not a store of Statecast" in said
    # A folder that is not there
    assert "create it" in sentence(
        statecast(tmp_path, "run", "--store", "sqlite:///no/x.db", "--port", "0"), 1
    )
    # An unknown source
    assert "There is no source" in sentence(
        statecast(tmp_path, "run", "--source", "fly:away", "--port", "0"), 2
    )


def mortal() -> list[str]:
    """What makes root, for whom every folder can be written, somebody who keeps to the rights of
    files.
    """
    if os.geteuid() != 0:
        return []
    if (setpriv := shutil.which("setpriv")) is None:
        pytest.skip("root can write everywhere, and there is no setpriv here")
    rights = "-dac_override,-dac_read_search"
    return [setpriv, f"--inh-caps={rights}", f"--bounding-set={rights}"]


@pytest.mark.parametrize("words", ["run --port 0", "send pillow n=1"])
def test_a_read_only_folder_is_a_sentence(tmp_path: Path, words: str) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o500)
    finished = subprocess.run(
        [*mortal(), PROGRAM, *words.split()],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "may not be written" in sentence(finished, 1)


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(
    not FULL.exists(), reason="this system has no device that is always full"
)
BUFFERING = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
"""As a shell starts it, and with PYTHONUNBUFFERED, which many containers set."""


@needs_full
@BUFFERING
@pytest.mark.parametrize(
    "words",
    ["send pillow n=1", "send pillow n=1 --json", "get pillow", "get pillow --json", "devices",
     "watch", "doctor", "--version", "--help", "run --help"],
)  # fmt: skip
def test_an_output_that_is_full_is_a_sentence(tmp_path: Path, words: str, unbuffered: str) -> None:
    app = Flask("app")
    live = Statecast(app, store=f"sqlite:///{tmp_path}/statecast.db")
    live.set("pillow", {"n": 1})
    live.runtime.stop()
    with FULL.open("w") as full:
        ended = subprocess.run(
            [PROGRAM, *words.split()], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE,
            env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}, text=True, timeout=60,
        )  # fmt: skip
    *before, last = ended.stderr.splitlines()
    assert last == "Error: The system refused: No space left on device."
    assert [line.partition(" of ")[0] for line in before] == (
        ["Sent to the queue"] if words.startswith("send") else []
    )
    assert ended.returncode == 1


@needs_full
@BUFFERING
@pytest.mark.parametrize(("words", "status"), [("get pillow", 1), ("send", 2), ("bogus", 2)])
def test_a_sentence_that_cannot_be_written_keeps_its_status(
    tmp_path: Path, words: str, status: int, unbuffered: str
) -> None:
    with FULL.open("w") as full:
        ended = subprocess.run(
            [PROGRAM, *words.split()], cwd=tmp_path, stdout=full, stderr=full,
            env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}, timeout=60,
        )  # fmt: skip
    assert ended.returncode == status


@needs_full
@BUFFERING
def test_a_full_output_is_no_reason_not_to_serve(tmp_path: Path, unbuffered: str) -> None:
    """Its log says so, and its end is the usual one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    with FULL.open("w") as full, started(
        [PROGRAM, "run", "--port", port], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered},
    ) as process:  # fmt: skip
        assert process.stderr
        assert "the address cannot be printed: No space left" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", int(port)), timeout=20):
            process.terminate()
            assert process.wait(30) == 143
        assert "Exception ignored" not in process.stderr.read()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "status"),
    [("send -", 2), ("devices", 0), ("get nothing", 1), ("bogus", 2)],
)
def test_a_closed_stream_changes_no_status(
    tmp_path: Path, words: str, status: int, closed: str
) -> None:
    """And is no defect: a daemon or a job of cron may be started so."""
    app = Flask("app")
    live = Statecast(app, store=f"sqlite:///{tmp_path}/statecast.db")
    live.set("pillow", {"n": 1})
    live.runtime.stop()
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", PROGRAM, *words.split()]
    ended = subprocess.run(
        shell, cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, "defect" in ended.stderr) == (status, False)


def test_the_number_of_a_closed_stream_goes_to_no_file(tmp_path: Path) -> None:
    script = (
        "import os; from statecast.program import output; output.open_closed_streams();"
        "file = open('file', 'w'); os.write(2, b'a complaint'); print('printed', flush=True);"
        "assert file.fileno() > 2"
    )
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", script]
    assert subprocess.run(shell, cwd=tmp_path, env=ENVIRONMENT, timeout=60).returncode == 0
    assert (tmp_path / "file").read_text() == ""


def test_python_m_statecast_is_the_same(tmp_path: Path) -> None:
    module = subprocess.run(
        [sys.executable, "-m", "statecast", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert module.stdout == statecast(tmp_path, "--version").stdout
    assert module.stdout.startswith("statecast ")


def test_send_imports_nothing_that_serves(tmp_path: Path) -> None:
    """It is called once per message by scripts: Flask and a server would cost most of its time."""
    script = (
        "import sys\nfrom statecast.cli.main import main\nmain(['send', 'pillow', 'n=1'], "
        "standalone_mode=False)\n"
        "print([name for name in ('flask', 'werkzeug', 'uvicorn', 'uvloop', 'asyncio') if "
        "name in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.stdout == "1\n[]\n"


def test_flask_runs_the_same_commands(tmp_path: Path) -> None:
    # given an app of its own, and Flask's program
    (tmp_path / "house.py").write_text(HOUSE)
    flask = (PROGRAM.with_name("flask"), "--app", "house", "statecast")
    # when it serves with two processes, then the app answers
    server = ServerProcess(tmp_path, "--port", "0", "--workers", "2", program=flask)
    try:
        assert "flask --app house statecast send pillow mood=happy" in "".join(
            [*server.output, server.process.stdout.readline() if server.process.stdout else ""]
        )
        with urllib.request.urlopen(server.address, timeout=20) as page:
            assert page.read() == b"hello"
        # and the other commands use its store
        sent = subprocess.run(
            [*flask, "send", "pillow", "mood=happy"], cwd=tmp_path, capture_output=True, text=True
        )
        assert sent.returncode == 0 and "house.db" in sent.stderr
        wait_for(lambda: "happy" in shown(tmp_path, *flask), "the message was not applied")
        assert server.terminate() == 143
    finally:
        server.kill()


HOUSE = """
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
app.config["STATECAST_STORE"] = "sqlite:///house.db"
live = Statecast(app)

@app.route("/")
def index():
    return "hello"
"""


def shown(folder: Path, *program: str | Path) -> str:
    ended = subprocess.run([*program, "devices"], cwd=folder, capture_output=True, text=True)
    return ended.stdout
