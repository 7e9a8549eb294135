"""The command line.

Tables of good and bad input. Every bad one ends with its status and one sentence, no traceback.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from statecast import __version__, program
from statecast.cli import message_parser, output
from statecast.cli.main import main
from statecast.cli.options import ALL_SETTINGS
from statecast.cli.watch import changes
from statecast.decoders.decoder import Decoder
from statecast.ingest.pipeline import Pipeline
from statecast.model import Change, Delivery, Message
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.timestamps import now

pytestmark = pytest.mark.bare

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def statecast() -> Invoke:
    def invoke(*words: str, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(
            main, words, input=stdin, prog_name="statecast", terminal_width=200
        )

    return invoke


def settle(url: str = "sqlite:///statecast.db", name: str = "queue") -> None:
    """What a serving process does with the queue, once."""
    store = open_store(url)
    lease = store.lease(name)
    assert lease is not None
    pipeline = Pipeline(EmbeddedQueue(store, name), Decoder(), store, batch_size=1000)
    while pipeline.step(lease.term, 0)[0]:
        pass
    lease.release()
    store.close()


def bodies(url: str = "sqlite:///statecast.db", name: str = "queue") -> list[Any]:
    """The messages that wait."""
    store = open_store(url, begin_epoch=False)
    found = EmbeddedQueue(store, name, visibility_timeout=0.1).receive(1000, 0)
    store.close()
    return [json.loads(delivery.body) for delivery in found]


def put_raw(*raw: bytes) -> None:
    """Messages that `send` would refuse."""
    store = open_store("sqlite:///statecast.db")
    EmbeddedQueue(store).send_many(raw)
    store.close()
    settle()


def refused(result: Result, status: int, words: str) -> None:
    """One sentence on stderr and nothing of Python's."""
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    assert words in result.stderr
    assert "Traceback" not in result.output
    sentences = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1
    assert isinstance(result.exception, SystemExit)


# -- the program


def test_version_and_help(statecast: Invoke) -> None:
    assert statecast("--version").stdout == f"statecast {__version__}\n"
    helped = statecast("-h")
    assert helped.exit_code == 0
    for name in ("run", "send", "get", "devices", "watch", "quarantine"):
        assert f"\n  {name} " in helped.stdout
        assert statecast(name, "--help").exit_code == 0


@pytest.mark.parametrize(
    "words", [("fly",), ("--fly",), ("get",), ("send",), ("quarantine", "fly"), ("devices", "x")]
)
def test_wrong_use_ends_with_2(statecast: Invoke, words: tuple[str, ...]) -> None:
    refused(statecast(*words), 2, "Error: ")


