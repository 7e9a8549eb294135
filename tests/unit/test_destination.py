"""`statecast send` says where a message is, and what is missing for it to be read."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from statecast import strict_json
from statecast.cli.main import main
from statecast.cli.run import first_message
from statecast.flask import create_app, runtime_of
from statecast.model import Position
from statecast.program.commands import command, send_command
from statecast.server.server import BackgroundServer
from statecast.settings import Settings
from statecast.stores import open_store

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> Result:
    """Type a command of the program as it was printed."""
    program, *words = shlex.split(line)
    while not program.endswith(("statecast", "statecast'")):  # "python -m statecast"
        program, *words = words
    return CliRunner().invoke(main, words, prog_name="statecast")


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    """A server whose store is in memory: only it can be sent to."""
    app = create_app(Settings(store="memory:", port=0, shutdown_timeout=0.1))
    serving = BackgroundServer(runtime_of(app), app)
    serving.start()
    yield serving
    serving.stop()


# A queue of the settings


def test_a_new_store_is_said_to_be_new(here: Path) -> None:
    first = run("statecast send pillow mood=happy")
    assert first.stdout == "1\n"
    assert first.stderr == (
        f"Made a new store {here}/statecast.db, and sent to its queue. "
        f"No server reads it now; `{command(Settings(), 'run')}` would.\n"
    )
    again = run("statecast send pillow mood=happy")
    assert again.stderr.startswith(f"Sent to the queue of the store {here}/statecast.db. No server")


def test_the_store_of_the_flag_is_in_the_command_that_reads_it(here: Path) -> None:
    result = run("statecast send --store 'sqlite:///my store.db' pillow mood=happy")
    assert f"Made a new store {here}/my store.db," in result.stderr
    assert "run --store 'sqlite:///my store.db'` would." in result.stderr


def test_a_refused_message_makes_no_store(here: Path) -> None:
    assert run("statecast send pillow time=1 --time yesterday").exit_code == 1
    assert run('statecast send \'{"mood": "sad"}\'').exit_code == 1
    assert list(here.iterdir()) == []


def test_nothing_is_missing_where_a_server_reads_the_queue() -> None:
    with serving("queue"):
        assert run("statecast send pillow mood=happy").stderr.endswith("statecast.db.\n")


def test_a_server_that_reads_another_queue_is_told_apart() -> None:
    with serving("pillow"):
        assert run("statecast send pillow mood=happy").stderr.endswith(
            "The server of this store does not read its queue 'queue'; "
            "start it with --source embedded:queue too.\n"
        )
    # when it has ended, however it did, then no server reads it
    assert "No server reads it now" in run("statecast send pillow mood=happy").stderr


@contextmanager
def serving(source: str) -> Iterator[None]:
    """A store whose server has just announced that it receives from this source."""
    store = open_store("sqlite:///statecast.db")
    store.announce("p", {"sources": {source: {"status": "connected"}}, "viewers": 0})
    yield
    store.close()


def test_input_is_told_once(here: Path) -> None:
    lines = b'{"device":"a","state":{}}\n' * 600
    result = CliRunner().invoke(main, ["send", "-"], input=lines, prog_name="statecast")
    assert len(result.stdout.splitlines()) == 600
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "message", "what"),
    [
        (
            "on_bad_field=drop",
            '{"device": "pillow", "state": {"t": NaN, "u": 1}}',
            "The field “/state/t” was dropped.",
        ),
        (
            "time=optional",
            '{"device": "pillow", "time": "soon", "state": {"u": 1}}',
            "Its time was left out, and the time of arrival counts. “soon” is not",
        ),
    ],
)
def test_what_will_be_left_out_is_said_at_once(
    here: Path, option: str, message: str, what: str
) -> None:
    source = f"embedded:queue?{option}"
    words = ["send", "--source", source]
    # when a message is sent as an argument and as a line of the input
    single = CliRunner().invoke(main, [*words, message], prog_name="statecast")
    lines = CliRunner().invoke(main, [*words, "-"], input=f"{message}\n", prog_name="statecast")
    # then it is in the queue, and its sender knows what will be missing
    assert (single.exit_code, lines.exit_code) == (0, 0)
    assert f"Warning: {what}" in single.stderr
    assert f"Warning: Line 1: {what}" in lines.stderr


# A running server


def test_through_a_server(server: BackgroundServer, here: Path) -> None:
    result = run(send_command(server.address, "pillow", {"mood": "happy"}))
    assert (result.exit_code, result.stdout) == (0, "1\n")
    assert result.stderr == f"Sent to the server {server.address}.\n"
    assert list(here.iterdir()) == [], "no store is made here"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ('--server {} \'{{"mood": "sad"}}\'', "“mood” is not a member of a message"),
        ("--server http://127.0.0.1:1 pillow a=1", "http://127.0.0.1:1 cannot be reached"),
        ("--server {}/nowhere pillow a=1", "answered 404; is it a server of Statecast?"),
        ("--server ftp://x pillow a=1", "like http://127.0.0.1:8000; it is ftp://x."),
        ("--server {} --store sqlite:///x.db pillow a=1", "two places; leave out one of them."),
    ],
)
def test_what_a_server_refuses(server: BackgroundServer, words: str, sentence: str) -> None:
    result = run(f"statecast send {words.format(server.address)}")
    assert result.exit_code in (1, 2) and not result.stdout
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_input_through_a_server(server: BackgroundServer) -> None:
    lines = b'{"device":"a","state":{}}\nbad\n[{"device":"b","state":{}},{"device":"c","state":{}}]'
    words = ["send", "--server", server.address, "-"]
    result = CliRunner().invoke(main, words, input=lines, prog_name="statecast")
    assert (result.exit_code, result.stdout.split()) == (1, ["1", "2", "3"])
    refused, where = result.stderr.splitlines()
    assert refused.startswith("Error: Line 2: ")
    assert where == f"Sent to the server {server.address}."


@pytest.mark.parametrize(
    ("device", "state"),
    [
        ("pillow", {"mood": "happy", "battery": 82}),
        ("floor2/pillow", {"label": "two words", "on": True}),
        ("pillow", {"text": "12", "null": None}),
        ("pillow", {"quotes": 'it\'s "$HOME" `id` \\', "list": [1, {"a": "b c"}]}),
        ("pillow", {"a=b": 1}),
        ("pillow", {"": 1, "two words": "x"}),
        ("--help", {"n": 1}),
        ("-", {"n": 1}),
        ("pillow", {}),
    ],
)
def test_a_printed_command_sends_what_it_says(
    server: BackgroundServer, device: str, state: dict[str, object]
) -> None:
    result = run(send_command(server.address, device, state))
    assert result.exit_code == 0, result.stderr
    store = server.runtime.store
    found = None
    while found is None:  # until the consumer has applied it
        store.wait(0.1)
        found = store.get(device)
    expected = {name: one for name, one in state.items() if one is not None}
    assert found.state is not None and strict_json.decode(found.state) == expected


# What the server prints


def test_the_first_message_of_a_server_reaches_it(server: BackgroundServer) -> None:
    """A store in memory is in no other process, so the command goes through the server."""
    settings = server.runtime.settings
    assert run(first_message(server.address, settings)).exit_code == 0
    assert server.runtime.store.read_position() != Position("", 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ""),
        ({"store": "sqlite:///a b.db"}, " --store 'sqlite:///a b.db'"),
        (
            {"source": ("azure-queue:q?default=door",)},
            " --source 'azure-queue:q?default=door'",
        ),
        ({"source": ("embedded:queue", "azure-queue:q")}, ""),
    ],
)
def test_the_first_message_names_store_and_source(settings: dict[str, object], words: str) -> None:
    found = first_message("http://x", Settings(**settings))  # type: ignore[arg-type]
    assert found.endswith(f" send pillow mood=happy{words}")


def test_a_setting_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another terminal has another environment."""
    monkeypatch.setenv("STATECAST_STORE", "sqlite:///statecast.db")
    assert command(Settings(), "devices").endswith(" devices --store sqlite:///statecast.db")
