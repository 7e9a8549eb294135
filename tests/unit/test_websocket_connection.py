"""A viewer's WebSocket, over a fake transport and a fake loop."""

from __future__ import annotations

import json
import logging
from enum import IntEnum
from typing import Any

import pytest

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from statecast.rate_limit import BURST
from statecast.realtime import polling, websocket_connection
from statecast.realtime.hub import max_buffer
from statecast.realtime.protocol import websocket
from statecast.realtime.turn_writer import TURN_BYTES
from statecast.realtime.websocket_connection import ConnectionState
from tests.fakes.harness import TARGET, FakeClient, Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()


# States


@pytest.mark.parametrize(
    ("states", "table", "final"),
    [
        (websocket_connection.ConnectionState, websocket_connection.TRANSITIONS, {"CLOSED"}),
        (polling.PollingState, polling.TRANSITIONS, {"UPGRADED", "CLOSED"}),
    ],
)
def test_every_state_is_in_the_table_and_can_be_reached(
    states: type[IntEnum], table: dict[IntEnum, set[IntEnum]], final: set[str]
) -> None:
    assert set(table) == set(states)
    first = min(states)
    assert set(states) - {first} <= set().union(*table.values())
    assert {state.name for state, following in table.items() if not following} == final


def test_the_states_of_a_connection(harness: Harness) -> None:
    # given a connection in conversation
    client = harness.client().join()
    assert (client.connection._state, client.connection.reading) == (ConnectionState.OPEN, True)

    # when we close, then their close is still read; when it comes, nothing is
    client.connection.close(websocket.GOING_AWAY, "")
    assert (client.connection._state, client.connection.reading) == (ConnectionState.CLOSING, True)
    client.send_frame(b"\x03\xe9", websocket.CLOSE)
    assert (client.connection._state, client.connection.reading) == (ConnectionState.CLOSING, False)
    client.lose()
    assert client.connection._state == ConnectionState.CLOSED

    # and no step is taken that the table does not have
    with pytest.raises(AssertionError):
        client.connection._change(ConnectionState.OPEN)


# Handshake


def test_an_upgrade_opens_a_session(harness: Harness) -> None:
    # when a request for the live endpoint is handed over
    client = harness.client().open()

    # then it gets 101 and the open packet, and the transport belongs to the viewer from the first
    # moment
    status, packet = client.received()
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
    assert client.transport.high == harness.settings.viewer_buffer
    assert client.connection in harness.connections
    assert harness.hub.viewers == 1


def test_a_declined_request_is_answered_and_closed(harness: Harness) -> None:
    client = harness.client().open("/socket.io/?EIO=5&transport=websocket")
    assert client.received() == [
        400,
        b'{"code":5,"message":"Unsupported protocol version. '
        b'This server speaks Engine.IO 4; the request asks for 5."}',
    ]
    assert client.transport.calls[-1] == "close"
    assert harness.hub.viewers == 0

    # and cut if it does not take the answer
    harness.loop.advance(3)
    assert client.transport.calls[-1] == "abort"


def test_a_foreign_origin_is_forbidden(harness: Harness) -> None:
    client = harness.client().open(TARGET, (b"origin", b"http://example.test.evil.test"))
    status, body = client.received()
    assert (status, json.loads(body)["code"]) == (403, 4)
    assert "“http://example.test.evil.test” may not connect to “example.test”" in body.decode()
    assert "allow_origins" in body.decode()
    assert harness.client().open(TARGET, (b"origin", b"https://example.test")).received()[0] == 101


def test_a_stopping_server_takes_nobody(harness: Harness) -> None:
    harness.hub.draining = True
    assert harness.client().open().received()[0] == 503


def test_everything_is_given_back_when_the_connection_is_lost(harness: Harness) -> None:
    client = harness.client().join()
    client.send('420["watch",{}]')
    client.lose()
    assert harness.hub.viewers == 0
    assert harness.broadcaster.watching == []
    assert client.connection not in harness.connections
    assert len(harness.hub.wheel) == 0
    assert not harness.hub.open("/").sockets


# Namespaces


def test_the_root_namespace_is_joined_with_a_sid(harness: Harness) -> None:
    client = harness.client().open()
    client.received()
    client.send("40")
    (said,) = client.received()
    assert said.startswith('40{"sid":"')


