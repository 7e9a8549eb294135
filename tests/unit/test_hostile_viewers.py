"""Viewers that answer too much or not at all, take other names, or leave in the middle."""

from __future__ import annotations

import json
import queue
import threading
from typing import Any

import pytest

from statecast.errors import Malformed
from statecast.model import Event
from statecast.realtime import rooms, session
from statecast.runtime import Runtime
from statecast.settings import Settings
from tests.fakes.harness import FakeClient, Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()


def sid_of(client: FakeClient, namespace: str = "/") -> str:
    client.open()
    client.send("40" if namespace == "/" else f"40{namespace},")
    said = client.received()[-1]
    return str(json.loads(said[said.index("{") :])["sid"])


def ask(harness: Harness, sid: str, answers: list[Any]) -> None:
    harness.hub.publish_to_one(Event("/", "ask", b"[]", (sid,)), answers.append)


def numbers(client: FakeClient) -> list[str]:
    return [said[2 : said.index("[")] for said in client.received()]


def test_answers_that_the_server_asked_for_count_as_no_messages(harness: Harness) -> None:
    # given more questions than a viewer may send messages
    client, answers = harness.client(), list[Any]()
    sid = sid_of(client)
    for _ in range(500):
        ask(harness, sid, answers)

    # when the viewer answers all of them at once, then each is taken
    for number in numbers(client):
        client.send(f"43{number}[true]")
    assert client.closed_with() is None
    assert answers == [[True]] * 500


@pytest.mark.parametrize("number", ["1", "999999999"])
def test_answers_that_nothing_waits_for_count_as_messages(harness: Harness, number: str) -> None:
    client = harness.client().join()
    for _ in range(200):
        client.send(f"43{number}[]")
    assert client.transport.calls[-1] == "pause_reading"


def test_a_viewer_that_answers_nothing_still_gets_its_events(harness: Harness) -> None:
    # given a client without answers, and one event more than may be unanswered
    client, answers = harness.client(), list[Any]()
    sid = sid_of(client)
    for _ in range(rooms.MAX_CALLBACKS + 1):
        ask(harness, sid, answers)

    # then it gets all events, and the oldest question is given up
    assert len(numbers(client)) == rooms.MAX_CALLBACKS + 1
    assert answers == [None]


def test_a_room_with_the_name_of_a_sid_takes_nothing_from_that_viewer(harness: Harness) -> None:
    # given one who enters a room that has the sid of another
    other, one = harness.client(), harness.client()
    sid = sid_of(other)
    harness.hub.publish(Event("/", sid, rooms=(sid_of(one),), kind="enter"))

    # when something is said to that sid, then its viewer has it
    assert harness.hub.emit(Event("/", "private", b"[]", (sid,))) == 2
    assert other.received() == ['42["private"]']


@pytest.mark.parametrize(("accepts", "expected"), [(True, ["transport close"]), (False, [])])
def test_one_that_leaves_before_it_is_accepted_is_disconnected_after_it(
    accepts: bool, expected: list[str]
) -> None:
    # given one thread for handlers, which is in a connect handler that still decides
    harness = Harness(handler_threads=1)
    decided, told = threading.Event(), queue.Queue[str]()

    def connect(sid: str, auth: Any) -> bool:
        decided.wait(10)
        return accepts

    harness.hub.on("connect", connect)
    harness.hub.on("disconnect", lambda sid, reason: told.put(reason))
    harness.hub.on("last", lambda sid: told.put("last"), "/other")
    client = harness.client().open()
    client.send("40")

    # when the viewer leaves, and the handler then accepts it, or does not
    client.lose()
    assert told.empty()
    decided.set()
    harness.loop.take_call()

    # then the disconnect handler is called for what was accepted, and for nothing else
    harness.client().join("/other").send('42/other,["last"]')
    assert [told.get(timeout=10) for _ in range(len(expected) + 1)] == [*expected, "last"]


def test_a_connect_handler_says_why_and_then_cuts(harness: Harness) -> None:
    def connect(sid: str, auth: Any) -> None:
        harness.hub.publish(Event("/", "bye", b"[]", (sid,)))
        harness.hub.publish(Event("/", "", rooms=(sid,), kind="disconnect"))

    harness.hub.on("connect", connect)
    client = harness.client().open()
    client.received()
    client.send("40")
    assert [said[:7] for said in client.wait_for(3)] == ['40{"sid', '42["bye', "41"]


def test_a_handler_that_ends_the_program_ends_only_its_call(harness: Harness) -> None:
    # given a handler that calls sys.exit
    def leave(sid: str) -> None:
        raise SystemExit(3)

    harness.hub.on("leave", leave)
    client = harness.client().join()

    # then its viewer is answered, as after any error
    client.send('421["leave"]')
    (answer,) = client.wait_for(1)
    assert answer.startswith('431[{"error":"The server could not handle this (error ')


def test_a_client_joins_a_bounded_number_of_namespaces(harness: Harness) -> None:
    # given handlers for any namespace, and a client in as many as one may join
    harness.hub.on("hug", print, "*")
    client = harness.client().open()
    client.received()
    for number in range(session.MAX_NAMESPACES):
        client.send(f"40/{number},")
    assert {said[:2] for said in client.received()} == {"40"}

    # when it asks for one more, then it is refused, and stays where it is
    client.send("40/more,")
    assert client.received() == ['44/more,{"message":"This connection is in too many namespaces."}']
    assert harness.hub.emit(Event("/7", "hug", b"[]")) == 1

    # and when it has left one, it may
    client.received()
    client.send("41/7,")
    client.send("40/more,")
    assert [said[:8] for said in client.received()] == ["40/more,"]


def test_a_socket_in_any_namespace_is_found_until_it_leaves(harness: Harness) -> None:
    harness.hub.on("hug", print, "*")
    client = harness.client()
    sid = sid_of(client, "/anything")
    found = harness.hub.find(sid)
    assert found is not None and found.namespace.name == "/anything"
    client.lose()
    assert harness.hub.find(sid) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda live: live.emit("x", to="\ud800"),
        lambda live: live.emit("x", skip=["a", "\ud800"]),
        lambda live: live.emit("\ud800"),
        lambda live: live.emit("x", namespace="/\ud800"),
        lambda live: live.move("enter", "/", "\ud800", "sid"),
        lambda live: live.move("close_room", "/", "", "\ud800"),
    ],
)
def test_a_name_that_is_no_text_is_refused_where_it_is_given(call: Any) -> None:
    # else it would take the events beside it along when the store refuses them
    with pytest.raises(Malformed):
        call(Runtime(Settings(store="memory:")).viewers)
