"""The viewer's protocol class, over a transport and a loop of paper."""

from __future__ import annotations

import json
import logging

import pytest
from paper import TARGET, Piece, Scene

from statecast.realtime.protocol import websocket


@pytest.fixture
def scene() -> Scene:
    return Scene()


# Handshake


def test_an_upgrade_opens_a_session(scene: Scene) -> None:
    # when a request for the live endpoint is handed over
    client = scene.client().open()

    # then it gets 101 and the open packet, and the transport belongs to the viewer from the first moment
    status, packet = client.heard()
    assert status == 101
    assert packet[0] == "0"
    said = json.loads(packet[1:])
    assert (said["pingInterval"], said["pingTimeout"], said["maxPayload"], said["upgrades"]) == (
        25_000,
        20_000,
        65_536,
        [],
    )
    assert client.transport.calls == ["set_protocol"]
    assert client.transport.high == scene.hub.settings.viewer_buffer
    assert client.viewer in client.endpoint.connections
    assert scene.hub.viewers == 1


def test_a_declined_request_is_answered_and_closed(scene: Scene) -> None:
    client = scene.client().open("/socket.io/?EIO=3&transport=websocket")
    assert client.heard() == [400, b'{"code":5,"message":"Unsupported protocol version"}']
    assert client.transport.calls[-1] == "close"
    assert scene.hub.viewers == 0

    # and cut if it does not take the answer
    scene.loop.advance(3)
    assert client.transport.calls[-1] == "abort"


def test_a_foreign_origin_is_forbidden(scene: Scene) -> None:
    client = scene.client().open(TARGET, (b"origin", b"http://example.test.evil.test"))
    assert client.heard() == [403, b'{"code":4,"message":"Forbidden"}']
    assert scene.client().open(TARGET, (b"origin", b"https://example.test")).heard()[0] == 101


def test_a_stopping_server_takes_nobody(scene: Scene) -> None:
    scene.hub.draining = True
    assert scene.client().open().heard()[0] == 503


def test_everything_is_given_back_when_the_connection_is_lost(scene: Scene) -> None:
    client = scene.client().join()
    client.say('420["watch",{}]')
    client.lose()
    assert scene.hub.viewers == 0
    assert scene.broadcaster.watching == []
    assert client.viewer not in client.endpoint.connections
    assert len(scene.hub.wheel) == 0
    assert not scene.hub.open("/").sockets


# Namespaces


def test_the_root_namespace_is_joined_with_a_sid(scene: Scene) -> None:
    client = scene.client().open()
    client.heard()
    client.say("40")
    (said,) = client.heard()
    assert said.startswith('40{"sid":"')


def test_an_unknown_namespace_is_refused_and_a_known_one_joined(scene: Scene) -> None:
    scene.hub.open("/test")
    client = scene.client().open()
    client.heard()
    client.say("40/other,{}")
    client.say("40/test,")
    refused, joined = client.heard()
    assert refused == '44/other,{"message":"Invalid namespace"}'
    assert joined.startswith('40/test,{"sid":"')


@pytest.mark.parametrize(
    "message", ["40", '42/test,["hug"]', '44{"message":"x"}', "abc", "4abc", "42{}", "2", "7", b"x"]
)
def test_what_breaks_the_protocol_closes(scene: Scene, message: str | bytes) -> None:
    client = scene.client().join()
    client.say(message)
    assert client.closed_with() == websocket.AGAINST_POLICY
    assert client.transport.calls[-1] == "write_eof"
    assert scene.broadcaster.said == ["leave"]


def test_an_event_before_a_namespace_is_joined_closes(scene: Scene) -> None:
    client = scene.client().open()
    client.say('42["watch",{}]')
    assert client.closed_with() == websocket.AGAINST_POLICY


def test_who_leaves_a_namespace_stays_connected_for_another(scene: Scene) -> None:
    scene.hub.open("/test")
    client = scene.client().join().join("/test")
    client.say("41")
    assert client.heard() == []
    scene.hub.emit("/", None, "message", b"[1]")
    scene.hub.emit("/test", None, "message", b"[2]")
    assert client.heard() == ['42/test,["message",2]']


# Watching


