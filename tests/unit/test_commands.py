"""Commands by every way in: REST, Python, the command line, and a device's answer as a message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from statecast import names
from statecast.cli.main import main
from statecast.commands.life import Command
from statecast.commands.request import new_command
from statecast.decoders.decoder import Decoder
from statecast.decoders.options import DecodeOptions
from statecast.errors import NotFound, Refused
from statecast.flask import Statecast, create_app, runtime_of
from statecast.model import Answer, Change, Delivery, Message
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.testing.values import VirtualClock

COMMANDS = "/api/devices/pillow/commands"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def app() -> Flask:
    return create_app(Settings(store="memory:", max_open_commands=3))


@pytest.fixture
def live(app: Flask, clock: VirtualClock) -> Iterator[Runtime]:
    runtime = runtime_of(app)
    runtime.clock = clock
    yield runtime
    runtime.stop()


@pytest.fixture
def client(app: Flask, live: Runtime) -> FlaskClient:
    """Of a server that knows the device ``pillow``; it may have three open commands."""
    client = app.test_client()
    client.put("/api/devices/pillow", json={"mood": "calm"})
    return client


def asked(client: FlaskClient, name: str = "hug", **more: Any) -> dict[str, Any]:
    response = client.post(COMMANDS, json={"name": name, **more})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.get_json()
    return found


def commit(live: Runtime, body: Any, decode: Decoder | None = None) -> Message:
    """What the pipeline does with a message of a device."""
    raw = json.dumps(body).encode()
    message = (decode or Decoder())(Delivery(f"m{id(body)}", raw, live.clock()))
    live.store.commit("queue", 1, [message])
    return message


# By REST


def test_a_command_and_what_became_of_it(client: FlaskClient, live: Runtime) -> None:
    # given a command by REST
    response = client.post(
        COMMANDS,
        json={"name": "hug", "arguments": {"strength": 2}, "expires": 90, "by": "Ada"},
    )
    command = response.get_json()
    assert response.status_code == 201
    assert command == {
        "id": command["id"],
        "device": "pillow",
        "name": "hug",
        "arguments": {"strength": 2},
        "by": "Ada",
        "status": "waiting",
        "reason": None,
        "change": 1,
        "created_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-01-01T00:01:30.000Z",
        "delivered_at": None,
        "ended_at": None,
    }
    address = response.headers["Location"]
    assert client.get(address).get_json() == command
    # when the device takes it and answers
    taken = client.get(f"{COMMANDS}?after=").get_json()["commands"]
    assert taken == [
        {
            "id": command["id"],
            "device": "pillow",
            "name": "hug",
            "arguments": {"strength": 2},
            "expires_at": command["expires_at"],
            "seconds_left": 90.0,
        }
    ]
    assert client.get(address).get_json()["status"] == "delivered"
    answer = {"device": "pillow", "command": command["id"], "outcome": "done"}
    commit(live, answer | {"state": {"hugged": True}})
    # then it is done, and what the device says of itself is its state
    assert client.get(address).get_json()["status"] == "done"
    assert client.get("/api/devices/pillow").get_json()["state"]["hugged"] is True
    assert client.get(f"{COMMANDS}?after=").get_json() == {"commands": []}


def test_a_device_takes_commands_as_events(client: FlaskClient) -> None:
    # Given two commands, the first of which the device has
    first, second = asked(client), asked(client)
    # When it asks as an EventSource does that comes back
    headers = {"Accept": "text/event-stream", "Last-Event-ID": first["id"]}
    answer = client.get(f"{COMMANDS}?after=", headers=headers)
    # Then it gets the second one, with its id as the position
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "private, no-store"
    retry, event, rest = answer.text.split("\n\n")
    kind, position, data = event.split("\n")
    assert (retry, kind, position) == ("retry: 1000", "event: command", f"id: {second['id']}")
    assert json.loads(data.removeprefix("data: "))["id"] == second["id"] and not rest
    assert client.get(f"/api/commands/{first['id']}").get_json()["status"] == "waiting"
    assert client.get(f"/api/commands/{second['id']}").get_json()["status"] == "delivered"


def test_a_device_with_a_command_queue_takes_nothing_by_http() -> None:
    app = create_app(Settings(store="memory:", command_queues={"pillow": "embedded:hugs"}))
    live = runtime_of(app)
    live.edit(Change("pillow", "merge", {}, by="user"))
    client = app.test_client()
    command = asked(client)
    for accept in ("*/*", "text/event-stream"):
        refused = client.get(f"{COMMANDS}?after=", headers={"Accept": accept})
        assert (refused.status_code, refused.get_json()["title"]) == (409, "Conflict")
        assert "takes them from there" in refused.get_json()["detail"]
    # Looking is allowed, and it still waits
    assert client.get(COMMANDS).get_json()["commands"] == [command]
    live.stop()


def test_to_look_is_not_to_take(client: FlaskClient) -> None:
    command = asked(client)
    for address in (COMMANDS, "/api/commands", f"/api/commands/{command['id']}"):
        assert client.get(address).status_code == 200
    assert client.get(COMMANDS).get_json()["commands"] == [command]
    # and the page of another site takes nothing
    foreign = client.get(f"{COMMANDS}?after=", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    # nor does an image or a link of a page of ours, whose address a device has brought
    for kind in ("image", "iframe", "script", "document"):
        own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": kind}
        assert client.get(f"{COMMANDS}?after=", headers=own).status_code == 403
    # nor what a browser or a preview loads in advance, or as a page
    for name, value in (
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "prefetch"),
        ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ):
        assert client.get(f"{COMMANDS}?after=", headers={name: value}).status_code == 403
    # nor a request that would not get them
    assert client.head(f"{COMMANDS}?after=").status_code == 405
    assert client.get(COMMANDS).get_json()["commands"][0]["status"] == "waiting"


def test_commands_come_in_pages_newest_first(client: FlaskClient) -> None:
    ids = [asked(client)["id"] for _ in range(3)]
    page = client.get(f"{COMMANDS}?limit=2").get_json()
    assert [one["id"] for one in page["commands"]] == ids[:0:-1]
    rest = client.get(f"{COMMANDS}?limit=2&before={page['next']}").get_json()
    assert ([one["id"] for one in rest["commands"]], rest["next"]) == (ids[:1], None)


def test_a_request_that_is_repeated_is_one_command(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "click 1"}
    first, again = (client.post(COMMANDS, json={"name": "hug"}, headers=key) for _ in range(2))
    assert first.get_json() == again.get_json()
    other = client.post(COMMANDS, json={"name": "wake"}, headers=key)
    assert other.status_code == 400 and "Idempotency-Key" in other.get_json()["detail"]
    assert len(client.get(COMMANDS).get_json()["commands"]) == 1


def test_open_commands_are_bounded(client: FlaskClient, clock: VirtualClock) -> None:
    for _ in range(3):
        asked(client, expires=10)
    refused = client.post(COMMANDS, json={"name": "hug"})
    assert refused.status_code == 429 and "max_open_commands" in refused.get_json()["detail"]
    clock.advance(10)
    asked(client)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, 'A command has a name, like {"name": "hug"}.'),
        ({"name": ""}, "“name” must be a text of 1 to 64 printable characters."),
        ({"name": 5}, "“name” must be a text"),
        ({"name": "x" * 65}, "“name” must be a text"),
        ({"name": "a\nb"}, "“name” must be a text"),
        ({"name": "hug", "arguments": [1]}, "The arguments of a command are a JSON object"),
        ({"name": "hug", "arguments": {"t": "x" * 17_000}}, "at most 16384"),
        ({"name": "hug", "expires": 0}, "“expires” must be a number of seconds above 0"),
        ({"name": "hug", "expires": True}, "“expires” must be a number"),
        ({"name": "hug", "expires": "60"}, "“expires” must be a number"),
        ({"name": "hug", "expires": 90_000}, "at most 86400"),
        ({"name": "hug", "by": ""}, "“by” must be a text"),
        ({"name": "hug", "to": "chair"}, "“to” is not a member of a command"),
        ([], "A command is a JSON object"),
    ],
)
def test_what_is_no_command_is_refused(client: FlaskClient, body: Any, sentence: str) -> None:
    refused = client.post(COMMANDS, json=body)
    assert refused.status_code in (400, 413)
    assert sentence in refused.get_json()["detail"]
    assert client.get(COMMANDS).get_json()["commands"] == []


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("POST", "/api/devices/nobody/commands", 404),
        ("GET", "/api/devices/nobody/commands", 404),
        ("GET", "/api/devices/nobody/commands?after=", 404),
        ("GET", "/api/devices/a%20b/commands", 400),
        ("GET", "/api/commands/unknown", 404),
        ("GET", f"{COMMANDS}?after=&limit=5", 400),
        ("GET", f"{COMMANDS}?limit=0", 400),
        ("POST", "/api/commands", 405),
        ("DELETE", "/api/commands/unknown", 405),
    ],
)
def test_other_addresses(client: FlaskClient, method: str, address: str, status: int) -> None:
    response: TestResponse = client.open(address, method=method, json={"name": "hug"})
    assert (response.status_code, response.content_type) == (status, "application/problem+json")


def test_an_older_device_may_be_called_commands(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a device from before such names were reserved
    with monkeypatch.context() as before:
        before.setattr(names, "RESERVED_ENDINGS", ())
        client.put("/api/devices/floor/commands", json={"n": 0})
    # then it can be changed, read and removed; and not made again
    assert client.put("/api/devices/floor/commands", json={"n": 1}).status_code == 200
    assert client.get("/api/devices/floor/commands").get_json()["state"] == {"n": 1}
    assert client.delete("/api/devices/floor/commands").status_code == 204
    again = client.put("/api/devices/floor/commands", json={"n": 1})
    assert (again.status_code, "names that end in" in again.get_json()["detail"]) == (405, True)
    assert again.headers["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_another_sites_page_can_ask_for_nothing(client: FlaskClient) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(COMMANDS, json={"name": "hug"}, headers=foreign).status_code == 403
    form = client.post(COMMANDS, data='{"name": "hug"}', content_type="text/plain")
    assert form.status_code == 415


# A device's answer


ID = "the id"
ANSWERS: list[tuple[dict[str, Any], Answer | str | None]] = [
    ({"command": ID, "outcome": "done"}, Answer(ID, "done")),
    ({"command": ID, "outcome": "refused", "reason": "Tired."}, Answer(ID, "refused", "Tired.")),
    ({"command": ID, "outcome": "done", "reason": ""}, Answer(ID, "done")),
    ({"command": ID, "outcome": "done", "state": {"n": 1}}, Answer(ID, "done")),
    ({"command": None, "state": {}}, None),
    ({"command": ID, "outcome": "maybe"}, "“outcome” must be “done” or “refused”"),
    ({"command": ID}, "“outcome” must be"),
    ({"command": ID, "state": {}}, "“outcome” must be"),
    ({"outcome": "done", "state": {}}, "“command” must be the id of a command"),
    ({"reason": "x", "state": {}}, "“command” must be the id of a command"),
    ({"command": 5, "outcome": "done"}, "“command” must be the id of a command"),
    ({"command": "", "outcome": "done"}, "“command” must be the id of a command"),
    ({"command": ID, "outcome": "done", "reason": 5}, "“reason” must be a text"),
    ({"command": ID, "outcome": "done", "reason": "x" * 1001}, "at most 1000"),
    ({"outcome": "done"}, "It brings no state."),
]


@pytest.mark.parametrize(("members", "expected"), ANSWERS)
def test_an_answer_is_read(members: dict[str, Any], expected: Answer | str | None) -> None:
    body = json.dumps({"device": "pillow", **members}).encode()
    message = Decoder()(Delivery("a", body, 0))
    if isinstance(expected, str):
        assert expected in message.refusals[0].reason
    else:
        assert message.changes[0].answer == expected
        assert message.changes[0].state == members.get("state", {})


@pytest.mark.parametrize(
    ("body", "state", "answer"),
    [
        # members of other programs with our names are no answers, and are left out as ever
        ({"device": "p", "state": {"n": 1}, "reason": "reset"}, {"n": 1}, None),
        ({"device": "p", "state": {"n": 1}, "command": "up", "outcome": "ok"}, {"n": 1}, None),
        ({"device": "p", "command": ID, "outcome": "done", "rssi": 5}, {}, Answer(ID, "done")),
    ],
)
def test_other_programs_may_have_such_members(
    body: dict[str, Any], state: dict[str, Any], answer: Answer | None
) -> None:
    message = Decoder(foreign=True)(Delivery("a", json.dumps(body).encode(), 0))
    assert [(one.state, one.answer) for one in message.changes] == [(state, answer)]


def test_a_device_without_a_name_of_its_own_answers_too() -> None:
    options = DecodeOptions(default="pillow")
    for body, state, answer in (
        ({"command": ID, "outcome": "done"}, {}, Answer(ID, "done")),
        ({"command": ID, "outcome": "open"}, {"command": ID, "outcome": "open"}, None),
        (
            {"command": ID, "outcome": "done", "n": 1},
            {"command": ID, "outcome": "done", "n": 1},
            None,
        ),
    ):
        message = Decoder(options, foreign=True)(Delivery("a", json.dumps(body).encode(), 0))
        (change,) = message.changes
        assert (change.device, change.state, change.answer) == ("pillow", state, answer)


def test_two_answers_with_one_event_id_are_two(client: FlaskClient, live: Runtime) -> None:
    first, second = asked(client), asked(client)
    for one in (first, second):
        commit(live, {"device": "pillow", "id": "e", "command": one["id"], "outcome": "done"})
    assert {one["status"] for one in client.get(COMMANDS).get_json()["commands"]} == {"done"}


# Deadlines, while a server runs


def test_a_serving_process_notes_deadlines(
    client: FlaskClient, live: Runtime, clock: VirtualClock
) -> None:
    command = asked(client, expires=10)
    clock.advance(10)
    live.process_reports.exchange()
    found = client.get(f"/api/commands/{command['id']}").get_json()
    assert (found["status"], found["ended_at"]) == ("expired", "2026-01-01T00:00:10.000Z")


# By Python


def test_commands_from_python() -> None:
    app = Flask("host")
    live = Statecast(app, store="memory:")
    live.set("pillow", mood="calm")
    command = live.command("pillow", "hug", {"strength": 2}, expires=5, by="Ada", key="k")
    assert isinstance(command, Command) and command.status == "waiting"
    again = live.command("pillow", "hug", {"strength": 2}, expires=5, by="Ada", key="k")
    assert again == command
    assert live.commands("pillow") == live.commands() == [command]
    with pytest.raises(NotFound, match="No device called “chair”"):
        live.command("chair", "hug")
    with pytest.raises(Refused, match="NaN"):
        live.command("pillow", "hug", {"strength": float("nan")})
    live.runtime.stop()


def test_ids_cannot_be_guessed() -> None:
    ids = {new_command("pillow", "hug").id for _ in range(100)}
    assert len(ids) == 100 and all(len(one) == 22 for one in ids)


# By the command line


@pytest.fixture
def statecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in a folder with a store that has the device ``pillow``."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///statecast.db")
    store.commit("queue", 1, [Decoder()(Delivery("a", b'{"device":"pillow","state":{}}', 0))])
    store.close()
    return lambda *words: CliRunner().invoke(main, words, prog_name="statecast")


def test_the_command_line_asks_and_lists(statecast: Callable[..., Result]) -> None:
    ended = statecast("command", "pillow", "hug", "strength=2", "--by", "Ada")
    assert ended.exit_code == 0, ended.output
    id_ = ended.output.strip()
    (row,) = statecast("commands", "--json").output.splitlines()
    found = json.loads(row)
    assert (found["id"], found["arguments"], found["by"]) == (id_, {"strength": 2}, "Ada")
    assert statecast("commands", "pillow").output.split()[:3] == ["pillow", "hug", "waiting"]


def test_the_command_line_waits_for_the_end(statecast: Callable[..., Result]) -> None:
    ended = statecast("command", "pillow", "hug", "--expires", "0.01", "--wait")
    assert ended.exit_code == 1
    assert "expired" in ended.output and "is not done: expired." in ended.output


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("command", "chair", "hug"), 1, "No device called “chair” has sent anything"),
        (("command", "pillow", "hug", "strength"), 1, "is not a field"),
        (("command", "pillow", "hug", "--expires", "-1"), 1, "“expires” must be"),
        (("command", "pillow"), 2, "Missing argument"),
        (("command", "a b", "hug"), 1, "is not a name of a device"),
        (("commands", "a b"), 1, "is not a name of a device"),
        (("commands", "--store", "sqlite:///other.db"), 1, "There is no store"),
    ],
)
def test_what_the_command_line_refuses(
    statecast: Callable[..., Result], words: tuple[str, ...], status: int, sentence: str
) -> None:
    ended = statecast(*words)
    assert (ended.exit_code, sentence in ended.output) == (status, True), ended.output
    assert "Traceback" not in ended.output


def test_no_command_is_listed_as_a_sentence(statecast: Callable[..., Result]) -> None:
    assert "Nothing was asked" in statecast("commands").output