def test_a_defect_ends_in_a_sentence_and_its_traceback_in_a_file(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    # Given something of ours that fails in an unexpected way
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("nobody thought of this\n\x1b[2J")

    monkeypatch.setattr("statecast.cli.show.readable_store", fail)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    # When it is called, then there is one sentence that names a file
    result = statecast("get", "pillow")
    refused(result, 1, "defect")
    assert "\x1b" not in result.output
    (file,) = here.glob("statecast-*.log")
    assert str(file) in result.stderr
    assert "Traceback" in file.read_text()


def test_an_error_of_the_system_ends_in_a_sentence(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("statecast.cli.show.readable_store", fail)
    refused(statecast("devices"), 1, "No space left on device")


# -- settings


def test_every_setting_is_a_flag_of_run_with_its_sentence() -> None:
    command = main.commands["run"]
    options = {option.name: option for option in command.params if isinstance(option, click.Option)}
    assert set(options) == {*ALL_SETTINGS, "config"}
    for name in ALL_SETTINGS:
        assert f"--{name.replace('_', '-')}" in options[name].opts


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """`run` up to the server, which notes what it was given and ends like one that was
    interrupted."""
    found: list[Settings] = []

    class Server:
        @staticmethod
        def serve(runtime: Any, app: Any, *, announce: Callable[[str], None]) -> int:
            found.append(runtime.settings)
            announce(
                "Statecast is live at http://127.0.0.1:8000\n"
                "Other machines open it at http://192.168.7.5:8000"
            )
            return 130

    monkeypatch.setitem(sys.modules, "statecast.server.server", Server)
    monkeypatch.setattr("statecast.server.server", Server, raising=False)
    return found


def test_flags_win_over_the_environment_that_over_the_file(
    statecast: Invoke, served: list[Settings], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a file, and a variable for one of its settings
    (here / "my.toml").write_text(
        "port = 1\nwsgi_threads = 3\nbatch_size = 7\n[deadlines]\npillow = 60\n"
    )
    monkeypatch.setenv("STATECAST_PORT", "2")
    monkeypatch.setenv("STATECAST_BATCH_SIZE", "8")
    # When a flag is given too
    result = statecast(
        *(
            "run",
            "--config",
            "my.toml",
            "--port",
            "3",
            "--demo",
            "--source",
            "embedded:a",
            "--source",
            "embedded:b",
        ),
        *("--deadlines", "lamp=5", "--deadlines", "x/*=6"),
    )
    # Then each wins over the one after it
    assert result.exit_code == 130, result.output
    (got,) = served
    assert (got.port, got.batch_size, got.wsgi_threads, got.demo) == (3, 8, 3, True)
    assert got.source == ("embedded:a", "embedded:b")
    assert got.deadlines == {"lamp": 5, "x/*": 6}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ("command",)),
        (("--others-may", "send,write"), ("send", "write")),
        (("--others-may", "send", "--others-may", "operate"), ("send", "operate")),
        (("--others-may", ""), ()),
    ],
)
def test_an_empty_list_is_given(
    statecast: Invoke, served: list[Settings], words: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert statecast("run", *words).exit_code == 130
    assert served[0].others_may == expected


def test_the_file_may_come_from_the_environment(
    statecast: Invoke, served: list[Settings], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "my.toml").write_text("port = 1")
    monkeypatch.setenv("STATECAST_CONFIG", "my.toml")
    assert statecast("run").exit_code == 130
    assert served[0].port == 1


def test_run_says_how_to_send_a_first_message(statecast: Invoke, served: list[Settings]) -> None:
    lines = statecast("run").stdout.splitlines()
    assert lines[0] == "Statecast is live at http://127.0.0.1:8000"
    assert lines[1] == "Other machines open it at http://192.168.7.5:8000"
    assert lines[2].endswith("statecast send pillow mood=happy")
    lines = statecast("run", "--store", "memory:").stdout.splitlines()
    assert lines[2].endswith("statecast send --server http://127.0.0.1:8000 pillow mood=happy")
    lines = statecast("run", "--store", "sqlite:///my states.db").stdout.splitlines()
    assert lines[2].endswith("statecast send pillow mood=happy --store 'sqlite:///my states.db'")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--port", "high"), "The setting port must be a whole number; it is 'high'."),
        (("--port", "65536"), "between 0 and 65535"),
        (("--workers", "0"), "between 1 and 64"),
        (("--visibility-timeout", "nan"), "must be a number"),
        (("--deadlines", "pillow"), "deadlines"),
        (
            ("--config", "none.toml"),
            "The settings file none.toml cannot be read: No such file or directory.",
        ),
        (("--fly", "1"), "No such option"),
        (("--store", "\x1b[2J:"), "There is no store"),
        (("nothing:app",), "There is no module nothing in "),
        (("no-name:app",), "names no app"),
        (("../app.py",), "names no app"),
        ((":",), "names no app"),
    ],
)
def test_run_refuses(
    statecast: Invoke, served: list[Settings], words: tuple[str, ...], sentence: str
) -> None:
    if words[0] == "--store":
        words = ("get", "pillow", *words)  # the server is not one here, and so opens nothing
    else:
        words = ("run", *words)
    result = statecast(*words)
    refused(result, 2, sentence)
    assert "\x1b" not in result.output
    assert not served


