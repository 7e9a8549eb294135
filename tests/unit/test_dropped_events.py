"""Every event that is dropped is counted, and its namespace is in the log once a minute."""

from __future__ import annotations

import functools
import json
import threading
from typing import Any

import pytest

from statecast.diagnostics import check_dropped_events
from statecast.errors import Malformed, Unavailable
from statecast.model import Event
from statecast.realtime import dropped_events, handlers, rooms
from statecast.realtime.dropped_events import SLOW_VIEWER, DroppedEvents
from statecast.realtime.handlers import HandlerResult, HandlerRunner, name_of
from statecast.realtime.hub import Hub
from statecast.realtime.loop_calls import LoopCalls
from statecast.runtime import Runtime
from statecast.settings import Settings
from tests.fakes.fake_broadcaster import FakeBroadcaster
from tests.fakes.fake_loop import FakeLoop
from tests.fakes.harness import FakeClient, Harness
from tests.fakes.open_readers import open_readers
from waiting import wait_for


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_each_namespace_has_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    # given events that two namespaces lose
    clock = Clock()
    dropped = DroppedEvents(clock)
    dropped.add("/chat", 2, SLOW_VIEWER)
    dropped.add("/chat", 5, SLOW_VIEWER)
    dropped.add("/news", 1, SLOW_VIEWER)

    # then each has one line, and the rest is said with the first loss after a minute
    assert [record.args for record in caplog.records] == [
        ("/chat", 2, SLOW_VIEWER),
        ("/news", 1, SLOW_VIEWER),
    ]
    caplog.clear()
    clock.seconds = 59.9
    dropped.add("/chat", 1, SLOW_VIEWER)
    assert caplog.records == []
    clock.seconds = 60
    dropped.add("/chat", 1, SLOW_VIEWER)
    assert [record.args for record in caplog.records] == [("/chat", 7, SLOW_VIEWER)]
    assert dropped.total == 10


def test_absurdly_many_namespaces_share_a_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropped_events, "MAX_NAMESPACES", 1)
    dropped = DroppedEvents(Clock())
    for number in range(4):
        dropped.add(f"/{number}", 1, SLOW_VIEWER)
    assert [record.args[0] for record in caplog.records if record.args] == [
        "/0",
        "other namespaces",
    ]
    assert dropped.total == 4


def paused(harness: Harness) -> FakeClient:
    client = harness.client().join()
    client.connection.pause_writing()
    return client


def sid_of(client: FakeClient) -> str:
    client.send("40")
    return str(json.loads(client.received()[-1][2:])["sid"])


def runtime_of(hub: Hub) -> Runtime:
    runtime = Runtime(Settings(store="memory:"))
    runtime.viewers.take_for_test(hub)
    return runtime


