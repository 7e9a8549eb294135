"""The hub: emits, rooms, the application's handlers, and the way home."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from typing import Any

import pytest

from statecast.errors import BadSetting, Refused
from statecast.model import Event
from statecast.realtime.protocol import websocket
from tests.fakes.fake_loop import settle
from tests.fakes.harness import Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()


# Emits


def test_an_emit_reaches_its_namespace_its_room_or_one(harness: Harness) -> None:
    # given three in /test, two of them in a room
    harness.hub.open("/test")
    clients = [harness.client() for _ in range(3)]
    sids = []
    for client in clients:
        client.open()
        client.send("40/test,")
        sids.append(json.loads(client.received()[-1].partition(",")[2])["sid"])
    harness.hub.publish(Event("/", "red", rooms=(sids[0],), kind="enter"))
    harness.hub.publish(Event("/", "red", rooms=(sids[1],), kind="enter"))

    def heard() -> list[int]:
        return [len(client.received()) for client in clients]

    # then each emit reaches whom it names
    harness.broadcaster.listener(Event("/test", "message", b'[{"a":1}]'))
    assert heard() == [1, 1, 1]
    assert harness.hub.emit(Event("/test", "message", b"[]", ("red",))) == 2
    assert heard() == [1, 1, 0]
    assert harness.hub.emit(Event("/test", "message", b"[]", (sids[2],))) == 1
    assert heard() == [0, 0, 1]
    assert harness.hub.emit(Event("/", "message", b"[]")) == 0
    assert heard() == [0, 0, 0]

    # and who left, or is gone, is not reached
    harness.hub.publish(Event("/", "red", rooms=(sids[0],), kind="leave"))
    clients[1].lose()
    assert harness.hub.emit(Event("/test", "message", b"[]", ("red",))) == 0
    assert harness.hub.emit(Event("/test", "message", b"[]")) == 2
    assert harness.hub.open("/test").rooms == {}


def test_an_emit_to_a_full_transport_is_dropped_and_counted(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.pause_writing()
    assert harness.hub.emit(Event("/", "message", b"[]")) == 0
    assert harness.hub.dropped.total == 1
    assert client.received() == []


def test_viewers_join_the_namespaces_of_the_setting_and_those_with_handlers() -> None:
    harness = Harness(namespaces=("/named",))
    harness.hub.on("hug", print, "/handled")
    client = harness.client().open()
    client.received()
    for namespace in ("/", "/named", "/handled", "/other"):
        client.send(f"40{namespace},")
    kinds = [said[:2] for said in client.received()]
    assert kinds == ["40", "40", "40", "44"]


@pytest.mark.parametrize("namespace", ["no slash", "/nobody"])
def test_an_emit_opens_no_namespace_and_is_told_once(
    harness: Harness, caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
    # given two events, written by another process, for what viewers may not join
    for _ in range(2):
        harness.broadcaster.listener(Event(namespace, "message"))

    # then the log says so once, and no viewer can join because of them
    assert len(caplog.records) == 1
    assert "reach no viewer" in caplog.text
    client = harness.client().open()
    client.received()
    client.send("40/nobody,")
    assert client.received() == ['44/nobody,{"message":"Invalid namespace"}']


def test_a_viewer_can_be_taken_out_of_its_namespace(harness: Harness) -> None:
    client = harness.client().open()
    client.send("40")
    sid = json.loads(client.received()[-1][2:])["sid"]
    harness.hub.publish(Event("/", "", rooms=(sid,), kind="disconnect"))
    assert client.received() == ["41"]
    assert harness.hub.find(sid) is None


# Handlers


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "435[]"),
        ("ok", '435["ok"]'),
        ((1, "2", {"3": [False]}), '435[1,"2",{"3":[false]}]'),
        ([1, 2], "435[[1,2]]"),
        ((), "435[]"),
    ],
)
def test_what_a_handler_returns_is_the_acknowledgement(
    harness: Harness, returned: Any, said: str
) -> None:
    harness.hub.on("hug", lambda sid, *arguments: returned)
    client = harness.client().join()
    client.send('425["hug"]')
    harness.loop.take_call()
    assert client.received() == [said]


def test_bytes_go_to_a_handler_and_back(harness: Harness) -> None:
    harness.hub.on("hug", lambda sid, *arguments: arguments)
    client = harness.client().join()
    client.send('451-5["hug",{"_placeholder":true,"num":0}]')
    client.send(b"\x00\x01")
    harness.loop.take_call()
    assert client.received() == ['461-5[{"_placeholder":true,"num":0}]', b"\x00\x01"]


def test_a_text_instead_of_an_attachment_closes(harness: Harness) -> None:
    client = harness.client().join()
    client.send('451-["hug",{"_placeholder":true,"num":0}]')
    client.send('42["hug"]')
    assert client.closed_with() == websocket.POLICY_VIOLATION


def test_an_event_nobody_handles_is_answered(harness: Harness) -> None:
    client = harness.client().join()
    client.send('425["hug"]')
    assert client.received() == ['435[{"error":"No handler is registered for this event."}]']


def test_an_error_in_a_handler_stays_in_the_log(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    def hug(sid: str) -> None:
        raise ValueError("a secret")

    harness.hub.on("hug", hug)
    client = harness.client().join()
    client.send('425["hug"]')
    harness.loop.take_call()
    (said,) = client.received()
    number = said.partition("(error ")[2][:8]
    assert "secret" not in said
    assert number in caplog.text


def test_what_waits_of_one_viewer_is_bounded(harness: Harness) -> None:
    # given a handler that does not come to an end, and a viewer whose messages for it hold what one
    # may have
    go_on = threading.Event()
    harness.hub.on("hug", lambda sid, data: go_on.wait(10))
    client, other = harness.client().join(), harness.client().join()
    half = "a" * (harness.settings.max_payload // 2 - 20)
    for number in (1, 2):
        client.send(f'42{number}["hug","{half}"]')
    # then its next is refused at once; anybody else's is not
    client.send('423["hug","and this one, which has more than what is left of them"]')
    assert client.received() == [
        '433[{"error":"The server is too busy to handle this now; try again later."}]'
    ]
    other.send('424["hug","a"]')
    assert other.received() == []
    # and when they are done, it may go on
    go_on.set()
    assert sorted(client.wait_for(2)) == ["431[true]", "432[true]"]
    client.send('425["hug","a"]')
    assert client.wait_for(1) == ["435[true]"]


def test_a_refusal_of_a_handler_is_told(harness: Harness) -> None:
    def hug(sid: str) -> None:
        raise Refused("No hugs today.")

    harness.hub.on("hug", hug)
    client = harness.client().join()
    client.send('425["hug"]')
    harness.loop.take_call()
    assert client.received() == ['435[{"error":"No hugs today."}]']


def test_a_handler_that_returns_what_json_cannot_carry(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.hub.on("hug", lambda sid: float("nan"))
    client = harness.client().join()
    client.send('425["hug"]')
    harness.loop.take_call()
    (said,) = client.received()
    assert said.startswith('435[{"error":"The server could not answer this')


def test_a_connect_hook_decides(harness: Harness) -> None:
    asked: list[Any] = []

    def connect(sid: str, auth: Any) -> bool:
        asked.append(auth)
        return bool(auth and auth.get("token") == "right")

    harness.hub.on("connect", connect, "/test")
    client = harness.client().open()
    client.received()

    # when it refuses, then the viewer is told and may try again
    client.send("40/test,")
    assert client.received() == []
    harness.loop.take_call()
    assert client.received() == ['44/test,{"message":"The connection was refused."}']

    # when it accepts
    client.send('40/test,{"token":"right"}')
    harness.loop.take_call()
    (said,) = client.received()
    assert said.startswith('40/test,{"sid"')
    assert asked == [{}, {"token": "right"}]


def test_what_a_connect_hook_sends_follows_the_connect_packet(harness: Harness) -> None:
    def answer(sid: str, auth: Any) -> None:
        data = json.dumps([auth, {"_placeholder": True, "num": 0}], separators=(",", ":"))
        event = Event("/", "auth", data.encode(), (sid,), attachments=(b"x",))
        harness.hub.publish(event)

    harness.hub.on("connect", answer)
    client = harness.client().open()
    client.received()
    client.send('40{"token":"abc"}')
    connected, event, attachment = client.wait_for(3)
    assert connected.startswith('40{"sid"')
    assert event == '451-["auth",{"token":"abc"},{"_placeholder":true,"num":0}]'
    assert attachment == b"x"


def test_an_event_before_the_hook_has_decided_closes(harness: Harness) -> None:
    decided = threading.Event()
    harness.hub.on("connect", lambda sid, auth: decided.wait(10))
    client = harness.client().open()
    client.send("40")
    client.send('42["hug"]')
    assert client.closed_with() == websocket.POLICY_VIOLATION
    decided.set()
    harness.loop.take_call()
    assert client.received() == []


def test_the_disconnect_hook_is_told(harness: Harness) -> None:
    told: queue.Queue[str] = queue.Queue()
    harness.hub.on("disconnect", lambda sid, reason: told.put(reason))
    harness.client().join().send("41")
    assert told.get(timeout=10) == "client namespace disconnect"
    harness.client().join().lose()
    assert told.get(timeout=10) == "transport close"


@pytest.mark.parametrize("event", ["watch", "connect_error", "disconnecting", "newListener"])
def test_the_protocols_own_events_have_no_handlers(harness: Harness, event: str) -> None:
    with pytest.raises(BadSetting):
        harness.hub.on(event, print)


def test_an_event_has_one_handler_and_a_namespace_a_slash(harness: Harness) -> None:
    harness.hub.on("hug", print)
    with pytest.raises(BadSetting):
        harness.hub.on("hug", print)
    for name in ("test", "", "/a,b", "/" + "n" * 128):
        with pytest.raises(BadSetting):
            harness.hub.open(name)


@pytest.mark.asyncio
async def test_coroutine_functions_run_on_the_loop() -> None:
    harness = Harness(loop=asyncio.get_running_loop())
    done = asyncio.Event()

    async def hug(sid: str, how: str) -> str:
        asyncio.get_running_loop().call_soon(done.set)
        return how + "!"

    harness.hub.on("hug", hug)
    client = harness.client().join()
    client.send('425["hug","tight"]')
    await done.wait()
    assert client.received() == ['435["tight!"]']
    client.lose()
    harness.hub.wheel.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_coroutine_that_wants_to_end_the_program_ends_only_itself(
    error: type[BaseException],
) -> None:
    # given a coroutine that raises what asyncio would end the loop with, or answer nothing for
    harness = Harness(loop=asyncio.get_running_loop())

    async def leave(sid: str) -> None:
        raise error

    harness.hub.on("leave", leave)
    client = harness.client().join()

    # when it is called, then its viewer is told, and another event is handled
    client.send('425["leave"]')
    client.send('426["nothing"]')
    await settle()
    answers = [answer[:3] for answer in client.received()]
    assert sorted(answers) == ["435", "436"]
    client.lose()
    harness.hub.wheel.stop()


@pytest.mark.asyncio
async def test_a_coroutine_that_the_end_of_the_loop_cancels_answers_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    harness = Harness(loop=asyncio.get_running_loop())

    async def wait(sid: str) -> None:
        await asyncio.get_running_loop().create_future()

    harness.hub.on("wait", wait)
    client = harness.client().join()
    client.send('425["wait"]')
    await settle()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await settle()
    assert client.received() == []
    assert caplog.records == []
    client.lose()
    harness.hub.wheel.stop()


# The way home


@pytest.mark.asyncio
async def test_all_are_sent_away_in_slices_and_cut_if_they_stay() -> None:
    # given three viewers, of whom one goes when it is told to
    harness = Harness(loop=asyncio.get_running_loop())
    clients = [harness.client().join() for _ in range(3)]
    clients[0].transport.abort = clients[0].lose  # type: ignore[method-assign]
    for client in clients:
        client.transport.abort = client.lose  # type: ignore[method-assign]

    # when the server stops
    await harness.hub.close_all(2, grace=0.05)

    # then each was told, and the stubborn ones were cut
    assert [client.closed_with() for client in clients] == [websocket.SERVICE_RESTART] * 3
    assert harness.hub.viewers == 0
    harness.hub.wheel.stop()