def test_an_unknown_namespace_is_refused_and_a_known_one_joined(harness: Harness) -> None:
    harness.hub.open("/test")
    client = harness.client().open()
    client.received()
    client.send("40/other,{}")
    client.send("40/test,")
    refused, joined = client.received()
    assert refused == '44/other,{"message":"Invalid namespace"}'
    assert joined.startswith('40/test,{"sid":"')


@pytest.mark.parametrize(
    "message", ["40", '42/test,["hug"]', '44{"message":"x"}', "abc", "4abc", "42{}", "2", "7", b"x"]
)
def test_what_breaks_the_protocol_closes(harness: Harness, message: str | bytes) -> None:
    client = harness.client().join()
    client.send(message)
    assert client.closed_with() == websocket.POLICY_VIOLATION
    assert client.transport.calls[-1] == "write_eof"
    assert harness.broadcaster.calls == ["leave"]


def test_an_event_before_a_namespace_is_joined_closes(harness: Harness) -> None:
    client = harness.client().open()
    client.send('42["watch",{}]')
    assert client.closed_with() == websocket.POLICY_VIOLATION


def test_who_leaves_a_namespace_stays_connected_for_another(harness: Harness) -> None:
    harness.hub.open("/test")
    client = harness.client().join().join("/test")
    client.send("41")
    assert client.received() == []
    harness.hub.emit(Event("/", "message", b"[1]"))
    harness.hub.emit(Event("/test", "message", b"[2]"))
    assert client.received() == ['42/test,["message",2]']


# Watching


def test_watch_is_acknowledged_and_slices_are_delivered(harness: Harness) -> None:
    client = harness.client().join()
    client.send('427["watch",{"devices":["pillow"]}]')
    assert client.received() == ['437[{"epoch":"e","offset":0,"scope":"s","reset":false}]']
    (watching,) = harness.broadcaster.watching
    watching.deliver(OutgoingMessage("states", b'{"states":[]}'))
    assert client.received() == ['42["states",{"states":[]}]']


@pytest.mark.parametrize("arguments", ['"watch"', '"watch",5', '"watch",{},{}'])
def test_a_wrong_watch_gets_a_sentence(harness: Harness, arguments: str) -> None:
    client = harness.client().join()
    client.send(f"427[{arguments}]")
    (said,) = client.received()
    assert said.startswith('437[{"error":"“watch” takes')


def counted(client: FakeClient) -> list[bytes]:
    """The writes of a client's transport from now on."""
    writes: list[bytes] = []
    client.transport.write = writes.append  # type: ignore[method-assign]
    return writes


def test_the_frames_of_one_turn_of_the_loop_are_one_write(harness: Harness) -> None:
    # given a handler on a thread that emits text and bytes, and a coroutine that emits
    hub = harness.hub
    hub.on("many", lambda sid: [hub.publish(Event("/", f"e{number}")) for number in range(50)])
    client = harness.client().join()
    writes = counted(client)

    # when its calls and its acknowledgement are made in one turn, and others join them there
    client.send('427["many"]')
    harness.loop.take_call()
    hub.publish(Event("/", "text"))
    hub.publish(Event("/", "bytes", b'[{"_placeholder":true,"num":0}]', attachments=(b"1",)))
    client.send_frame(b"ping", websocket.PING)
    assert writes == []
    harness.loop.settle()
    while not any(b"437" in write for write in writes):
        harness.loop.take_call()
        harness.loop.settle()

    # then each turn wrote once, all in order
    assert b"e49" in writes[0]
    assert writes[0].index(b"e49") < writes[0].index(b'"text"') < writes[0].index(b'"bytes"')
    assert writes[0].index(b'"bytes"') < writes[0].index(b"ping")
    assert len(writes) <= 2
    hub.close_threads()


def test_what_is_too_large_for_a_turn_is_written_at_once(harness: Harness) -> None:
    # given a viewer that does not read
    client = harness.client().join()
    writes = counted(client)
    data = b'["' + b"x" * TURN_BYTES + b'"]'

    # when more is emitted in one turn than its transport takes, then that is known in that turn
    harness.hub.publish(Event("/", "small"))
    harness.hub.publish(Event("/", "large", data))
    assert [b"small" in write and b"large" in write for write in writes] == [True]
    client.connection.pause_writing()
    harness.hub.publish(Event("/", "lost", data))
    harness.loop.settle()
    assert len(writes) == 1
    assert harness.hub.dropped.total == 1


