"""Devices that wait for commands: on the loop, without a thread, and never in vain for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from statecast.access.records import AccessRecord
from statecast.commands.life import NO_COMMANDS, Command
from statecast.commands.request import new_command
from statecast.http import asgi
from statecast.http.asgi import Receive, Scope, Send
from statecast.realtime.command_arrivals import CommandArrivals
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
        self.status = 200
        self.body = NO_COMMANDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.queries.append(scope["query_string"].decode())
        assert await asgi.read_body(receive, 10) == b""
        await asgi.respond(send, self.status, self.body, "application/json")


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def opened() -> CommandArrivals:
    return CommandArrivals()


@pytest.fixture
def waits(answers: Answers, opened: CommandArrivals) -> CommandWaits:
    return CommandWaits(answers, opened)


class Events(Answers):
    """Answers with one event for each command that a test has put in."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

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
    opened = CommandArrivals(loop.time)
    waits = CommandWaits(events, opened, heartbeat=10)

    async def begin(last: str) -> AsgiRequest:
        headers = {"accept": "text/event-stream", "last-event-id": last}
        return AsgiRequest(waits, "GET", PATH, "after=", headers=headers)

    # Given a device that comes back, and a command after the one that it has
    opened.note(command(1))
    opened.note(command(2))
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
    opened.note(command(3))
    loop.settle()
    assert events.queries == ["after=c1", "after=c2"]
    assert device.response.body.endswith(b"id: c3\n\n")
    # And while the answer to a question is empty, it is not asked again at once
    opened.note(command(4))
    loop.settle()
    assert len(events.queries) == 3
    # And the stream ends with the server
    opened.close()
    clock.advance(1)
    loop.settle()
    assert device.task.done() and device.response.complete and not opened.waiting
    loop.close()


@pytest.mark.asyncio
async def test_a_stream_that_is_refused_gets_the_reason() -> None:
    events = Events()
    events.status = 409
    waits = CommandWaits(events, CommandArrivals())
    device = AsgiRequest(waits, "GET", PATH, "after=", headers={"accept": "text/event-stream"})
    await settle()
    assert device.response.status == 409 and device.task.done()


class Crowded(Answers):
    """Answers ``most`` questions at a time; a further one gets 503, as from a busy server."""

    def __init__(self, most: int, *, streamed: bool) -> None:
        super().__init__()
        self.most = most
        self.running = 0
        self.asked = False
        """There is a command, the one that all wait for."""
        self.kind = "text/event-stream" if streamed else "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        await settle()  # as long as a thread would take
        crowded, self.running = self.running > self.most, self.running - 1
        none, some = (
            (b"retry: 1000\n\n", b"event: command\nid: c1\n\n")
            if "event" in self.kind
            else (NO_COMMANDS, b'{"commands":[{"id":"c1"}]}')
        )
        body = b"busy" if crowded else some if self.asked else none
        await asgi.respond(send, 503 if crowded else 200, body, self.kind)


@pytest.mark.asyncio(fast_forward=True)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_command_reaches_a_crowd_that_waits_for_it(streamed: bool) -> None:
    """All ask at once, because of the same command: more than the queue of a server takes."""
    # Given a server that takes 8 questions at a time, and 50 that wait for one device
    answers, opened = Crowded(8, streamed=streamed), CommandArrivals()
    waits = CommandWaits(answers, opened, at_once=8)
    query = "after=" if streamed else "after=&wait=50"
    headers = {"accept": "text/event-stream" if streamed else "*/*"}
    crowd = [AsgiRequest(waits, "GET", PATH, query, headers=headers) for _ in range(50)]
    await until(lambda: opened.waiting == 50)
    # When the device is asked for something
    answers.asked = True
    opened.note(command(1))
    await until(lambda: all(b"c1" in one.response.body for one in crowd))
    # Then each has the command, and no stream has ended
    assert [one.response.status for one in crowd] == [200] * 50
    assert any(one.response.complete for one in crowd) is not streamed
    opened.close()
    await asyncio.gather(*(one.task for one in crowd))


