"""Which commands a device takes: what it says, what a setting says, and what is refused then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient

from statecast.broadcast import encoding
from statecast.cli.main import main
from statecast.decoders.decoder import Decoder
from statecast.decoders.options import DecodeOptions
from statecast.errors import BadSetting, NotTaken
from statecast.flask import Statecast, create_app, runtime_of
from statecast.model import Cause, Change, Delivery, Message, Update
from statecast.settings import Settings
from statecast.testing.values import START

DEVICE = "/api/devices/pillow"


def decoded(members: Any, decode: Decoder | None = None) -> Message:
    return (decode or Decoder())(Delivery("a", json.dumps(members).encode(), START))


# What a message says

MANY = [f"c{number}" for number in range(33)]
SAID: dict[str, tuple[dict[str, Any], tuple[str, ...] | str | None]] = {
    "names": ({"commands": ["hug", "open"]}, ("hug", "open")),
    "none": ({"commands": []}, ()),
    "nothing said": ({"state": {}}, None),
    "null is not said": ({"commands": None, "state": {}}, None),
    "null alone": ({"commands": None}, "It brings no state."),
    "with a state": ({"commands": ["hug"], "state": {"n": 1}}, ("hug",)),
    "with a replacement": ({"commands": ["hug"], "state": {}, "replace": True}, ("hug",)),
    "twice the same": ({"commands": ["hug", "open", "hug"]}, ("hug", "open")),
    "as many as there may be": ({"commands": MANY[:32]}, tuple(MANY[:32])),
    "too many": ({"commands": MANY}, "takes at most 32 commands; this list has 33"),
    "the longest name": ({"commands": ["x" * 64]}, ("x" * 64,)),
    "a name too long": ({"commands": ["x" * 65]}, "a text of 1 to 64 printable characters"),
    "an empty name": ({"commands": [""]}, "a text of 1 to 64 printable characters"),
    "a line in a name": ({"commands": ["a\nb"]}, "a text of 1 to 64 printable characters"),
    "a number": ({"commands": ["hug", 5]}, "“commands” must be the names of the commands"),
    "one text": ({"commands": "hug"}, "it is a text"),
    "an object": ({"commands": {"hug": True}}, "it is an object"),
    "of a removed device": ({"commands": [], "delete": True}, "does not say which commands"),
}


@pytest.mark.parametrize("case", SAID)
def test_a_message_says_what_the_device_takes(case: str) -> None:
    members, expected = SAID[case]
    message = decoded({"device": "pillow", **members})
    if isinstance(expected, str):
        assert expected in message.refusals[0].reason
        assert message.changes == ()
    else:
        (change,) = message.changes
        assert (change.commands, change.state) == (expected, members.get("state") or {})


FOREIGN: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...] | None]] = {
    # On a queue that other programs write to, only a list of texts is ours.
    "ours": ({"device": "p", "commands": ["hug"]}, {}, ("hug",)),
    "with members of others": (
        {"device": "p", "commands": ["hug"], "state": {"n": 1}, "rssi": 5},
        {"n": 1},
        ("hug",),
    ),
    "a number of theirs": ({"device": "p", "state": {"n": 1}, "commands": 7}, {"n": 1}, None),
    "objects of theirs": ({"device": "p", "state": {}, "commands": [{"a": 1}]}, {}, None),
    # A source with a default device reads what is no plain message as a state.
    "no device": ({"commands": ["hug"]}, {}, ("hug",)),
    "a state with such a field": (
        {"commands": ["hug"], "mood": "calm"},
        {"commands": ["hug"], "mood": "calm"},
        None,
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_other_programs_may_have_such_a_member(case: str) -> None:
    members, state, commands = FOREIGN[case]
    options = DecodeOptions(default=None if "device" in members else "p")
    (change,) = decoded(members, Decoder(options, foreign=True)).changes
    assert (change.device, change.state, change.commands) == ("p", state, commands)


def test_two_lists_with_one_event_id_are_two() -> None:
    one, other = (
        decoded({"device": "p", "id": "e", "commands": [name]}).changes[0] for name in ("a", "b")
    )
    assert one.event_key != other.event_key


# What a setting says

SETTINGS: list[tuple[Any, dict[str, tuple[str, ...]] | str]] = [
    ("", {}),
    ("pillow=hug open", {"pillow": ("hug", "open")}),
    ("pillow=hug, lamp/*=, *=on off", {"pillow": ("hug",), "lamp/*": (), "*": ("on", "off")}),
    ({"pillow": ["give a hug"], "lamp": []}, {"pillow": ("give a hug",), "lamp": ()}),
    ({"pillow": "hug open"}, {"pillow": ("hug", "open")}),
    ("pillow", "must be a table of device pattern and commands"),
    ("no name=hug", "is not a name of a device"),
    ({"pillow": 5}, "must name the commands of 'pillow'"),
    ({"pillow": [5]}, "printable characters"),
    ({"pillow": MANY}, "at most 32"),
    (5, "must be a table of device pattern and commands"),
]


@pytest.mark.parametrize(("given", "expected"), SETTINGS)
def test_a_setting_says_it_for_devices_that_do_not(
    given: Any, expected: dict[str, tuple[str, ...]] | str
) -> None:
    if isinstance(expected, str):
        with pytest.raises(BadSetting, match="device_commands") as caught:
            Settings(device_commands=given)
        assert expected in str(caught.value)
    else:
        assert Settings(device_commands=given).device_commands == expected


def update(device: str, commands: tuple[str, ...] | None, state: bytes | None = b"{}") -> Update:
    cause = Cause("queue", "a", "device")
    return Update(device, 1, 1, state, START, START, cause, commands=commands)


@pytest.mark.parametrize(
    ("device", "said", "expected"),
    [
        ("pillow", None, ["hug"]),
        ("pillow", ("open",), ["open"]),
        ("pillow", (), []),
        ("lamp/1", None, []),
        ("chair", None, ["sit"]),
    ],
)
def test_what_viewers_and_programs_get(
    device: str, said: tuple[str, ...] | None, expected: list[str]
) -> None:
    settings = Settings(device_commands={"pillow": ["hug"], "lamp/*": [], "*": ["sit"]})
    assert json.loads(encoding.item(update(device, said), settings))["commands"] == expected
    # and without a setting, what nothing says is left out
    shown = json.loads(encoding.item(update(device, said), Settings()))
    assert shown.get("commands") == (None if said is None else list(said))
    # and a removed device takes nothing that a setting could say
    assert "commands" not in json.loads(encoding.item(update(device, None, None), settings))


# What is refused


@pytest.fixture
def app() -> Iterator[Flask]:
    app = create_app(Settings(store="memory:", device_commands={"lamp": ["on"]}))
    yield app
    runtime_of(app).stop()


def commit(app: Flask, members: dict[str, Any]) -> None:
    runtime = runtime_of(app)
    body = json.dumps(members).encode()
    message = Decoder()(Delivery(body.decode(), body, runtime.clock()))
    assert runtime.store.commit("queue", 1, [message]).applied == 1


def ask(client: FlaskClient, name: str, device: str = "pillow", key: str = "") -> tuple[int, str]:
    response = client.post(
        f"/api/devices/{device}/commands",
        json={"name": name},
        headers={"Idempotency-Key": key} if key else {},
    )
    return response.status_code, response.get_json().get("detail", "")


def test_a_command_that_a_device_does_not_take_is_refused(app: Flask) -> None:
    client = app.test_client()
    # given a device that said nothing, it takes all
    commit(app, {"device": "pillow", "state": {"mood": "calm"}})
    assert ask(client, "dance", key="click 1")[0] == 201
    # when it says what it takes, the rest is refused, by a sentence that names what it takes
    commit(app, {"device": "pillow", "commands": ["hug", "open"]})
    shown = client.get(DEVICE).get_json()
    assert (shown["commands"], shown["version"]) == (["hug", "open"], 2)
    assert client.get("/api/devices").get_json()["devices"][0]["commands"] == ["hug", "open"]
    assert ask(client, "hug")[0] == 201
    sentence = "“pillow” does not take “dance”; it takes “hug”, “open”."
    assert ask(client, "dance") == (409, sentence)
    # but a repeated request is the command that it began
    assert ask(client, "dance", key="click 1")[0] == 201
    # and when it takes none, all is refused
    commit(app, {"device": "pillow", "commands": []})
    assert ask(client, "hug") == (409, "“pillow” takes no commands.")
    # and the state is what it was
    assert client.get(DEVICE).get_json()["state"] == {"mood": "calm"}


def test_a_setting_refuses_too(app: Flask) -> None:
    client = app.test_client()
    commit(app, {"device": "lamp", "state": {}})
    assert ask(client, "off", "lamp") == (409, "“lamp” does not take “off”; it takes “on”.")
    assert client.get("/api/devices/lamp").get_json()["commands"] == ["on"]
    # the device's own word wins
    commit(app, {"device": "lamp", "commands": ["off"]})
    assert ask(client, "off", "lamp")[0] == 201


def test_from_python() -> None:
    app = Flask(__name__)
    live = Statecast(app, store="memory:")
    assert live.takes("pillow") is None
    live.set("pillow", mood="calm")
    assert live.takes("pillow") is None
    commit(app, {"device": "pillow", "commands": ["hug"]})
    assert live.takes("pillow") == ("hug",)
    assert live.get("pillow") == {"mood": "calm"}
    assert live.command("pillow", "hug").status == "waiting"
    with pytest.raises(NotTaken, match="does not take “open”; it takes “hug”"):
        live.command("pillow", "open")
    # an edit leaves it
    live.replace("pillow", mood="happy")
    assert live.takes("pillow") == ("hug",)


# By the command line


@pytest.fixture
def statecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, words, prog_name="statecast")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("mood=calm", "--commands", "hug, open"), ["hug", "open"]),
        (("--commands", ""), []),
        (("mood=calm",), None),
    ],
)
def test_send_says_what_a_device_takes(
    statecast: Callable[..., Result], words: tuple[str, ...], expected: list[str] | None
) -> None:
    assert statecast("send", "pillow", *words).exit_code == 0
    message = sent()
    assert message.get("commands") == expected


def sent() -> dict[str, Any]:
    """The message that waits in the store of this folder."""
    runtime = runtime_of(create_app(Settings()))
    queue = runtime.store.queue("queue")
    (delivery,) = queue.acknowledge_and_receive({}, 1, 0)
    runtime.stop()
    found: dict[str, Any] = json.loads(delivery.body)
    return found


@pytest.mark.parametrize(
    ("commands", "line", "sentence"),
    [
        (("hug", "open"), "  takes hug, open", "does not take “dance”; it takes “hug”, “open”."),
        ((), "  takes no commands", "“pillow” takes no commands."),
    ],
)
def test_get_and_command_say_it(
    statecast: Callable[..., Result], commands: tuple[str, ...], line: str, sentence: str
) -> None:
    runtime = runtime_of(create_app(Settings()))
    message = decoded({"device": "pillow", "state": {"mood": "calm"}, "commands": commands})
    runtime.store.commit("queue", 1, [message])
    runtime.stop()
    assert statecast("get", "pillow").output.splitlines()[1:] == [line, "  mood  calm"]
    assert json.loads(statecast("get", "pillow", "--json").output)["commands"] == list(commands)
    refused = statecast("command", "pillow", "dance")
    assert refused.exit_code == 1 and sentence in refused.output
    assert "Traceback" not in refused.output


def test_a_change_keeps_what_it_says_when_it_is_compared() -> None:
    assert Change("p", "merge", {}, commands=("a",)) != Change("p", "merge", {})