@pytest.mark.parametrize("end", ["close", "fail", "leave"])
def test_what_was_emitted_before_the_end_is_written_before_it(harness: Harness, end: str) -> None:
    client = harness.client().join()
    writes = counted(client)
    harness.hub.publish(Event("/", "bye"))
    if end == "close":
        client.connection.close(websocket.SERVICE_RESTART, "")
    elif end == "fail":
        client.send("no packet")
    else:
        client.send_frame(b"", websocket.CLOSE)
    harness.loop.settle()
    assert b"".join(writes)[2:].startswith(b'42["bye"]')
    assert b"".join(writes)[11:12] == b"\x88"


def test_an_aborted_connection_writes_nothing(harness: Harness) -> None:
    client = harness.client().join()
    writes = counted(client)
    harness.hub.publish(Event("/", "bye"))
    client.connection.abort()
    harness.loop.settle()
    assert writes == []


def test_an_audience_shares_one_frame(harness: Harness) -> None:
    # given two who watch the same
    clients = [harness.client().join() for _ in range(2)]
    for client in clients:
        client.send('42["watch",{}]')
    message = OutgoingMessage("states", b"{}")
    written: list[bytes] = []
    for client in clients:
        client.transport.write = written.append  # type: ignore[method-assign]

    # when a slice is delivered to both
    for watching in harness.broadcaster.watching:
        watching.deliver(message)
    harness.loop.settle()

    # then both got the very same bytes
    assert written[0] is written[1]


def test_a_slow_viewer_is_paused_and_resumed(harness: Harness) -> None:
    client = harness.client().join()
    client.send('42["watch",{}]')
    client.connection.pause_writing()
    client.connection.resume_writing()
    assert harness.broadcaster.calls == ["pause", "resume"]


