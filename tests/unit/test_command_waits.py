"""Devices that wait for commands: on the loop, without a thread, and never in vain for long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from statecast.commands.life import Command
from statecast.commands.request import new_command
from statecast.http import asgi
from statecast.http.asgi import Receive, Scope, Send
from statecast.realtime.command_waits import CommandWaits, wait_of
from statecast.testing.values import VirtualClock
from statecast.testing.virtual_loop import VirtualLoop
from tests.fakes.asgi_client import AsgiRequest
from tests.fakes.fake_loop import settle

PATH = "/api/devices/floor/pillow/commands"


def command(number: int, device: str = "floor/pillow", **more: Any) -> Command:
    one = Command.begin(new_command(device, "hug"), number, 0)
    return replace(one, id=f"c{number}", **more)


class Answers:
    """The app that answers; it keeps what it was asked."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.queries.append(scope["query_string"].decode())
        assert await asgi.read_body(receive, 10) == b""
        await asgi.respond(send, 200, b"{}", "application/json")


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def waits(answers: Answers) -> CommandWaits:
    return CommandWaits(answers)


class Events(Answers):
    """Answers with one event for each command that a test has put in."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.queries.append(scope["query_string"].decode())
        assert b"last-event-id" not in dict(scope["headers"])
        events = b"".join(b"event: command\nid: %b\n\n" % one.encode() for one in self.ids)
        self.ids = []
        await asgi.respond(send, self.status, b"retry: 1000\n\n" + events, "text/event-stream")


def test_a_stream_goes_on_from_the_last_command() -> None:
    clock = VirtualClock()
    loop = VirtualLoop(clock)
    events = Events()
    waits = CommandWaits(events, clock=loop.time, heartbeat=10)

    async def begin(last: str) -> AsgiRequest:
        headers = {"accept": "text/event-stream", "last-event-id": last}
        return AsgiRequest(waits, "GET", PATH, "after=", headers=headers)

    # Given a device that comes back, and a command after the one that it has
    waits.note(command(1))
    waits.note(command(2))
    events.ids = ["c2"]
    begun = loop.create_task(begin("c1"))
    loop.settle()
    device = begun.result()
    assert events.queries == ["after=c1"] and b"id: c2\n" in device.response.body
    # When nothing happens, then it gets comments only
    for _ in range(2):
        clock.advance(10)
        loop.settle()
    assert events.queries == ["after=c1"]
    assert device.response.body.endswith(b"id: c2\n\n:\n\n:\n\n")
    # And when it is asked for something, then that, at once
    events.ids = ["c3"]
    waits.note(command(3))
    loop.settle()
    assert events.queries == ["after=c1", "after=c2"]
    assert device.response.body.endswith(b"id: c3\n\n")
    # And while the answer to a question is empty, it is not asked again at once
    waits.note(command(4))
    loop.settle()
    assert len(events.queries) == 3
    # And the stream ends with the server
    waits.close()
    clock.advance(1)
    loop.settle()
    assert device.task.done() and device.response.complete and waits._waiting == {}
    loop.close()


@pytest.mark.asyncio
async def test_a_stream_that_is_refused_gets_the_reason() -> None:
    events = Events()
    events.status = 409
    waits = CommandWaits(events)
    device = AsgiRequest(waits, "GET", PATH, "after=", headers={"accept": "text/event-stream"})
    await settle()
    assert device.response.status == 409 and device.task.done()


def get(waits: CommandWaits, query: str, path: str = PATH) -> AsgiRequest:
    return AsgiRequest(waits, "GET", path, query)


@pytest.mark.asyncio
async def test_a_request_waits_until_its_device_is_asked_for_something(
    waits: CommandWaits, answers: Answers
) -> None:
    # given two devices that wait
    pillow = get(waits, "after=&wait=50")
    chair = get(waits, "after=&wait=50", "/api/devices/chair/commands")
    await settle()
    assert answers.queries == []
    # when one of them is asked for something
    waits.note(command(1))
    await settle()
    # then that one asks, without waiting again; the other goes on
    assert answers.queries == ["after="]
    assert pillow.response.status == 200 and not chair.task.done()
    waits.close()
    await settle()
    assert chair.response.status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("after", "known", "waits_on"),
    [
        ("", [command(1)], False),
        ("c1", [command(1)], True),
        ("c1", [command(1), command(2)], False),
        ("c2", [command(1), command(2)], True),
        ("c2", [command(1), command(2, status="done", change=3)], True),
        ("", [command(1, status="done", change=2)], True),
        ("", [command(1, device="chair")], True),
        ("", [], True),
        # a place that is not known: the store decides, once
        ("forgotten", [command(1)], False),
        ("forgotten", [], True),
        # what became of it came in another order
        ("", [command(1, status="done", change=2), command(1)], True),
    ],
)
async def test_what_there_is_ends_a_wait_before_it_begins(
    waits: CommandWaits, answers: Answers, after: str, known: list[Command], waits_on: bool
) -> None:
    for one in known:
        waits.note(one)
    request = get(waits, f"after={after}&wait=50")
    await settle()
    assert request.task.done() is not waits_on
    waits.close()
    await request.task
    assert answers.queries == [f"after={after}"]


@pytest.mark.asyncio
async def test_a_place_that_is_not_known_ends_one_wait_and_not_each(
    waits: CommandWaits, answers: Answers
) -> None:
    # given an open command, and a device whose place was forgotten here
    waits.note(command(1))
    await get(waits, "after=forgotten&wait=50").task
    # when it asks from there again, because it got nothing
    again = get(waits, "after=forgotten&wait=50")
    await settle()
    # then it waits for the next command
    assert not again.task.done()
    waits.note(command(2))
    await again.task
    # while a device without a place gets what is open, each time
    for _ in range(2):
        await get(waits, "after=&wait=50").task


@pytest.mark.asyncio
@pytest.mark.parametrize(("seconds", "waits_on"), [(0, False), (69.9, False), (70.1, True)])
async def test_no_command_ends_waits_for_long_after_its_deadline(
    answers: Answers, seconds: float, waits_on: bool
) -> None:
    """A store that was set back never says what became of it: the device would ask on and on."""
    now = 1_000.0
    waits = CommandWaits(answers, lambda: now)
    waits.note(command(1))
    now += seconds
    request = get(waits, "after=&wait=50")
    await settle()
    assert request.task.done() is not waits_on
    waits.close()
    await request.task


@pytest.mark.asyncio(fast_forward=True)
async def test_a_wait_has_an_end(waits: CommandWaits, answers: Answers) -> None:
    await get(waits, "after=&wait=50").task
    assert answers.queries == ["after="]


@pytest.mark.asyncio
async def test_a_client_that_leaves_gets_no_answer(waits: CommandWaits, answers: Answers) -> None:
    request = get(waits, "after=&wait=50")
    await settle()
    request.leave()
    await request.task
    waits.note(command(1))
    await settle()
    assert answers.queries == []


@pytest.mark.asyncio
async def test_after_a_stop_nothing_waits(waits: CommandWaits, answers: Answers) -> None:
    waits.close()
    await get(waits, "after=&wait=50").task
    assert answers.queries == ["after="]


@pytest.mark.parametrize(
    ("method", "path", "query", "found"),
    [
        ("GET", PATH, "after=c1&wait=5", ("floor/pillow", "c1", 5.0)),
        ("GET", PATH, "after=&wait=0.5", ("floor/pillow", "", 0.5)),
        ("GET", PATH, "wait=60&after=", ("floor/pillow", "", 60.0)),
        ("GET", PATH, "after=", None),
        ("GET", PATH, "wait=5", None),
        ("GET", PATH, "after=&wait=61", None),
        ("GET", PATH, "after=&wait=-1", None),
        ("GET", PATH, "after=&wait=nan", None),
        ("GET", PATH, "after=&wait=x", None),
        ("POST", PATH, "after=&wait=5", None),
        ("GET", "/api/devices/pillow", "after=&wait=5", None),
        ("GET", "/api/commands", "after=&wait=5", None),
    ],
)
def test_which_requests_wait(method: str, path: str, query: str, found: Any) -> None:
    scope = {"method": method, "path": path, "query_string": query.encode()}
    assert wait_of(scope) == found


@pytest.mark.asyncio
async def test_who_may_not_wait_is_answered_at_once(answers: Answers) -> None:
    waits = CommandWaits(answers, may_wait=lambda scope: scope["client"][0] == "127.0.0.1")
    other, own = (
        AsgiRequest(waits, "GET", PATH, "after=&wait=50", client=(address, 1))
        for address in ("192.0.2.7", "127.0.0.1")
    )
    await settle()
    assert (other.task.done(), own.task.done()) == (True, False)
    waits.close()
    await own.task
