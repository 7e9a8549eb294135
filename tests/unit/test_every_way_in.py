"""One table of encodings, the same for every way in.

Queues that others write, the queue in the store, REST, ``statecast send`` with an argument and with
standard input, and ``live.send``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from statecast import Statecast
from statecast.cli.main import main
from statecast.decoders import open_decoder
from statecast.errors import Refused
from statecast.flask import runtime_of
from statecast.model import Delivery
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from tests.encodings import MESSAGE, NAMED, READ, SEVERAL, STATES

Way = Callable[[bytes], list[dict[str, Any]]]


class NotTaken(Exception):
    """The way in has refused the message; the text is its sentence."""


def states(url: str, *bodies: bytes) -> list[dict[str, Any]]:
    """What the decoder of a source reads in messages. Raises NotTaken."""
    found = []
    for body in bodies:
        message = open_decoder({}, url)(Delivery("m1", body, 0))
        if message.refusals:
            raise NotTaken(message.refusals[0].reason)
        found += [{"device": one.device, "state": one.state} for one in message.changes]
    return found


def waiting(queue: Any) -> list[dict[str, Any]]:
    return states("embedded:queue", *(one.body for one in queue.receive(1000, 0)))


def azure_queue(body: bytes) -> list[dict[str, Any]]:
    return states("azure-queue:pillow", body)


def embedded_queue(body: bytes) -> list[dict[str, Any]]:
    return states("embedded:queue", body)


def rest(body: bytes) -> list[dict[str, Any]]:
    app = Flask("host")
    Statecast(app, store="memory:")
    live = runtime_of(app)
    try:
        answer = app.test_client().post("/api/messages", data=body, content_type="application/json")
        if answer.status_code != 202:
            assert answer.status_code in (400, 413), answer.text
            raise NotTaken(answer.get_json(force=True)["detail"])
        return waiting(live.queue)
    finally:
        live.stop()


def live_send(body: bytes) -> list[dict[str, Any]]:
    app = Flask("host")
    live = Statecast(app, store="memory:")
    try:
        live.send(body)
        return waiting(runtime_of(app).queue)
    except Refused as error:
        raise NotTaken(str(error)) from None
    finally:
        runtime_of(app).stop()


def command(*words: str, stdin: bytes | None = None) -> list[dict[str, Any]]:
    result = CliRunner().invoke(main, ["send", *words], input=stdin, prog_name="statecast")
    if result.exit_code:
        assert isinstance(result.exception, SystemExit), result.exception
        raise NotTaken(result.stderr)
    store = open_store("sqlite:///statecast.db", begin_epoch=False)
    try:
        return waiting(EmbeddedQueue(store))
    finally:
        store.close()


def send_argument(body: bytes) -> list[dict[str, Any]]:
    return command(body.decode("utf-8", "surrogateescape"))


def send_input(body: bytes) -> list[dict[str, Any]]:
    return command("-", stdin=body)


WAYS: list[Way] = [azure_queue, embedded_queue, rest, live_send, send_argument, send_input]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", {})


def as_argument(way: Way, body: bytes) -> bool:
    """Whether the system can pass this body on: an argument has no NUL."""
    return way is not send_argument or b"\0" not in body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [row[1] for row in READ], ids=[row[0] for row in READ])
def test_every_encoding_is_read_on_every_way_in(way: Way, body: bytes) -> None:
    if as_argument(way, body):
        assert way(body) == [MESSAGE]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", [row[1] for row in STATES], ids=[row[0] for row in STATES])
def test_a_state_may_be_given_as_text_on_every_way_in(way: Way, state: Any) -> None:
    assert way(json.dumps(MESSAGE | {"state": state}).encode()) == [MESSAGE]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("join", [row[1] for row in SEVERAL], ids=[row[0] for row in SEVERAL])
def test_several_messages_are_read_on_every_way_in(
    way: Way, join: Callable[[list[bytes]], bytes]
) -> None:
    said = [{"device": f"pillow-{number}", "state": {"n": number}} for number in range(3)]
    body = join([json.dumps(one).encode() for one in said])
    if as_argument(way, body):
        assert way(body) == said


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "sentence"), [row[1:] for row in NAMED], ids=[row[0] for row in NAMED]
)
def test_what_is_not_read_is_named_on_every_way_in(way: Way, body: bytes, sentence: str) -> None:
    blank = len(body) < 4 and not body.strip(b" \n\xef\xbb\xbf\xff\xfe")
    if way is send_input and blank:
        with pytest.raises(NotTaken, match="The input has no message"):
            way(body)
    elif way is send_input and b"]\n[" in body:
        assert way(body) == 2 * [MESSAGE] * body.count(b"]\n[")  # each line is a message
    elif way is send_argument:
        return  # a word that is no message is the name of a device
    elif way is send_input and body.count(b"\n"):
        with pytest.raises(NotTaken):  # refused line by line
            way(body)
    elif way is not send_input or len(body) < 100_000:
        with pytest.raises(NotTaken) as refused:
            way(body)
        assert sentence in str(refused.value)
