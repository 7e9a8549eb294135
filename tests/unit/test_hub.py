"""The hub: emits, rooms, the application's handlers, and the way home."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from typing import Any

import pytest
from paper import Client, FakeBroadcaster, PaperLoop, Scene

from statecast.errors import BadSetting, Refused
from statecast.model import Event
from statecast.realtime.hub import Hub
from statecast.realtime.protocol import websocket
from statecast.settings import Settings


@pytest.fixture
def scene() -> Scene:
    return Scene()


# Emits


def test_an_emit_reaches_its_namespace_its_room_or_one(scene: Scene) -> None:
    # given three in /test, two of them in a room
    scene.hub.open("/test")
    clients = [scene.client() for _ in range(3)]
    sids = []
    for client in clients:
        client.open()
        client.say("40/test,")
        sids.append(json.loads(client.heard()[-1].partition(",")[2])["sid"])
    scene.hub.enter(sids[0], "red")
    scene.hub.enter(sids[1], "red")

    def heard() -> list[int]:
        return [len(client.heard()) for client in clients]

    # then each emit reaches whom it names
    scene.broadcaster.teller(Event(1, "/test", None, "message", b'[{"a":1}]'))
    assert heard() == [1, 1, 1]
    assert scene.hub.emit("/test", "red", "message", b"[]") == 2
    assert heard() == [1, 1, 0]
    assert scene.hub.emit("/test", sids[2], "message", b"[]") == 1
    assert heard() == [0, 0, 1]
    assert scene.hub.emit("/", None, "message", b"[]") == 0
    assert heard() == [0, 0, 0]

    # and who left, or is gone, is not reached
    scene.hub.leave(sids[0], "red")
    clients[1].lose()
    assert scene.hub.emit("/test", "red", "message", b"[]") == 0
    assert scene.hub.emit("/test", None, "message", b"[]") == 2
    assert scene.hub.open("/test").rooms == {}


def test_an_emit_to_a_full_transport_is_dropped_and_counted(scene: Scene) -> None:
    client = scene.client().join()
    client.viewer.pause_writing()
    assert scene.hub.emit("/", None, "message", b"[]") == 0
    assert scene.hub.dropped_emits == 1
    assert client.heard() == []


def test_viewers_join_the_namespaces_of_the_setting_and_those_with_handlers() -> None:
    hub = Hub(FakeBroadcaster(), Settings(), namespaces=["/named"])
    hub.start(PaperLoop())  # type: ignore[arg-type]
    hub.on("hug", print, "/handled")
    client = Client(hub).open()
    client.heard()
    for namespace in ("/", "/named", "/handled", "/other"):
        client.say(f"40{namespace},")
    kinds = [said[:2] for said in client.heard()]
    assert kinds == ["40", "40", "40", "44"]


@pytest.mark.parametrize("namespace", ["no slash", "/nobody"])
def test_an_emit_opens_no_namespace_and_is_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture, namespace: str
) -> None:
    # given two events, written by another process, for what viewers may not join
    for number in (1, 2):
        scene.broadcaster.teller(Event(number, namespace, None, "message", b"[]"))

    # then the log says so once, and nobody can join because of them
    assert len(caplog.records) == 1
    assert "reach nobody" in caplog.text
    client = scene.client().open()
    client.heard()
    client.say("40/nobody,")
    assert client.heard() == ['44/nobody,{"message":"Invalid namespace"}']


def test_a_viewer_can_be_taken_out_of_its_namespace(scene: Scene) -> None:
    client = scene.client().open()
    client.say("40")
    sid = json.loads(client.heard()[-1][2:])["sid"]
    scene.hub.disconnect(sid)
    assert client.heard() == ["41"]
    assert scene.hub.find(sid) is None


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
    scene: Scene, returned: Any, said: str
) -> None:
    scene.hub.on("hug", lambda sid, *arguments: returned)
    client = scene.client().join()
    client.say('425["hug"]')
    scene.loop.take_call()
    assert client.heard() == [said]


def test_bytes_go_to_a_handler_and_back(scene: Scene) -> None:
    scene.hub.on("hug", lambda sid, *arguments: arguments)
    client = scene.client().join()
    client.say('451-5["hug",{"_placeholder":true,"num":0}]')
    client.say(b"\x00\x01")
    scene.loop.take_call()
    assert client.heard() == ['461-5[{"_placeholder":true,"num":0}]', b"\x00\x01"]


def test_a_text_instead_of_an_attachment_closes(scene: Scene) -> None:
    client = scene.client().join()
    client.say('451-["hug",{"_placeholder":true,"num":0}]')
    client.say('42["hug"]')
    assert client.closed_with() == websocket.AGAINST_POLICY


def test_an_event_nobody_handles_is_answered(scene: Scene) -> None:
    client = scene.client().join()
    client.say('425["hug"]')
    assert client.heard() == ['435[{"error":"Nobody handles this event here."}]']


def test_an_error_in_a_handler_stays_in_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def hug(sid: str) -> None:
        raise ValueError("a secret")

    scene.hub.on("hug", hug)
    client = scene.client().join()
    client.say('425["hug"]')
    scene.loop.take_call()
    (said,) = client.heard()
    number = said.partition("(error ")[2][:8]
    assert "secret" not in said
    assert number in caplog.text


def test_what_waits_of_one_viewer_is_bounded(scene: Scene) -> None:
    # given a handler that does not come to an end, and a viewer whose messages for it hold what one may have
    go_on = threading.Event()
    scene.hub.on("hug", lambda sid, data: go_on.wait(10))
    client, other = scene.client().join(), scene.client().join()
    half = "a" * (scene.hub.settings.max_payload // 2 - 20)
    for number in (1, 2):
        client.say(f'42{number}["hug","{half}"]')
    # then its next is refused at once; anybody else's is not
    client.say('423["hug","and this one, which has more than what is left of them"]')
    assert client.heard() == [
        '433[{"error":"The server is too busy to handle this now; try again later."}]'
    ]
    other.say('424["hug","a"]')
    assert other.heard() == []
    # and when they are done, it may go on
    go_on.set()
    for _ in range(3):
        scene.loop.take_call()
    client.say('425["hug","a"]')
    scene.loop.take_call()
    assert sorted(client.heard()) == ["431[true]", "432[true]", "435[true]"]


def test_a_refusal_of_a_handler_is_told(scene: Scene) -> None:
    def hug(sid: str) -> None:
        raise Refused("No hugs today.")

    scene.hub.on("hug", hug)
    client = scene.client().join()
    client.say('425["hug"]')
    scene.loop.take_call()
    assert client.heard() == ['435[{"error":"No hugs today."}]']


def test_a_handler_that_returns_what_json_cannot_carry(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.hub.on("hug", lambda sid: float("nan"))
    client = scene.client().join()
    client.say('425["hug"]')
    scene.loop.take_call()
    (said,) = client.heard()
    assert said.startswith('435[{"error":"The server could not answer this')


def test_a_connect_hook_decides(scene: Scene) -> None:
    asked: list[Any] = []

    def connect(sid: str, auth: Any) -> bool:
        asked.append(auth)
        return bool(auth and auth.get("token") == "right")

    scene.hub.on("connect", connect, "/test")
    client = scene.client().open()
    client.heard()

    # when it refuses, then the viewer is told and may try again
    client.say("40/test,")
    assert client.heard() == []
    scene.loop.take_call()
    assert client.heard() == ['44/test,{"message":"The connection was refused."}']

    # when it accepts
    client.say('40/test,{"token":"right"}')
    scene.loop.take_call()
    (said,) = client.heard()
    assert said.startswith('40/test,{"sid"')
    assert asked == [{}, {"token": "right"}]


def test_what_a_connect_hook_sends_follows_the_connect_packet(scene: Scene) -> None:
    scene.hub.on("connect", lambda sid, auth: scene.hub.send(sid, "auth", auth, b"x"))
    client = scene.client().open()
    client.heard()
    client.say('40{"token":"abc"}')
    scene.loop.take_call()  # the event
    scene.loop.take_call()  # the decision
    connected, event, attachment = client.heard()
    assert connected.startswith('40{"sid"')
    assert event == '451-["auth",{"token":"abc"},{"_placeholder":true,"num":0}]'
    assert attachment == b"x"


def test_an_event_before_the_hook_has_decided_closes(scene: Scene) -> None:
    decided = threading.Event()
    scene.hub.on("connect", lambda sid, auth: decided.wait(10))
    client = scene.client().open()
    client.say("40")
    client.say('42["hug"]')
    assert client.closed_with() == websocket.AGAINST_POLICY
    decided.set()
    scene.loop.take_call()
    assert client.heard() == []


def test_the_disconnect_hook_is_told(scene: Scene) -> None:
    told: queue.Queue[str] = queue.Queue()
    scene.hub.on("disconnect", lambda sid, reason: told.put(reason))
    scene.client().join().say("41")
    assert told.get(timeout=10) == "client namespace disconnect"
    scene.client().join().lose()
    assert told.get(timeout=10) == "transport close"


@pytest.mark.parametrize("event", ["watch", "connect_error", "disconnecting", "newListener"])
def test_the_protocols_own_events_have_no_handlers(scene: Scene, event: str) -> None:
    with pytest.raises(BadSetting):
        scene.hub.on(event, print)


def test_an_event_has_one_handler_and_a_namespace_a_slash(scene: Scene) -> None:
    scene.hub.on("hug", print)
    with pytest.raises(BadSetting):
        scene.hub.on("hug", print)
    for name in ("test", "", "/a,b", "/" + "n" * 128):
        with pytest.raises(BadSetting):
            scene.hub.open(name)


def test_coroutine_functions_run_on_the_loop() -> None:
    async def main() -> None:
        hub = Hub(FakeBroadcaster(), Settings())
        hub.start(asyncio.get_running_loop())
        done = asyncio.Event()

        async def hug(sid: str, how: str) -> str:
            asyncio.get_running_loop().call_soon(done.set)
            return how + "!"

        hub.on("hug", hug)
        client = Client(hub).join()
        client.say('425["hug","tight"]')
        await done.wait()
        assert client.heard() == ['435["tight!"]']
        client.lose()
        hub.wheel.stop()

    asyncio.run(main())


# The way home


def test_all_are_sent_away_in_slices_and_cut_if_they_stay() -> None:
    async def main() -> None:
        # given three viewers, of whom one goes when it is told to
        hub = Hub(FakeBroadcaster(), Settings())
        hub.start(asyncio.get_running_loop())
        clients = [Client(hub).join() for _ in range(3)]
        clients[0].transport.abort = clients[0].lose  # type: ignore[method-assign]
        for client in clients:
            client.transport.abort = client.lose  # type: ignore[method-assign]

        # when the server stops
        await hub.close_all(2, grace=0.05)

        # then each was told, and the stubborn ones were cut
        assert [client.closed_with() for client in clients] == [websocket.RESTARTING] * 3
        assert hub.viewers == 0
        hub.wheel.stop()

    asyncio.run(main())