def test_watch_is_acknowledged_and_slices_are_delivered(scene: Scene) -> None:
    client = scene.client().join()
    client.say('427["watch",{"devices":["pillow"]}]')
    assert client.heard() == ['437[{"epoch":"e","offset":0,"reset":false}]']
    (watching,) = scene.broadcaster.watching
    watching.deliver(Piece("states", b'{"states":[]}'))
    assert client.heard() == ['42["states",{"states":[]}]']


@pytest.mark.parametrize("arguments", ['"watch"', '"watch",5', '"watch",{},{}'])
def test_a_wrong_watch_gets_a_sentence(scene: Scene, arguments: str) -> None:
    client = scene.client().join()
    client.say(f"427[{arguments}]")
    (said,) = client.heard()
    assert said.startswith('437[{"error":"“watch” takes')


def test_an_audience_shares_one_frame(scene: Scene) -> None:
    # given two who watch the same
    clients = [scene.client().join() for _ in range(2)]
    for client in clients:
        client.say('42["watch",{}]')
    piece = Piece("states", b"{}")
    written: list[bytes] = []
    for client in clients:
        client.transport.write = written.append  # type: ignore[method-assign]

    # when a slice is delivered to both
    for watching in scene.broadcaster.watching:
        watching.deliver(piece)

    # then both got the very same bytes
    assert written[0] is written[1]


def test_a_slow_viewer_is_paused_and_resumed(scene: Scene) -> None:
    client = scene.client().join()
    client.say('42["watch",{}]')
    client.viewer.pause_writing()
    client.viewer.resume_writing()
    assert scene.broadcaster.said == ["pause", "resume"]


def test_who_watches_while_paused_is_paused(scene: Scene) -> None:
    client = scene.client().join()
    client.viewer.pause_writing()
    client.say('42["watch",{}]')
    assert scene.broadcaster.said == ["pause", "pause"]


# Heartbeat and other times


def test_pings_are_answered_and_go_on(scene: Scene) -> None:
    client = scene.client().join()
    for _ in range(3):
        scene.loop.advance(25.3)
        assert client.heard() == ["2"]
        client.say("3")
    assert client.closed_with() is None


def test_who_does_not_answer_a_ping_is_cut(scene: Scene) -> None:
    client = scene.client().join()
    scene.loop.advance(25.3)
    scene.loop.advance(19.5)
    assert client.heard() == ["2"]
    scene.loop.advance(1)
    assert client.closed_with() == websocket.AGAINST_POLICY
    scene.loop.advance(2.3)
    assert client.transport.calls[-1] == "abort"


def test_who_joins_nothing_is_cut(scene: Scene) -> None:
    client = scene.client().open()
    scene.loop.advance(9.9)
    assert client.closed_with() is None
    scene.loop.advance(0.4)
    assert client.closed_with() == websocket.AGAINST_POLICY


def test_who_leaves_everything_must_join_again(scene: Scene) -> None:
    client = scene.client().join()
    client.say("41")
    scene.loop.advance(10.4)
    assert client.closed_with() == websocket.AGAINST_POLICY


def test_intervals_below_a_second_work() -> None:
    scene = Scene(ping_interval=0.3, ping_timeout=0.2)
    client = scene.client().join()
    for _ in range(5):
        scene.loop.advance(0.32)
        assert client.heard() == ["2"]
        client.say("3")


def test_who_accepts_nothing_is_cut(scene: Scene) -> None:
    client = scene.client().join()
    client.transport.held = 70_000
    client.viewer.pause_writing()
    scene.loop.advance(9.9)
    assert "abort" not in client.transport.calls
    scene.loop.advance(0.4)
    assert client.transport.calls[-1] == "abort"


def test_who_is_slow_but_takes_something_is_kept(scene: Scene) -> None:
    client = scene.client().join()
    for held in (70_000, 60_000, 50_000):
        client.transport.held = held
        if held == 70_000:
            client.viewer.pause_writing()
        scene.loop.advance(9)
    assert "abort" not in client.transport.calls


# Limits