@pytest.mark.parametrize("name", ["STATECAST_PROT", "STATECAST_"])
def test_an_unknown_variable_is_an_error(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    refused(statecast("devices"), 2, "There is no setting")


# -- run with an app


APPS = {
    "good": (
        "from flask import Flask\nfrom statecast import Statecast\n"
        "app = Flask(__name__)\nlive = Statecast(app, port=7000, title='Mine')\n"
        "def create_app():\n    return app\ndef fails():\n    raise ValueError('no \\x1b luck')\n"
    ),
    "without": "from flask import Flask\napp = Flask(__name__)\n",
    "number": "app = 5\n",
    "broken": "x = 1\nx / 0\n",
    "typo": "def (:\n",
    "lacks": "import a_module_that_is_not_there\n",
    "missets": "from flask import Flask\nfrom statecast import Statecast\nlive = "
    "Statecast(Flask('x'), prot=1)\n",
    "opens": (
        "from flask import Flask\nfrom statecast import Statecast\n"
        "app = Flask(__name__)\nlive = Statecast(app)\nlive.set('pillow', mood='happy')\n"
    ),
}


@pytest.fixture
def app_module(here: Path) -> Iterator[Callable[[str], str]]:
    """Writes one of the apps above as a module with a name of its own."""
    made = []

    def make(kind: str) -> str:
        name = f"app_{kind}_{abs(hash(here))}"
        (here / f"{name}.py").write_text(APPS[kind])
        made.append(name)
        return name

    path = list(sys.path)
    yield make
    sys.path[:] = path
    for name in made:
        if (module := sys.modules.pop(name, None)) is not None and (
            app := getattr(module, "app", None)
        ) is not None:
            runtime = getattr(app, "extensions", {}).get("statecast")
            if runtime is not None and runtime.store_opened:
                runtime.store.close()


@pytest.mark.parametrize("attribute", ["", ":app", ":create_app", ":create_app()"])
def test_run_serves_an_app_with_what_was_given(
    statecast: Invoke, served: list[Settings], app_module: Callable[[str], str], attribute: str
) -> None:
    module = app_module("good")
    assert statecast("run", module + attribute, "--wsgi-threads", "3").exit_code == 130
    assert (served[0].port, served[0].title, served[0].wsgi_threads) == (7000, "Mine", 3)
    statecast("run", module + attribute, "--port", "7001")
    assert served[1].port == 7001


@pytest.mark.parametrize(
    ("kind", "attribute", "sentence"),
    [
        ("good", ":nothing", "has no nothing"),
        ("good", ":fails", "ValueError: no \\u001b luck"),
        ("good", ":live", "is no Flask app"),
        ("without", ":app", "has no Statecast; add"),
        ("number", ":app", "is no Flask app but of the type int"),
        ("broken", ":app", "ZeroDivisionError: division by zero"),
        ("typo", ":app", "line 1"),
        ("lacks", ":app", "a_module_that_is_not_there"),
        ("missets", ":app", "There is no setting 'prot'"),
    ],
)
def test_run_refuses_an_app(
    statecast: Invoke,
    served: list[Settings],
    app_module: Callable[[str], str],
    kind: str,
    attribute: str,
    sentence: str,
) -> None:
    refused(statecast("run", app_module(kind) + attribute), 2, sentence)
    assert not served


def test_a_store_that_comes_too_late_is_refused(
    statecast: Invoke, served: list[Settings], app_module: Callable[[str], str]
) -> None:
    module = app_module("opens")
    refused(statecast("run", f"{module}:app", "--store", "sqlite:///other.db"), 2, "comes too late")
    assert statecast("run", f"{module}:app", "--store", "sqlite:///statecast.db").exit_code == 130


# -- send


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mood=happy"], {"state": {"mood": "happy"}}),
        (["a=true", "b=false", "c=null", "d=5", "e=-1.5e3", "f="],
         {"state": {"a": True, "b": False, "c": None, "d": 5, "e": -1500.0, "f": ""}}),
        (['a={"b": [1]}', "c=[1, 2]", 'd="5"', "e=[urgent] call", "f=0123", "g=x=y", "h=a b"],
         {"state": {"a": {"b": [1]}, "c": [1, 2], "d": "5", "e": "[urgent] call", "f": "0123",
                    "g": "x=y", "h": "a b"}}),
        (['{"mood": "calm"}'], {"state": {"mood": "calm"}}),
        (["{}"], {"state": {}}),
        (["😀.x=☁"], {"state": {"😀.x": "☁"}}),
        (["a=1", "--by", "user"], {"state": {"a": 1}, "by": "user"}),
        (["a=1", "--silent-after", "60"], {"state": {"a": 1}, "silent_after": 60}),
        (["--silent-after", "60"], {"state": {}, "silent_after": 60}),
        (["a=1", "--time", "2026-01-31T12:00:00Z"], {"state": {"a": 1},
        "time": "2026-01-31T12:00:00Z"}),
        (["a=1", "--replace"], {"state": {"a": 1}, "replace": True}),
        (["--replace"], {"state": {}, "replace": True}),
        (["--delete"], {"delete": True}),
    ],
)  # fmt: skip
def test_send_says_what_a_device_says(
    statecast: Invoke, words: list[str], message: dict[str, Any]
) -> None:
    result = statecast("send", "pillow", *words)
    assert (result.exit_code, result.stdout) == (0, "1\n")
    assert bodies() == [{"device": "pillow", **message}]


