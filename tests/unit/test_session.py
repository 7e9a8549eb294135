"""A session without I/O: packets and times in, events and packets out."""

from __future__ import annotations

from typing import Any

import pytest

from statecast.errors import Malformed
from statecast.rate_limit import BURST
from statecast.realtime.protocol import engineio, websocket
from statecast.realtime.rooms import Namespace, Socket
from statecast.realtime.session import (
    HEARTBEAT,
    Acknowledged,
    EventReceived,
    Heartbeat,
    NamespaceLeft,
    NamespaceRequested,
    Session,
    SessionClosed,
    SessionLimits,
)
from statecast.settings import Settings

NOW = 1_000.0
LATENESS = 0.5


def limits(**settings: Any) -> SessionLimits:
    return SessionLimits.of(Settings(**settings), LATENESS)


def session(**settings: Any) -> Session:
    return Session(limits(**settings), NOW)


def join(one: Session, name: str = "/") -> Socket:
    socket = Socket(None, Namespace(name), "sid")  # type: ignore[arg-type]
    one.add(socket)
    return socket


def joined(**settings: Any) -> tuple[Session, Socket]:
    one = session(**settings)
    return one, join(one)


# Packets


def test_a_client_asks_for_a_namespace_before_it_is_in_one() -> None:
    one = session()
    assert one.receive("40", NOW) == NamespaceRequested("/", None)
    assert one.receive('40/test,{"token":1}', NOW) == NamespaceRequested("/test", {"token": 1})
    assert list(one.sockets()) == []


def test_an_event_names_the_socket_and_its_size() -> None:
    one, root = joined()
    other = join(one, "/test")
    assert one.receive('42["hug",1]', NOW) == EventReceived(root, None, "hug", [1], 10)
    assert one.receive('42/test,7["hug"]', NOW) == EventReceived(other, 7, "hug", [], 15)
    assert one.receive("41/test,", NOW) == NamespaceLeft(other)


def test_attachments_complete_an_event() -> None:
    one, root = joined()
    assert one.receive('451-["hug",{"_placeholder":true,"num":0}]', NOW) is None
    event = one.receive(b"\x00\x01", NOW)
    assert isinstance(event, EventReceived)
    assert (event.socket, event.arguments) == (root, [b"\x00\x01"])


def test_an_acknowledgement_names_what_it_acknowledges() -> None:
    one, socket = joined()
    assert one.receive('431["a",2]', NOW) == Acknowledged(socket, 1, ["a", 2])


def test_a_noop_is_no_event() -> None:
    one, _ = joined()
    assert one.receive("6", NOW) is None


def test_the_close_packet_ends_the_session() -> None:
    assert session().receive("1", NOW) == SessionClosed(websocket.NORMAL_CLOSURE, "")


@pytest.mark.parametrize(
    "messages",
    [
        ["42[]"],
        ['42["hug"]'],  # before a namespace is joined
        ['451-["hug",{"_placeholder":true,"num":0}]'],
        ["41"],
        [b"x"],  # an attachment without its packet
        ["2"],
        ["5"],
    ],
)
def test_what_breaks_the_protocol_is_refused(messages: list[str | bytes]) -> None:
    one = session()
    with pytest.raises(Malformed):
        for message in messages:
            one.receive(message, NOW)


def test_nothing_is_received_for_a_socket_that_is_not_ready() -> None:
    one, root = joined()
    root.early = []
    with pytest.raises(Malformed):
        one.receive('42["hug"]', NOW)


def test_an_event_has_a_limit_with_its_attachments() -> None:
    one, _ = joined(max_payload=100)
    packet = '451-["hug",{"_placeholder":true,"num":0}]'
    one.receive(packet, NOW)
    with pytest.raises(websocket.RemoteProtocolError) as caught:
        one.receive(b"x" * (102 - len(packet)), NOW)
    assert caught.value.code == websocket.MESSAGE_TOO_BIG


@pytest.mark.parametrize("message", ['42["hug"]', "6", "3"])
def test_messages_are_counted(message: str) -> None:
    one, _ = joined()
    for _ in range(BURST):
        one.receive(message, NOW)
    # then the next has to wait for its part of a minute, and is refused in no case
    assert one.delay(NOW) == pytest.approx(0.02)
    assert one.delay(NOW + 0.02) == 0
    one.receive(message, NOW)
    assert one.delay(NOW + 0.02) == pytest.approx(0.02)


@pytest.mark.parametrize(("requests", "kept"), [(49, True), (50, True), (51, False)])
def test_watch_requests_have_a_bucket_of_their_own(requests: int, kept: bool) -> None:
    one, _ = joined()
    for _ in range(BURST):
        one.receive('42["hug"]', NOW)
    for _ in range(requests - 1):
        one.charge_watch(1, NOW)
    if kept:
        one.charge_watch(1, NOW)
        return
    with pytest.raises(websocket.RemoteProtocolError, match="watch_rate_limit"):
        one.charge_watch(1, NOW)


# Time