def test_a_viewer_that_reads_too_slowly_loses_events(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness()
    paused(harness)
    harness.hub.publish(Event("/", "lost"))
    assert harness.hub.dropped.total == 1
    assert runtime_of(harness.hub).own_report()["dropped_events"] == 1
    assert "viewer_buffer" in caplog.text


def test_a_viewer_that_is_not_accepted_yet_has_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    # given a connect handler that has not answered, and more events than wait for it
    harness = Harness()
    decide = threading.Event()
    harness.hub.on("connect", lambda sid, auth: decide.wait(10))
    client = harness.client().open()
    client.send("40")
    for number in range(66):
        harness.hub.publish(Event("/", str(number)))
    decide.set()

    # then it has the oldest once it is accepted, and the newest are counted
    assert len(client.wait_for(67)) == 67  # two of the handshake, the sid, 64 events
    assert harness.hub.dropped.total == 2
    assert "connect handler" in caplog.text
    harness.hub.close_threads()


def test_a_callback_to_a_viewer_that_has_left_is_a_dropped_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a viewer that has just left
    harness = Harness()
    client = harness.client().open()
    sid = sid_of(client)
    runtime = runtime_of(harness.hub)
    client.lose()

    # when it is asked for an acknowledgement, then nothing is raised but for who waits
    runtime.viewers.emit("question", to=sid, callback=print)
    assert harness.hub.dropped.total == 1
    assert "has left" in caplog.text
    answers: list[Any] = []

    def ask() -> None:
        with pytest.raises(Unavailable, match="has left") as caught:
            runtime.viewers.call("question", to=sid)
        answers.append(caught.value)

    thread = threading.Thread(target=ask)
    thread.start()
    harness.loop.take_call()
    thread.join(10)
    assert len(answers) == 1


def test_a_callback_that_is_given_up_for_a_newer_one_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MAX_CALLBACKS", 2)
    harness = Harness()
    sid = sid_of(harness.client().open())
    for _ in range(3):
        runtime_of(harness.hub).viewers.emit("question", to=sid, callback=print)
    assert harness.hub.dropped.total == 1
    assert "oldest callback is given up" in caplog.text


def test_doctor_says_how_many_were_dropped() -> None:
    (line,) = check_dropped_events(
        {"a": {"dropped_events": 2}, "b": {"dropped_events": 1}, "c": {}}
    )
    assert (line.verdict, line.sentence[:32]) == ("notice", "3 application events were droppe")
    assert list(check_dropped_events({"a": {"dropped_events": 0}})) == []


@pytest.mark.parametrize("to", [None, ["a", "b"], "room"])
def test_a_callback_of_several_viewers_is_refused(to: Any) -> None:
    harness = Harness()
    client = harness.client().open()
    runtime = runtime_of(harness.hub)
    runtime.viewers.move("enter", "/", "room", sid_of(client))
    with pytest.raises(Malformed, match="Only one viewer"):
        runtime.viewers.emit("question", to=to, callback=print)


def test_who_comes_and_goes_leaves_a_bounded_number_of_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a disconnect handler that is slow, and room for two calls of it
    monkeypatch.setattr(handlers, "BACKLOG", 1)
    harness = Harness(handler_threads=1)
    go, calls = threading.Event(), []

    def leave(sid: str, reason: str) -> None:
        calls.append(sid)
        go.wait(10)

    harness.hub.on("disconnect", leave)
    staying, client = harness.client().join(), harness.client().join()
    # when a client leaves its namespace, joins it again, and leaves
    for packet in ("41", "40", "41"):
        client.send(packet)
    assert client.received()[-1].startswith('40{"sid":')
    # then it gets in no more, until there is room
    client.send("40")
    assert client.received() == [
        '44{"message":"The server is too busy to handle this now; try again later."}'
    ]
    # and who is in there already is not affected, nor what is called when it leaves
    staying.lose()
    go.set()
    wait_for(lambda: len(calls) == 3)
    harness.hub.close_threads()


def test_what_no_thread_takes_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one thread, which a handler holds, and no place to wait
    monkeypatch.setattr(handlers, "BACKLOG", 0)
    harness = Harness(handler_threads=1)
    hub, go, left = harness.hub, threading.Event(), threading.Event()
    hub.on("slow", lambda sid: go.wait(10))
    hub.on("disconnect", lambda sid, reason: left.set())
    client = harness.client().open()
    sid = sid_of(client)
    client.send('42["slow"]')

    # when events and an acknowledgement with a callback come, then each is counted,
    # and an event whose sender waits is answered
    client.send('42["slow"]')
    client.send('427["slow"]')
    assert client.received() == [
        '437[{"error":"The server is too busy to handle this now; try again later."}]'
    ]
    runtime_of(hub).viewers.emit("question", to=sid, callback=print)
    number = client.received()[0][2:].partition("[")[0]
    client.send(f"43{number}[]")
    assert hub.dropped.total == 3
    assert "handler_threads" in caplog.text

    # and a viewer that leaves is never too much: its disconnect handler is called
    client.lose()
    go.set()
    assert left.wait(10)
    hub.close_threads()


def test_events_after_the_end_of_the_loop_are_counted() -> None:
    class Closed(FakeLoop):
        def call_soon_threadsafe(self, *arguments: object) -> None:
            raise RuntimeError("Event loop is closed")

    hub = Hub(FakeBroadcaster(), Settings(), readers=open_readers())
    hub.start(Closed())  # type: ignore[arg-type]
    thread = threading.Thread(target=hub.publish, args=(Event("/", "late"),))
    thread.start()
    thread.join(10)
    assert hub.dropped.total == 1


@pytest.mark.parametrize("seconds", [0.9, 1.0])
def test_a_call_that_waits_for_a_thread_names_who_hold_them(
    caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    # given one thread, which a handler holds for ever
    loop, calls = FakeLoop(), LoopCalls()
    calls.start(loop)  # type: ignore[arg-type]
    runner = HandlerRunner(1, calls)
    runner.start(loop)  # type: ignore[arg-type]
    go, begun, results = threading.Event(), threading.Event(), list[HandlerResult]()

    def holder() -> None:
        begun.set()
        go.wait(10)

    def waiter() -> None: ...

    runner.call(holder, (), results.append)
    assert begun.wait(10)

    # when another call waits for a second, then the line says who holds it
    runner.call(waiter, (), results.append)
    loop.advance(seconds)
    lines = caplog.messages
    if seconds < 1:
        assert lines == []
    else:
        [line] = lines
        assert line.startswith("a call of ") and "waiter has waited 1 s for a thread" in line
        assert "holder (1). A handler should return soon" in line and "(1) limits" in line

    # and nothing is said of a call that has got its thread
    go.set()
    while len(results) < 2:
        loop.take_call()
    loop.advance(2)
    assert caplog.messages == lines
    runner.close()


def test_a_handler_that_calls_others_is_named_by_them() -> None:
    class Dispatcher:
        def describe(self, event: str) -> str:
            return f"on_{event}"

        def __call__(self, event: str) -> None: ...

    assert name_of(Dispatcher(), ("chat",)) == "on_chat"
    assert name_of(print, ()) == "print"
    assert name_of(functools.partial(print, 1), ()) == "print"