def test_who_watches_while_paused_is_paused(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.pause_writing()
    client.send('42["watch",{}]')
    assert harness.broadcaster.calls == ["pause", "pause"]


# Heartbeat and other times


def test_pings_are_answered_and_go_on(harness: Harness) -> None:
    client = harness.client().join()
    for _ in range(3):
        harness.loop.advance(25.3)
        assert client.received() == ["2"]
        client.send("3")
    assert client.closed_with() is None


def test_who_does_not_answer_a_ping_is_cut(harness: Harness) -> None:
    client = harness.client().join()
    harness.loop.advance(25.3)
    harness.loop.advance(19.5)
    assert client.received() == ["2"]
    harness.loop.advance(1)
    assert client.closed_with() == websocket.POLICY_VIOLATION
    harness.loop.advance(2.3)
    assert client.transport.calls[-1] == "abort"


def test_who_joins_nothing_is_cut(harness: Harness) -> None:
    client = harness.client().open()
    harness.loop.advance(9.9)
    assert client.closed_with() is None
    harness.loop.advance(0.4)
    assert client.closed_with() == websocket.POLICY_VIOLATION


def test_who_leaves_everything_must_join_again(harness: Harness) -> None:
    client = harness.client().join()
    client.send("41")
    harness.loop.advance(10.4)
    assert client.closed_with() == websocket.POLICY_VIOLATION


def test_intervals_below_a_second_work() -> None:
    harness = Harness(ping_interval=0.3, ping_timeout=0.2)
    client = harness.client().join()
    for _ in range(5):
        harness.loop.advance(0.32)
        assert client.received() == ["2"]
        client.send("3")


def test_who_accepts_nothing_is_cut(harness: Harness) -> None:
    client = harness.client().join()
    client.transport.held = 70_000
    client.connection.pause_writing()
    harness.loop.advance(9.9)
    assert "abort" not in client.transport.calls
    harness.loop.advance(0.4)
    assert client.transport.calls[-1] == "abort"


def test_who_is_slow_but_takes_something_is_kept(harness: Harness) -> None:
    client = harness.client().join()
    for held in (70_000, 60_000, 50_000):
        client.transport.held = held
        if held == 70_000:
            client.connection.pause_writing()
        harness.loop.advance(9)
    assert "abort" not in client.transport.calls


# Limits


def numbered(first: int, last: int) -> bytes:
    """Frames of events that ask for an acknowledgement."""
    messages = [b'42%d["hug"]' % number for number in range(first, last)]
    return b"".join(bytes([0x81, 0x80 | len(one)]) + bytes(4) + one for one in messages)


def acknowledged(client: FakeClient) -> list[int]:
    return [int(one[2 : one.index("[")]) for one in client.received()]


@pytest.mark.parametrize(("messages", "held"), [(199, False), (200, False), (201, True)])
def test_a_viewer_may_send_a_burst_and_is_held_up_beyond_it(
    harness: Harness, messages: int, held: bool
) -> None:
    client = harness.client().join()
    client.transport.calls.clear()
    # when it sends so many; joining was the first
    client.connection.data_received(numbered(1, messages))
    # then it is read no more, or further
    assert client.transport.calls == (["pause_reading"] if held else [])
    assert acknowledged(client) == list(range(1, min(messages, BURST)))
    harness.loop.advance(1)
    assert acknowledged(client) == ([BURST] if held else [])
    assert client.transport.calls == (["pause_reading", "resume_reading"] if held else [])


def test_what_comes_too_fast_is_taken_at_the_rate_and_in_order(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.data_received(numbered(1, 1_000))
    assert acknowledged(client) == list(range(1, BURST))
    # when time passes, then 50 a second are taken, and what comes meanwhile waits behind them
    client.connection.data_received(numbered(1_000, 1_010))
    taken = BURST - 1
    for second in range(1, 16):
        harness.loop.advance(1)
        numbers = acknowledged(client)
        assert numbers == list(range(taken + 1, taken + 1 + len(numbers)))
        taken += len(numbers)
        assert abs(taken - (BURST - 1) - 50 * second) <= 50 * harness.hub.wheel.tick + 1
    harness.loop.advance(5)
    assert acknowledged(client)[-1] == 1_009
    assert client.closed_with() is None
    assert client.transport.calls[-1] == "resume_reading"


def test_a_viewer_that_is_held_up_may_answer_its_ping_late() -> None:
    # given a client whose pong waits behind its own messages, at one message a second
    harness = Harness(viewer_rate_limit=60, ping_interval=5, ping_timeout=5)
    client = harness.client().join()
    client.connection.data_received(numbered(1, BURST + 25))
    harness.loop.advance(5)
    assert "2" in client.received()
    client.send("3")
    # when its time to answer is up, then it is there still, and its pong counts
    harness.loop.advance(21)
    assert client.closed_with() is None
    # but once nothing of it waits, it must answer
    harness.loop.advance(12)
    assert client.closed_with() == websocket.POLICY_VIOLATION


def test_all_that_are_held_up_hold_a_bound_of_memory(harness: Harness) -> None:
    # given room for what one client sends too fast, and its half
    held_up = harness.websockets.held_up
    held_up.max_bytes = len(numbered(BURST, 1_000)) * 3 // 2
    clients = [harness.client().join() for _ in range(2)]
    for client in clients:
        client.connection.data_received(numbered(1, 1_000))
    # then the second one is closed, with a reason, and the first is read at its rate
    assert clients[1].closed_with() == websocket.POLICY_VIOLATION
    assert 0 < held_up.total <= held_up.max_bytes
    harness.loop.advance(20)
    assert acknowledged(clients[0])[-1] == 999
    assert held_up.total == 0


def test_the_end_of_one_that_is_held_up(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.data_received(numbered(1, 1_000))
    client.connection.connection_lost(None)
    harness.loop.advance(60)
    assert harness.hub.viewers == 0
    assert len(harness.hub.wheel) == 0
    assert harness.websockets.held_up.total == 0
    assert "resume_reading" not in client.transport.calls


def test_the_rate_comes_back(harness: Harness) -> None:
    client = harness.client().join()
    for _ in range(BURST - 1):
        client.send('42["hug"]')
    for _ in range(20):
        harness.loop.advance(0.021)
        client.send('42["hug"]')
    assert "pause_reading" not in client.transport.calls


@pytest.mark.parametrize("opcode", [websocket.PING, websocket.PONG])
def test_control_frames_count_too(harness: Harness, opcode: int) -> None:
    client = harness.client().join()
    for _ in range(BURST - 1):
        client.send_frame(b"", opcode)
    assert "pause_reading" not in client.transport.calls
    client.send_frame(b"", opcode)
    client.send_frame(b"", opcode)
    assert client.transport.calls[-1] == "pause_reading"
    assert client.closed_with() is None


@pytest.mark.parametrize(
    ("size", "code"), [(999, None), (1000, None), (1001, websocket.MESSAGE_TOO_BIG)]
)
def test_a_message_has_a_limit(size: int, code: int | None) -> None:
    client = Harness(max_payload=1_000).client().join()
    client.send('42["' + "a" * (size - 6) + '"]')
    assert client.closed_with() == code


def test_who_asks_without_reading_is_cut(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.pause_writing()
    client.transport.held = max_buffer(harness.settings) + 1
    client.send('420["nothing"]')
    assert client.transport.calls[-1] == "abort"


# WebSocket


def test_a_ping_is_answered_unless_the_transport_is_full(harness: Harness) -> None:
    client = harness.client().join()
    client.send_frame(b"hi", websocket.PING)
    assert client.received() == [(websocket.PONG, b"hi")]
    client.connection.pause_writing()
    client.send_frame(b"hi", websocket.PING)
    assert client.received() == []


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0b\xb8bye"])
def test_a_close_is_answered_with_its_code(harness: Harness, payload: bytes) -> None:
    client = harness.client().join()
    client.send_frame(payload, websocket.CLOSE)
    assert client.received() == [(websocket.CLOSE, payload[:2])]
    assert client.transport.calls[-1] == "close"
    harness.loop.advance(2.5)  # its buffer does not drain
    assert client.transport.calls[-1] == "abort"


def test_our_close_waits_for_theirs(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.shutdown()
    assert client.closed_with() == websocket.SERVICE_RESTART
    client.send('42["late"]')
    assert "close" not in client.transport.calls
    client.send_frame(b"\x03\xf4", websocket.CLOSE)
    assert client.transport.calls[-1] == "close"
    assert client.received() == []


def test_our_close_does_not_wait_for_ever(harness: Harness) -> None:
    client = harness.client().join()
    client.connection.shutdown()
    client.connection.shutdown()
    harness.loop.advance(2.3)
    assert client.transport.calls[-1] == "abort"


def test_nothing_is_written_after_our_close(harness: Harness) -> None:
    client = harness.client().join()
    client.send('42["watch",{}]')
    (watching,) = harness.broadcaster.watching
    client.connection.shutdown()
    client.received()
    watching.deliver(OutgoingMessage("states", b"{}"))
    harness.hub.emit(Event("/", "message", b"[]"))
    assert client.received() == []


def test_the_engine_io_close_packet_closes(harness: Harness) -> None:
    client = harness.client().join()
    client.send("1")
    assert client.closed_with() == websocket.NORMAL_CLOSURE


def test_a_complaint_is_one_escaped_line_and_not_many(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "statecast"):
        # when an address sends forty times the same, it is said once
        for _ in range(40):
            harness.client().join().send('42["\x1b[31m\n')
        assert len(caplog.records) == 1
        # and when it sends something else each time, ten lines a minute are said of it
        for number in range(40):
            harness.client().join().send(f'42["{"a" * number}\x1b[31m\n')
    assert len(caplog.records) == 10
    assert harness.hub.throttled_log.counted == 80
    assert all(
        record.exc_info is None and "\n" not in record.getMessage() for record in caplog.records
    )


def test_an_error_of_our_own_closes_with_an_id(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    client = harness.client().join()
    harness.broadcaster.watch = None  # type: ignore[assignment, method-assign]
    client.send('420["watch",{}]')
    assert client.closed_with() == websocket.INTERNAL_ERROR
    assert "error" in caplog.text


@pytest.mark.parametrize(
    ("request_", "gone_after"), [({"presence": True}, 10), ({"presence": False}, 45.5), ({}, 45.5)]
)
def test_a_viewer_that_vanished_counts_no_more(request_: dict[str, Any], gone_after: float) -> None:
    # given a viewer that asks who watches, or does not, and then is gone without a word
    harness = Harness()
    client = harness.client().join()
    client.send("420" + json.dumps(["watch", {"devices": ["a"], **request_}]))
    assert len(harness.broadcaster.watching) == 1
    # then it is there for less than its time, and then no more
    harness.loop.advance(gone_after - 1)
    assert len(harness.broadcaster.watching) == 1
    harness.loop.advance(1)
    assert harness.broadcaster.watching == []