def test_the_table_of_the_heartbeat() -> None:
    assert HEARTBEAT == {
        (Heartbeat.IDLE, "deadline"): Heartbeat.PING_SENT,
        (Heartbeat.PING_SENT, "pong"): Heartbeat.IDLE,
        (Heartbeat.IDLE, "pong"): Heartbeat.IDLE,
    }


def test_a_ping_is_due_then_a_pong_then_a_ping() -> None:
    one, _ = joined(ping_interval=25, ping_timeout=20)
    assert one.deadline == NOW + 25
    assert one.on_timeout(NOW + 24.9) is None
    assert one.on_timeout(NOW + 25) == engineio.PING_PACKET
    assert one.deadline == NOW + 45
    assert one.receive("3", NOW + 26) is None
    assert one.deadline == NOW + 51
    assert one.on_timeout(NOW + 45) is None


def test_a_pong_that_waits_behind_other_messages_has_more_time() -> None:
    # given a client whose messages wait for their rate after the ping
    one, _ = joined(ping_interval=25, ping_timeout=20)
    for _ in range(BURST + 3_000):
        one.charge(NOW + 24)
    assert one.on_timeout(NOW + 25) == engineio.PING_PACKET
    assert one.delay(NOW + 26) > 0
    assert [one.hold_up(), one.hold_up()] == [True, False]
    # then its time to answer begins once more, as often as they wait
    assert one.on_timeout(NOW + 45) is None
    assert one.deadline == NOW + 65
    assert one.delay(NOW + 64) > 0
    assert one.hold_up()
    assert one.on_timeout(NOW + 65) is None
    # and is up when they do not
    assert one.delay(NOW + 85) == 0
    assert isinstance(one.on_timeout(NOW + 85), SessionClosed)


@pytest.mark.parametrize(
    ("interval", "timeout", "pings", "ends"),
    [(25, 20, 5, 9.5), (25, 2, 5, 7), (3, 20, 3, 7.5), (1, 1, 1, 2)],
)
def test_a_client_that_is_pinged_often_is_missed_soon(
    interval: float, timeout: float, pings: float, ends: float
) -> None:
    one, _ = joined(ping_interval=interval, ping_timeout=timeout)
    # when it is to be pinged often, then its deadline comes earlier, if the settings are longer
    one.ping_often(True, NOW)
    assert one.deadline == NOW + pings
    assert one.on_timeout(NOW + pings) == engineio.PING_PACKET
    # and without an answer the session ends
    assert one.deadline == NOW + ends
    assert isinstance(one.on_timeout(NOW + ends), SessionClosed)


def test_a_client_is_pinged_often_as_long_as_it_asks_for_it() -> None:
    one, _ = joined(ping_interval=25, ping_timeout=20)
    one.ping_often(True, NOW)
    assert one.on_timeout(NOW + 5) == engineio.PING_PACKET
    one.receive("3", NOW + 5)
    assert one.deadline == NOW + 10
    # when it asks again, then nothing moves
    one.ping_often(True, NOW + 7)
    assert one.deadline == NOW + 10
    # when it does not any more, then from the next ping on
    one.ping_often(False, NOW + 7)
    assert one.on_timeout(NOW + 10) == engineio.PING_PACKET
    assert one.deadline == NOW + 30
    one.receive("3", NOW + 10)
    assert one.deadline == NOW + 35
    # when it asks while a ping is under way, then the answer must come soon
    one.on_timeout(NOW + 35)
    one.ping_often(True, NOW + 36)
    assert one.deadline == NOW + 40.5


def test_a_ping_without_a_pong_ends_the_session() -> None:
    one, _ = joined(ping_interval=25, ping_timeout=20)
    one.on_timeout(NOW + 25)
    assert one.on_timeout(NOW + 44.9) is None
    closed = one.on_timeout(NOW + 45)
    assert closed == SessionClosed(websocket.POLICY_VIOLATION, "a ping was not answered in time")


@pytest.mark.parametrize(("late", "deadline"), [(0, 45), (0.5, 45), (3, 47.5)])
def test_a_loop_that_was_busy_does_not_shorten_the_time_to_answer(
    late: float, deadline: float
) -> None:
    """A lateness of ``LATENESS`` is that of a punctual timer; more is not the client's fault."""
    one, _ = joined(ping_interval=25, ping_timeout=20)
    one.on_timeout(NOW + 25 + late)
    assert one.deadline == NOW + deadline


def test_a_client_has_a_time_limit_while_it_is_in_no_namespace() -> None:
    # given a session that joins no namespace
    one = session(connect_timeout=10)
    assert one.deadline == NOW + 10
    assert one.on_timeout(NOW + 9.9) is None
    expected = SessionClosed(websocket.POLICY_VIOLATION, "no namespace was joined in time")
    assert one.on_timeout(NOW + 10) == expected

    # when it joins, then the limit is gone; when it leaves its last namespace, it is back
    sockets = [join(one), join(one, "/test")]
    assert one.deadline == NOW + 25
    one.remove(sockets[0], NOW + 3)
    assert one.deadline == NOW + 25
    one.remove(sockets[1], NOW + 4)
    assert one.deadline == NOW + 14