def test_send_takes_a_whole_message_and_answers_in_json(statecast: Invoke) -> None:
    result = statecast(
        "send", "--json", '[{"device": "a", "state": {}}, {"device": "b", "state": {}}]'
    )
    assert json.loads(result.stdout) == {"id": "1"}
    assert len(bodies()[0]) == 2


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["pillow"], 2, "Say what pillow has to say"),
        (["pillow", "mood"], 1, "“mood” is not a field; write it like mood=happy."),
        (["pillow", "=x"], 1, "is not a field"),
        (["pillow", "a=1", "a=2"], 1, "The field “a” is given twice."),
        (["pillow", "a=NaN"], 1, "NaN is not a number in JSON"),
        (["pillow", "a=-Infinity"], 1, "not a number"),
        (["pillow", "a=1e999"], 1, "beyond ±1.8e308"),
        (["pillow", "a=9007199254740993"], 1, "send it as text"),
        (["pillow", 'a={"b":1,"b":2}'], 1, "twice"),
        (["pillow", "a=\udcff"], 1, "half a character"),
        (["pillow", f"{'k' * 257}=1"], 1, "longer than 256"),
        (["pillow", f"a={'x' * 70_000}"], 1, "65536"),
        (["pillow", "a=" + "[" * 40 + "]" * 40], 1, "nested"),
        (["pillow", '{"a":'], 1, "not JSON"),
        (["pil\x1blow", "a=1"], 1, "is not a name of a device"),
        (["", "a=1"], 1, "must not be empty"),
        (["..", "a=1"], 1, "is not a name"),
        (["x" * 129, "a=1"], 1, "at most 128"),
        (["pillow", "a=1", "--by", "robot"], 2, "'robot'"),
        (["pillow", "a=1", "--time", "now"], 1, "not a time"),
        (["pillow", "a=1", "--silent-after", "0"], 1, "silent_after"),
        (["pillow", "a=1", "--silent-after", "nan"], 1, "number"),
        (["pillow", "a=1", "--silent-after", "x"], 2, "--silent-after"),
        (["pillow", "--delete", "a=1"], 2, "leave out the fields"),
        (["pillow", "--delete", "--replace"], 2, "leave out the fields"),
        (["{}"], 1, "device"),
        (["[]", "a=1"], 2, "stands alone"),
        (['{"device":"pillow","state":5}'], 1, "state"),
        (['[{"device":"pillow","state":{}}, 5]'], 1, "Item 1"),
        (['{"device":"pillow","state":{}}', "--by", "user"], 2, "--by goes with a DEVICE"),
        (["-", "--delete"], 2, "--delete goes with a DEVICE"),
        (["-", "x"], 2, "leave out the rest"),
        (["pillow", "a=1", "--store", "memory:"], 2, "store in a file"),
        (["pillow", "a=1", "--store", "sqlite:"], 2, "names no file"),
        (["pillow", "a=1", "--store", "sqlite:///no/folder/x.db"], 1, "does not exist; create it"),
    ],
)
def test_send_refuses(
    statecast: Invoke, here: Path, words: list[str], status: int, sentence: str
) -> None:
    result = statecast("send", *words)
    refused(result, status, sentence)
    assert "\x1b" not in result.output
    assert not list(here.iterdir()), "what is refused makes no store"