@pytest.mark.parametrize(("messages", "kept"), [(49, True), (50, True), (51, False)])
def test_a_viewer_may_send_a_burst_of_fifty(scene: Scene, messages: int, kept: bool) -> None:
    client = scene.client().join()
    for _ in range(messages - 1):  # joining was the first
        client.say('42["hug"]')
    assert (client.closed_with() is None) is kept


def test_the_rate_comes_back(scene: Scene) -> None:
    client = scene.client().join()
    for _ in range(49):
        client.say('42["hug"]')
    for _ in range(20):
        scene.loop.advance(0.61)
        client.say('42["hug"]')
    assert client.closed_with() is None


@pytest.mark.parametrize("opcode", [websocket.PING, websocket.PONG])
def test_control_frames_count_too(scene: Scene, opcode: int) -> None:
    client = scene.client().join()
    for _ in range(50):
        client.frame(b"", opcode)
    assert client.closed_with() == websocket.AGAINST_POLICY


@pytest.mark.parametrize(("size", "code"), [(999, None), (1000, None), (1001, websocket.TOO_BIG)])
def test_a_message_has_a_limit(size: int, code: int | None) -> None:
    client = Scene(max_payload=1_000).client().join()
    client.say('42["' + "a" * (size - 6) + '"]')
    assert client.closed_with() == code


def test_who_asks_without_reading_is_cut(scene: Scene) -> None:
    client = scene.client().join()
    client.viewer.pause_writing()
    client.transport.held = scene.hub.hard_bound + 1
    client.say('420["nothing"]')
    assert client.transport.calls[-1] == "abort"


# WebSocket


def test_a_ping_is_answered_unless_the_transport_is_full(scene: Scene) -> None:
    client = scene.client().join()
    client.frame(b"hi", websocket.PING)
    assert client.heard() == [(websocket.PONG, b"hi")]
    client.viewer.pause_writing()
    client.frame(b"hi", websocket.PING)
    assert client.heard() == []


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0b\xb8bye"])
def test_a_close_is_answered_with_its_code(scene: Scene, payload: bytes) -> None:
    client = scene.client().join()
    client.frame(payload, websocket.CLOSE)
    assert client.heard() == [(websocket.CLOSE, payload[:2])]
    assert client.transport.calls[-1] == "close"
    scene.loop.advance(2.5)  # its buffer does not drain
    assert client.transport.calls[-1] == "abort"


def test_our_close_waits_for_theirs(scene: Scene) -> None:
    client = scene.client().join()
    client.viewer.shutdown()
    assert client.closed_with() == websocket.RESTARTING
    client.say('42["late"]')
    assert "close" not in client.transport.calls
    client.frame(b"\x03\xf4", websocket.CLOSE)
    assert client.transport.calls[-1] == "close"
    assert client.heard() == []


def test_our_close_does_not_wait_for_ever(scene: Scene) -> None:
    client = scene.client().join()
    client.viewer.shutdown()
    client.viewer.shutdown()
    scene.loop.advance(2.3)
    assert client.transport.calls[-1] == "abort"


def test_nothing_is_written_after_our_close(scene: Scene) -> None:
    client = scene.client().join()
    client.say('42["watch",{}]')
    (watching,) = scene.broadcaster.watching
    client.viewer.shutdown()
    client.heard()
    watching.deliver(Piece("states", b"{}"))
    scene.hub.emit("/", None, "message", b"[]")
    assert client.heard() == []


def test_the_engine_io_close_packet_closes(scene: Scene) -> None:
    client = scene.client().join()
    client.say("1")
    assert client.closed_with() == websocket.NORMAL


def test_a_complaint_is_one_escaped_line_and_not_many(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "statecast"):
        for _ in range(40):
            scene.client().join().say('42["\x1b[31m\n')
    assert len(caplog.records) == 10
    assert scene.hub.throttled_log.counted == 40
    assert all(
        record.exc_info is None and "\n" not in record.getMessage() for record in caplog.records
    )


def test_an_error_of_our_own_closes_with_an_id(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    client = scene.client().join()
    scene.broadcaster.watch = None  # type: ignore[assignment, method-assign]
    client.say('420["watch",{}]')
    assert client.closed_with() == websocket.SERVER_ERROR
    assert "error" in caplog.text