@pytest.mark.asyncio(fast_forward=True)
async def test_a_stream_outlives_a_moment_in_which_the_server_is_busy() -> None:
    events, opened = Events(), CommandArrivals()
    device = AsgiRequest(
        CommandWaits(events, opened), "GET", PATH, "after=", headers={"accept": "text/event-stream"}
    )
    await until(lambda: opened.waiting == 1)
    # Given a command, while all threads of the server are taken
    events.status = 503
    opened.note(command(1))
    await until(lambda: len(events.queries) == 2)
    # When there is one again
    events.status, events.ids = 200, ["c1"]
    # Then the stream has the command
    await until(lambda: b"id: c1" in device.response.body)
    assert not device.task.done()
    opened.close()
    await device.task


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until this holds; its timers turn by themselves."""
    async with asyncio.timeout(100):
        while not holds():
            await asyncio.sleep(0.01)


def get(waits: CommandWaits, query: str, path: str = PATH) -> AsgiRequest:
    return AsgiRequest(waits, "GET", path, query)


@pytest.mark.asyncio
async def test_a_request_waits_until_its_device_is_asked_for_something(
    waits: CommandWaits, opened: CommandArrivals, answers: Answers
) -> None:
    # given two devices that wait, after a first answer without commands
    pillow = get(waits, "after=&wait=50")
    chair = get(waits, "wait=50&after=", "/api/devices/chair/commands")
    await settle()
    assert answers.queries == ["after=", "after="] and opened.waiting == 2
    # when one of them is asked for something
    answers.body = b"something"
    opened.note(command(1))
    await settle()
    # then that one asks again, and has it; the other goes on
    assert answers.queries == ["after="] * 3
    assert pillow.response.body == b"something" and not chair.task.done()
    # and when the server stops, the other has the answer that it got at first
    opened.close()
    await settle()
    assert (chair.response.status, chair.response.body) == (200, NO_COMMANDS)
    assert len(answers.queries) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"something"), (400, NO_COMMANDS), (403, b"no"), (404, b"no"), (409, b"no"), (503, b"")],
)
async def test_what_the_first_answer_says_is_said_at_once(
    waits: CommandWaits, opened: CommandArrivals, answers: Answers, status: int, body: bytes
) -> None:
    answers.status, answers.body = status, body
    request = get(waits, "after=&wait=50&colour=blue")
    await settle()
    assert (request.response.status, request.response.body) == (status, body)
    assert answers.queries == ["colour=blue&after="] and request.task.done()
    assert not opened.waiting


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("after", "known", "asks_again"),
    [
        ("", [command(1)], True),
        ("c1", [command(1)], False),
        ("c1", [command(1), command(2)], True),
        ("c2", [command(1), command(2)], False),
        ("c2", [command(1), command(2, status="done", change=3)], False),
        ("", [command(1, status="done", change=2)], False),
        ("", [command(1, device="chair")], False),
        ("", [], False),
        # a place that is not known: the first answer is of what the store has
        ("forgotten", [command(1)], False),
        ("forgotten", [], False),
        # what became of it came in another order
        ("", [command(1, status="done", change=2), command(1)], False),
    ],
)
async def test_what_is_known_ends_a_wait_before_it_begins(
    waits: CommandWaits,
    opened: CommandArrivals,
    answers: Answers,
    after: str,
    known: list[Command],
    asks_again: bool,
) -> None:
    for one in known:
        opened.note(one)
    request = get(waits, f"after={after}&wait=50")
    await settle()
    assert request.task.done() is asks_again
    opened.close()
    await request.task
    assert answers.queries == [f"after={after}"] * (1 + asks_again)


REVOKED = AccessRecord("key", "pillow-1", None, 7)


@pytest.mark.parametrize("query", ["after=&wait=50", "after="])
@pytest.mark.asyncio
async def test_who_lost_the_right_waits_no_longer(query: str) -> None:
    # given a device that waits, as long poll or as stream
    polls, opened = "wait" in query, CommandArrivals()
    answers = Answers() if polls else Events()
    headers = {} if polls else {"accept": "text/event-stream"}
    device = AsgiRequest(CommandWaits(answers, opened), "GET", PATH, query, headers=headers)
    await settle()
    assert not device.task.done() and opened.waiting == 1
    # when its key is revoked
    answers.status = 401
    opened.on_access([REVOKED], False)
    await settle()
    # then it ends at once, with the reason if that can still be said
    assert device.task.done() and opened.waiting == 0
    assert device.response.status == (401 if polls else 200)


@pytest.mark.parametrize(
    ("records", "reset", "asks"),
    [
        ([REVOKED], False, True),
        ([AccessRecord("key", "pillow-1", {"grants": {}}, 7)], False, True),
        ([AccessRecord("user", "ada", {"role": "viewer"}, 7)], False, True),
        ([AccessRecord("session", "s1", None, 7)], False, True),
        ([AccessRecord("session", "s1", {"user": "ada"}, 7)], False, False),
        ([], False, False),
        ([], True, True),
    ],
)
def test_which_records_end_a_wait(records: list[AccessRecord], reset: bool, asks: bool) -> None:
    opened = CommandArrivals()
    before = opened.rights
    opened.on_access(records, reset)
    assert opened.must_ask("floor/pillow", "", before) is asks


@pytest.mark.asyncio
async def test_a_place_that_is_not_known_ends_no_wait(
    waits: CommandWaits, opened: CommandArrivals, answers: Answers
) -> None:
    # given an open command, and a device whose place was forgotten here, which has it
    opened.note(command(1))
    device = get(waits, "after=forgotten&wait=50")
    await settle()
    assert not device.task.done()
    # then it waits for the next command
    opened.note(command(2))
    await device.task
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
    opened = CommandArrivals(lambda: now)
    waits = CommandWaits(answers, opened)
    opened.note(command(1))
    now += seconds
    request = get(waits, "after=&wait=50")
    await settle()
    assert request.task.done() is not waits_on
    opened.close()
    await request.task


@pytest.mark.asyncio(fast_forward=True)
async def test_a_wait_has_an_end(waits: CommandWaits, answers: Answers) -> None:
    request = get(waits, "after=&wait=50")
    await request.task
    assert answers.queries == ["after="] and request.response.body == NO_COMMANDS


@pytest.mark.asyncio
async def test_a_client_that_leaves_gets_no_command(
    waits: CommandWaits, opened: CommandArrivals, answers: Answers
) -> None:
    request = get(waits, "after=&wait=50")
    await settle()
    request.leave()
    await request.task
    opened.note(command(1))
    await settle()
    assert answers.queries == ["after="]


@pytest.mark.asyncio
async def test_after_a_stop_nothing_waits(
    waits: CommandWaits, opened: CommandArrivals, answers: Answers
) -> None:
    opened.close()
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
@pytest.mark.parametrize("query", ["after=&wait=50", "after="])
async def test_who_may_not_take_commands_is_answered_at_once(query: str) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"No one is signed in."})

    waits = CommandWaits(refuse, CommandArrivals())
    headers = {"accept": "text/event-stream"}
    request = AsgiRequest(waits, "GET", PATH, query, headers=headers)
    await settle()
    response = await request.task
    assert (response.status, response.body) == (401, b"No one is signed in.")