def test_send_reads_messages_from_the_input(statecast: Invoke) -> None:
    # Given good messages among bad ones, one over several lines, one that breaks off
    text = (
        b'{"device":"a","state":{"n":1}}\n\n'
        b"garbage\n"
        b'{"device":"b",\n "state":{"n":2}\n}\n'
        b'{"device":"broken",\n'
        b'{"device":"c","state":{"n":3}}\r\n'
        b"\xff\xfe\n"
        b'[{"device":"d","state":{}},\n{"device":"e","state":{}}]\n'
        b'{"device":"f","state":{"n":6}}'
    )
    # When they are sent
    result = statecast("send", "-", stdin=text)
    # Then the good ones are in the queue, in order, and of each bad one the line is named
    assert result.exit_code == 1
    assert result.stdout.split() == ["1", "2", "3", "4", "5"]
    sent = [body if isinstance(body, list) else body["device"] for body in bodies()]
    assert sent == [
        "a",
        "b",
        "c",
        [{"device": "d", "state": {}}, {"device": "e", "state": {}}],
        "f",
    ]
    *told, where = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in told] == ["Line 3", "Line 7", "Line 9"]
    assert all(line.startswith("Error: Line ") for line in told)
    assert where.startswith("Made a new store ")


@pytest.mark.parametrize("text", ["", "\n", " \n \n"])
def test_an_input_without_a_message_is_a_mistake(statecast: Invoke, text: str) -> None:
    """A program that was to write messages and wrote none would else go unnoticed."""
    result = statecast("send", "-", stdin=text)
    assert result.exit_code == 2 and not result.stdout
    assert "The input has no message; write one per line, as JSON." in result.stderr
    assert not Path("statecast.db").exists()


def test_a_line_without_end_is_not_gathered() -> None:
    class Endless(io.BytesIO):
        left = 200

        def read1(self, size: int | None = -1) -> bytes:
            self.left -= 1
            return b"[" * 65_536 if self.left else b""

    ((number, body),) = [one for batch in message_parser.batches(Endless()) for one in batch]
    assert number == 1
    assert len(body) < 1_000_000


