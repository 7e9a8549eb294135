"""What one handler says to a viewer arrives in the order of its calls, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast.model import Event
from statecast.realtime.hub import Hub
from tests.fakes.harness import FakeClient, Harness

PLACE = b'[{"_placeholder":true,"num":0}]'


def emit(hub: Hub, name: str, to: str | None = None) -> None:
    hub.publish(Event("/", name, rooms=() if to is None else (to,)))


def bye_then_disconnect(hub: Hub, sid: str) -> None:
    emit(hub, "bye", sid)
    hub.publish(Event("/", "", rooms=(sid,), kind="disconnect"))


def goodbye_to_the_room_then_leave(hub: Hub, sid: str) -> None:
    hub.publish(Event("/", "r", rooms=(sid,), kind="enter"))
    emit(hub, "goodbye", "r")
    hub.publish(Event("/", "r", rooms=(sid,), kind="leave"))
    emit(hub, "not for it", "r")


def event_then_acknowledgement(hub: Hub, sid: str) -> str:
    emit(hub, "first", sid)
    return "ack"


def text_then_bytes(hub: Hub, sid: str) -> None:
    emit(hub, "text", sid)
    hub.publish(Event("/", "bin", PLACE, (sid,), attachments=(b"1",)))
    emit(hub, "all")


CASES: list[tuple[Callable[[Hub, str], Any], list[Any]]] = [
    (bye_then_disconnect, ['42["bye"]', "41"]),
    (goodbye_to_the_room_then_leave, ['42["goodbye"]', "435[]"]),
    (event_then_acknowledgement, ['42["first"]', '435["ack"]']),
    (
        text_then_bytes,
        ['42["text"]', '451-["bin",{"_placeholder":true,"num":0}]', b"1", '42["all"]', "435[]"],
    ),
]


def joined(harness: Harness) -> tuple[FakeClient, str]:
    client = harness.client().open()
    client.send("40")
    return client, json.loads(client.received()[-1][2:])["sid"]


@pytest.mark.parametrize(
    ("handler", "expected"), CASES, ids=lambda one: getattr(one, "__name__", "")
)
def test_the_order_of_a_handler_on_a_thread(
    handler: Callable[[Hub, str], Any], expected: list[Any]
) -> None:
    harness = Harness()
    harness.hub.on("go", lambda sid: handler(harness.hub, sid))
    client, _ = joined(harness)
    client.send('425["go"]')
    assert client.wait_for(len(expected)) == expected


@pytest.mark.parametrize("handler", [case[0] for case in CASES], ids=lambda one: one.__name__)
def test_the_order_of_calls_on_the_loop(handler: Callable[[Hub, str], Any]) -> None:
    """A coroutine runs on the loop's thread: its calls take effect at once."""
    harness = Harness()
    client, sid = joined(harness)
    expected = next(said for one, said in CASES if one is handler)
    handler(harness.hub, sid)
    assert client.received() == [one for one in expected if one not in ("435[]", '435["ack"]')]


STEP = st.sampled_from(["one", "all", "room", "bytes", "enter", "leave"])


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=12), st.booleans())
def test_random_programs(steps: list[str], ends: bool) -> None:
    """Given a program of calls by one thread, the viewer has exactly what it was there for."""
    harness = Harness()
    expected: list[Any] = []
    inside = False
    for number, step in enumerate(steps):
        if step in ("enter", "leave"):
            inside = step == "enter"
        elif step == "bytes":
            expected += ['451-["b",{"_placeholder":true,"num":0}]', b"%d" % number]
        elif step != "room" or inside:
            expected.append(f'42["e{number}"]')
    expected.append("41" if ends else '435["end"]')

    def program(sid: str) -> str:
        hub = harness.hub
        for number, step in enumerate(steps):
            if step == "enter":
                hub.publish(Event("/", "r", rooms=(sid,), kind="enter"))
            elif step == "leave":
                hub.publish(Event("/", "r", rooms=(sid,), kind="leave"))
            elif step == "bytes":
                hub.publish(Event("/", "b", PLACE, (sid,), attachments=(b"%d" % number,)))
            else:
                emit(hub, f"e{number}", {"one": sid, "all": None, "room": "r"}[step])
        if ends:
            hub.publish(Event("/", "", rooms=(sid,), kind="disconnect"))
        return "end"

    harness.hub.on("go", program)
    client, _ = joined(harness)
    client.send('425["go"]')
    assert client.wait_for(len(expected)) == expected
    harness.hub.close_threads()