def test_a_full_queue_is_a_sentence(statecast: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATECAST_QUEUE_MESSAGES", "1")
    assert statecast("send", "pillow", "a=1").exit_code == 0
    refused(statecast("send", "pillow", "a=2"), 1, "full")


# -- get, devices


def test_get_shows_a_state(statecast: Invoke) -> None:
    statecast("send", "pillow", "mood=happy", "battery=80", "on=true", "text=a\nb\x1b[2J\x9b")
    settle()
    lines = statecast("get", "pillow").stdout.splitlines()
    assert lines[0].startswith("pillow  version 1, changed ")
    assert [line.split() for line in lines[1:]] == [
        ["mood", "happy"],
        ["battery", "80"],
        ["on", "true"],
        ["text", "a\\nb\\u001b[2J\\u009b"],
    ]
    item = json.loads(statecast("get", "pillow", "--json").stdout)
    assert item["state"]["text"] == "a\nb\x1b[2J\x9b"
    assert item["cause"] == {"source": "queue", "id": "1", "by": "device"}


def test_what_is_printed_cannot_reach_the_terminal(statecast: Invoke) -> None:
    nasty = "\x1b]0;x\x07\u202e\u2028\x9b😀\U000e0001"
    statecast("send", "pillow", f"a={nasty}", f"{nasty}=1")
    settle()
    for words in (
        ("get", "pillow"),
        ("get", "pillow", "--json"),
        ("devices",),
        ("devices", "--json"),
    ):
        text = statecast(*words).stdout
        assert all(character.isprintable() or character == "\n" for character in text)
    assert json.loads(statecast("devices", "--json").stdout)["state"] == {"a": nasty, nasty: 1}


def test_a_terminal_that_lacks_a_character_gets_an_escape_and_a_program_does_not(
    statecast: Invoke,
) -> None:
    statecast("send", "pillow", "mood=☁")
    settle()
    western = CliRunner(charset="latin-1")
    assert "mood  \\u2601" in western.invoke(main, ["get", "pillow"]).stdout
    assert "☁".encode() in western.invoke(main, ["get", "pillow", "--json"]).stdout_bytes


def test_devices_lists_what_is_there(statecast: Invoke) -> None:
    assert statecast("send", "b", "x=1").exit_code == 0
    assert statecast("devices").stderr == "No device has sent anything yet.\n"
    statecast("send", "a", "x=2")
    statecast("send", "gone", "x=3")
    statecast("send", "gone", "--delete")
    settle()
    assert [line.split()[0] for line in statecast("devices").stdout.splitlines()] == ["a", "b"]
    items = [json.loads(line) for line in statecast("devices", "--json").stdout.splitlines()]
    assert [(item["device"], item["state"]) for item in items] == [("a", {"x": 2}), ("b", {"x": 1})]


def test_a_silent_device_is_shown_as_silent(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a device with a deadline of its own, one with that of a setting, one without
    statecast("send", "own", "n=1", "--silent-after", "60")
    statecast("send", "set", "n=1")
    statecast("send", "none", "n=1")
    settle()
    monkeypatch.setenv("STATECAST_DEADLINES", "set=90")
    # When more time has passed than the deadlines allow
    later = now() + 80_000
    monkeypatch.setattr("statecast.cli.show.now", lambda: later)
    # Then one is silent
    lines = statecast("devices").stdout.splitlines()
    assert ["silent" in line for line in lines] == [False, True, False]
    assert "silent for 8" in statecast("get", "own").stdout
    # And later both are; without a deadline there is no verdict
    later += 20_000
    lines = statecast("devices").stdout.splitlines()
    assert ["silent" in line for line in lines] == [False, True, True]
    assert "silent" not in statecast("get", "none").stdout


def test_what_is_not_there_is_told(statecast: Invoke) -> None:
    statecast("send", "pillow", "x=1")
    called = program.name()
    refused(statecast("get", "pillow"), 1, f"messages waiting in the queue for `{called} run`: 1")
    statecast("send", "pillow", "--delete")
    settle()
    refused(statecast("get", "pillow"), 1, "was removed")
    refused(
        statecast("get", "lamp"),
        1,
        f"No device called “lamp” has sent anything; `{called} devices` lists",
    )
    refused(statecast("get", "a b"), 1, "is not a name of a device")


@pytest.mark.parametrize(
    "words",
    [
        ("get", "pillow"),
        ("devices",),
        ("watch",),
        ("quarantine", "list"),
        ("quarantine", "replay", "--all"),
    ],
)
def test_reading_makes_no_store(statecast: Invoke, here: Path, words: tuple[str, ...]) -> None:
    refused(
        statecast(*words), 1, f"There is no store {here}/statecast.db; name another with --store"
    )
    assert not list(here.iterdir())


def test_a_file_that_is_not_ours_is_left_alone(statecast: Invoke, here: Path) -> None:
    (here / "letter.txt").write_text("Dear pillow")
    for words in (
        ("get", "a"),
        ("send", "a", "b=1"),
        ("devices",),
        ("watch",),
        ("quarantine", "list"),
    ):
        refused(
            statecast(*words, "--store", "sqlite:///letter.txt"), 1, "is not a store of Statecast"
        )
    assert (here / "letter.txt").read_text() == "Dear pillow"


def test_commands_that_send_or_read_begin_no_epoch(statecast: Invoke) -> None:
    def epoch() -> str:
        store = open_store("sqlite:///statecast.db", begin_epoch=False)
        place = store.read_position()
        store.close()
        return place.epoch

    statecast("send", "pillow", "x=1")
    before = epoch()
    for words in (
        ("send", "pillow", "x=2"),
        ("get", "pillow"),
        ("devices",),
        ("quarantine", "list"),
    ):
        statecast(*words)
    assert epoch() == before


# -- watch


def test_watch_refuses_a_bad_pattern(statecast: Invoke) -> None:
    refused(statecast("watch", "floor*"), 1, "is not a pattern")


def test_changes_are_the_states_and_then_every_change() -> None:
    # Given a store with a device, and one that was removed
    store = open_store("memory:")
    store.edit(Change("pillow", "merge", {"n": 1}))
    store.edit(Change("gone", "merge", {"n": 1}))
    store.edit(Change("gone", "delete", {}))
    # When somebody follows
    follow = changes(store)
    first = next(follow)
    # Then the states come first
    assert first is not None and (first.device, first.state) == ("pillow", b'{"n":1}')
    # And then what changes, a removal too
    store.edit(Change("pillow", "merge", {"n": 2}))
    second = next(follow)
    assert second is not None and second.state == b'{"n":2}'
    store.edit(Change("pillow", "delete", {}))
    third = next(follow)
    assert third is not None and third.state is None
    # And nothing when nothing happens
    store.wake()
    assert next(follow) is None
    follow.close()


def test_changes_begin_anew_after_a_restored_backup() -> None:
    store, backup = open_store("memory:"), open_store("memory:")
    for number in range(3):
        store.edit(Change("pillow", "merge", {"n": number}))
    backup.edit(Change("pillow", "merge", {"n": 0}))

    class Restored:
        now = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self.now, name)

    both = Restored()
    follow = changes(both)  # type: ignore[arg-type]
    assert (first := next(follow)) is not None and first.state == b'{"n":2}'
    both.now = backup
    backup.wake()
    assert (second := next(follow)) is not None and second.state == b'{"n":0}'
    follow.close()


# -- quarantine


def test_quarantine_shows_why_and_what(statecast: Invoke) -> None:
    assert statecast("send", "pillow", "x=1").exit_code == 0
    assert statecast("quarantine", "list").stderr == "The quarantine is empty.\n"
    # Given two bad messages
    put_raw(b'{"device": "pillow"} \x1b', b"\xff\x00")
    # When they are listed, then each has its reason
    lines = statecast("quarantine", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    rows = [
        json.loads(line) for line in statecast("quarantine", "list", "--json").stdout.splitlines()
    ]
    assert rows[0]["body"] == '{"device": "pillow"} \x1b'
    assert rows[1]["body_base64"] == "/wA="
    assert all(row["reason"] and row["source"] == "queue" for row in rows)
    # When one is shown, then in full
    shown = statecast("quarantine", "show", "1").stdout
    assert "\\u001b" in shown and rows[0]["reason"] in shown
    assert json.loads(statecast("quarantine", "show", "1", "--json").stdout) == rows[0]
    assert statecast("quarantine", "show", "2", "--body").stdout_bytes == b"\xff\x00"


def test_replay_tries_again_and_keeps_what_is_refused_again(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a bad message, and one that a decoder of old refused and today's accepts
    put_raw(b"garbage", b'{"device":"pillow","state":{"mood":"calm"}}x')
    statecast("send", "pillow", "mood=happy")
    settle()
    read = Decoder.__call__

    def fixed(self: Decoder, delivery: Delivery) -> Message:
        return read(self, dataclasses.replace(delivery, body=delivery.body.removesuffix(b"x")))

    monkeypatch.setattr(Decoder, "__call__", fixed)
    # When all are replayed
    result = statecast("quarantine", "replay", "--all")
    # Then the good one is applied, below what is newer, and the other one stays
    assert result.exit_code == 1
    assert result.stdout == "Replayed: 1.\n"
    assert "1: " in result.stderr and "Error: Not replayed: 1." in result.stderr
    assert json.loads(statecast("get", "pillow", "--json").stdout)["state"] == {"mood": "happy"}
    assert len(statecast("quarantine", "list").stdout.splitlines()) == 1


@pytest.mark.parametrize("flag", [True, False])
def test_replay_reads_as_the_messages_own_source_does(
    statecast: Invoke, monkeypatch: pytest.MonkeyPatch, flag: bool
) -> None:
    # Given a message that named no device, before its queue had one by its settings
    put_raw(b'{"mood":"calm"}')
    assert statecast("quarantine", "replay", "--all").exit_code == 1
    # When it is replayed after that fix
    source = "embedded:queue?default=pillow"
    if not flag:
        monkeypatch.setenv("STATECAST_SOURCE", source)
    words = ("--source", source) if flag else ()
    assert statecast("quarantine", "replay", "--all", *words).stdout == "Replayed: 1.\n"
    # Then it is that device's
    assert json.loads(statecast("get", "pillow", "--json").stdout)["state"] == {"mood": "calm"}


def test_drop_deletes_all_or_none(statecast: Invoke) -> None:
    put_raw(b"1", b"2", b"3")
    refused(statecast("quarantine", "drop", "1", "9"), 1, "There is no message 9 in quarantine")
    assert statecast("quarantine", "drop", "1", "3", "3").stdout == "Dropped: 2.\n"
    assert [line.split()[0] for line in statecast("quarantine", "list").stdout.splitlines()] == [
        "2"
    ]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("show", "7"), 1),
        (("show", "0"), 2),
        (("show", "x"), 2),
        (("replay",), 2),
        (("replay", "1", "--all"), 2),
        (("replay", "7"), 1),
        (("drop",), 2),
        (("drop", "99999999999999999999"), 2),
        (("show", "99999999999999999999"), 2),
    ],
)
def test_quarantine_refuses(statecast: Invoke, words: tuple[str, ...], status: int) -> None:
    statecast("send", "pillow", "x=1")
    refused(statecast("quarantine", *words), status, "Error: ")


# -- the terminal


def test_columns_are_aligned_and_cut() -> None:
    rows = [["a", "bb", "long text"], ["aaa", "b", "x"]]
    assert output.columns(rows, None) == ["a    bb  long text", "aaa  b   x"]
    assert output.columns(rows, 12) == ["a    bb  lo…", "aaa  b   x"]


def test_the_limits_of_the_store_are_settings() -> None:
    assert set(Limits.__dataclass_fields__) <= set(ALL_SETTINGS)


def test_help_names_the_program_as_it_was_called(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["send", "--help"], prog_name=".venv/bin/statecast")
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: .venv/bin/statecast send ")
    assert "  .venv/bin/statecast send pillow mood=happy battery=80\n" in shown
    assert "  tail -f messages.jsonl | .venv/bin/statecast send -\n" in shown
    assert " statecast send" not in shown
