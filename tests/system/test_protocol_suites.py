"""What the official test suites of Engine.IO v4 and Socket.IO v5 expect of a server.

They expect one that pings every 300 ms and waits 200 ms for the answer, takes payloads of 1 000 000
bytes, lets every origin connect, cuts who joins nothing within a second, has the namespaces / and
/custom, emits ``auth`` with what a client brought when it connects, says ``message`` back as
``message-back``, and answers ``message-with-ack`` through its acknowledgement.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests
from endpoint import serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from statecast.broadcast.broadcaster import Broadcaster
from statecast.realtime.hub import Hub
from statecast.settings import Settings
from statecast.stores import open_store
from tests.fakes.open_readers import open_readers
from tests.fakes.saying import say

INTERVAL, TIMEOUT = 0.3, 0.2
RESPONSE_TIMEOUT = 10
"""Seconds after which what should come has not come."""
GREETING = {"upgrades": [], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}
PLACES = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@contextmanager
def serving_as_expected(ping_timeout: float) -> Iterator[str]:
    settings = Settings(
        store="memory:",
        ping_interval=INTERVAL,
        ping_timeout=ping_timeout,
        max_payload=1_000_000,
        connect_timeout=1,
        allow_origins=("*",),
    )
    broadcaster = Broadcaster(open_store("memory:"), settings, clock=lambda: 0)
    hub = Hub(broadcaster, settings, readers=open_readers())
    for namespace in ("/", "/custom"):
        hub.on("connect", lambda sid, auth: say(hub, sid, "auth", auth), namespace)
        hub.on(
            "message", lambda sid, *arguments: say(hub, sid, "message-back", *arguments), namespace
        )
        hub.on("message-with-ack", lambda sid, *arguments: arguments, namespace)
    with serving(hub, broadcaster, settings) as address:
        yield address


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving_as_expected(TIMEOUT) as address:
        yield address


@pytest.fixture(scope="module")
def patient() -> Iterator[str]:
    """The same for what has nothing to do with the heartbeat.

    A machine that is busy for 200 ms proves nothing.
    """
    with serving_as_expected(RESPONSE_TIMEOUT) as address:
        yield address


class Polling:
    """One session on long polling."""

    def __init__(self, address: str) -> None:
        self.address = address
        answer = requests.get(
            f"{address}/socket.io/?EIO=4&transport=polling", timeout=RESPONSE_TIMEOUT
        )
        assert answer.status_code == 200
        self.greeting = answer.text
        self.sid = json.loads(answer.text[1:])["sid"]
        self.url = f"{address}/socket.io/?EIO=4&transport=polling&sid={self.sid}"

    def get(self) -> requests.Response:
        return requests.get(self.url, timeout=RESPONSE_TIMEOUT)

    def post(self, body: str) -> requests.Response:
        return requests.post(self.url, data=body.encode(), timeout=RESPONSE_TIMEOUT)


@contextmanager
def socket(
    address: str, query: str = "EIO=4&transport=websocket", *, greeted: bool = True
) -> Iterator[ClientConnection]:
    """A WebSocket, after the packet that opens the session."""
    uri = f"{address.replace('http', 'ws')}/socket.io/?{query}"
    with connect(
        uri, ping_interval=None, open_timeout=RESPONSE_TIMEOUT, close_timeout=RESPONSE_TIMEOUT
    ) as opened:
        if greeted:
            assert str(opened.recv(RESPONSE_TIMEOUT)).startswith("0")
        yield opened


def heard(opened: ClientConnection) -> str | bytes:
    """The next message that is no ping; pings are answered, as a client does."""
    while (message := opened.recv(RESPONSE_TIMEOUT)) == "2":
        opened.send("3")
    return message


def ends(opened: ClientConnection) -> bool:
    """Whether the server closes it; what it says until then is not our concern."""
    try:
        while True:
            opened.recv(RESPONSE_TIMEOUT)
    except ConnectionClosed:
        return True


@contextmanager
def joined(address: str) -> Iterator[ClientConnection]:
    """A WebSocket that joined / and was greeted there."""
    with socket(address) as opened:
        opened.send("40")
        assert str(heard(opened)).startswith("40")
        assert heard(opened) == '42["auth",{}]'
        yield opened


# Engine.IO: the handshake


def test_a_session_opens_on_polling(address: str) -> None:
    said = Polling(address).greeting
    assert said[0] == "0"
    greeting = json.loads(said[1:])
    assert isinstance(greeting.pop("sid"), str)
    assert greeting == GREETING | {"upgrades": ["websocket"]}


def test_a_session_opens_on_websocket(address: str) -> None:
    with socket(address, greeted=False) as opened:
        said = str(opened.recv(RESPONSE_TIMEOUT))
    assert said[0] == "0"
    greeting = json.loads(said[1:])
    assert isinstance(greeting.pop("sid"), str)
    assert greeting == GREETING


@pytest.mark.parametrize(
    "query", ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"]
)
def test_a_wrong_query_fails_on_polling(address: str, query: str) -> None:
    assert (
        requests.get(f"{address}/socket.io/?{query}", timeout=RESPONSE_TIMEOUT).status_code == 400
    )


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_wrong_method_fails_on_polling(address: str, method: str) -> None:
    answer = requests.request(
        method, f"{address}/socket.io/?EIO=4&transport=polling", timeout=RESPONSE_TIMEOUT
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "query", ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]
)
def test_a_wrong_query_fails_on_websocket(address: str, query: str) -> None:
    with pytest.raises(InvalidStatus), socket(address, query):
        pass


# Engine.IO: the heartbeat


def test_polling_is_pinged(patient: str) -> None:
    session = Polling(patient)
    session.post("40")
    session.get()
    for _ in range(3):
        while "2" not in session.get().text.split(
            "\x1e"
        ):  # the greeting of our application comes first
            pass
        pong = session.post("3")
        assert (pong.status_code, pong.text) == (200, "ok")


def test_a_polling_session_that_answers_no_ping_is_over(address: str) -> None:
    session = Polling(address)
    session.post("40")  # so that nothing but the heartbeat ends it
    while (answer := session.get()).status_code == 200:
        pass  # among what it is sent is a ping
    assert answer.status_code == 400


def test_websocket_is_pinged(patient: str) -> None:
    with joined(patient) as opened:
        for _ in range(3):
            assert opened.recv(RESPONSE_TIMEOUT) == "2"
            opened.send("3")


def test_a_websocket_that_answers_no_ping_is_closed(address: str) -> None:
    with socket(address) as opened:
        assert ends(opened)


# Engine.IO: invalid packets, closing


def test_an_invalid_packet_ends_a_polling_session(patient: str) -> None:
    session = Polling(patient)
    assert session.post("abc").status_code == 400
    assert session.get().status_code == 400


def test_an_invalid_packet_closes_a_websocket(patient: str) -> None:
    with socket(patient) as opened:
        opened.send("abc")
        assert ends(opened)


def test_two_polls_at_once_end_the_session(patient: str) -> None:
    session = Polling(patient)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(session.get), pool.submit(session.get)
    # the one that came first waits until the other comes
    ended, refused = sorted((first.result(), second.result()), key=lambda one: one.status_code)
    assert (ended.status_code, ended.text) == (200, "1")
    assert refused.status_code == 400
    assert session.get().status_code == 400


def test_a_client_closes_its_polling_session(patient: str) -> None:
    session = Polling(patient)
    with closing(HTTPConnection(urlsplit(patient).netloc, timeout=RESPONSE_TIMEOUT)) as connection:
        # given a poll, whose bytes the server has before those of the next request
        connection.request("GET", session.url)
        session.post("1")
        waiting = connection.getresponse()
        assert (waiting.status, waiting.read()) == (200, b"6")
    assert session.get().status_code == 400


def test_a_client_closes_its_websocket_session(patient: str) -> None:
    with socket(patient) as opened:
        opened.send("1")
        assert ends(opened)


# Engine.IO: the upgrade


@contextmanager
def upgraded(address: str) -> Iterator[tuple[Polling, ClientConnection]]:
    session = Polling(address)
    with socket(address, f"EIO=4&transport=websocket&sid={session.sid}", greeted=False) as opened:
        opened.send("2probe")
        assert opened.recv(RESPONSE_TIMEOUT) == "3probe"
        opened.send("5")
        yield session, opened


def test_polling_is_upgraded(patient: str) -> None:
    with upgraded(patient) as (_, opened):
        opened.send("40")
        assert str(heard(opened)).startswith("40")


def test_after_the_upgrade_http_is_refused(patient: str) -> None:
    with upgraded(patient) as (session, opened):
        opened.send("40")
        assert str(heard(opened)).startswith("40")
        assert session.get().status_code == 400
        assert heard(opened) == '42["auth",{}]'


def test_after_the_upgrade_a_second_websocket_is_closed_and_the_first_goes_on(patient: str) -> None:
    with upgraded(patient) as (session, opened):
        opened.send("40")
        assert str(heard(opened)).startswith("40")
        # the suites want it accepted and closed: a client that sees 400 would take the session for
        # lost
        with socket(
            patient, f"EIO=4&transport=websocket&sid={session.sid}", greeted=False
        ) as second:
            assert ends(second)
        opened.send('42["message","still here"]')
        assert '42["message-back","still here"]' in (heard(opened), heard(opened)), (
            "the first of the two is auth"
        )


# Socket.IO: connecting


@pytest.mark.parametrize(
    ("packet", "head", "auth"),
    [
        ("40", "40", '42["auth",{}]'),
        ('40{"token":"123"}', "40", '42["auth",{"token":"123"}]'),
        ("40/custom,", "40/custom,", '42/custom,["auth",{}]'),
        ("40/custom", "40/custom,", '42/custom,["auth",{}]'),
        ('40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'),
    ],
)
def test_a_namespace_is_joined(patient: str, packet: str, head: str, auth: str) -> None:
    with socket(patient) as opened:
        opened.send(packet)
        said = str(heard(opened))
        assert said.startswith(head)
        handshake = json.loads(said.removeprefix(head))
        assert list(handshake) == ["sid"]
        assert isinstance(handshake["sid"], str)
        assert heard(opened) == auth


def test_an_unknown_namespace_is_refused(patient: str) -> None:
    with socket(patient) as opened:
        opened.send("40/random")
        assert heard(opened) == '44/random,{"message":"Invalid namespace"}'


def test_a_handshake_that_is_none_closes(patient: str) -> None:
    with socket(patient) as opened:
        opened.send("4abc")
        assert ends(opened)


def test_who_joins_nothing_is_closed(patient: str) -> None:
    begun = time.monotonic()
    with socket(patient) as opened:
        with pytest.raises(ConnectionClosed):
            while True:
                heard(opened)
        assert time.monotonic() - begun >= 0.9


def test_who_leaves_is_closed(patient: str) -> None:
    with joined(patient) as opened:
        opened.send("41")
        assert ends(opened)


def test_who_leaves_one_namespace_is_still_in_the_other(patient: str) -> None:
    with joined(patient) as opened:
        opened.send("40/custom")
        assert str(heard(opened)).startswith("40/custom,")
        assert heard(opened) == '42/custom,["auth",{}]'
        opened.send("41/custom")
        opened.send('42["message","message to main namespace"]')
        assert heard(opened) == '42["message-back","message to main namespace"]'


# Socket.IO: messages


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']),
        (['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']),
        (
            [f'452-["message",{PLACES}]', b"\x01\x02\x03", b"\x04\x05\x06"],
            [f'452-["message-back",{PLACES}]', b"\x01\x02\x03", b"\x04\x05\x06"],
        ),
        (
            [f'452-789["message-with-ack",{PLACES}]', b"\x01\x02\x03", b"\x04\x05\x06"],
            [f"462-789[{PLACES}]", b"\x01\x02\x03", b"\x04\x05\x06"],
        ),
    ],
)
def test_messages_come_back(patient: str, sent: list[str | bytes], said: list[str | bytes]) -> None:
    with joined(patient) as opened:
        for message in sent:
            opened.send(message)
        assert [heard(opened) for _ in said] == said


@pytest.mark.parametrize(
    "packet", ["4abc", "42{}", '42abc["message-with-ack",1,"2",{"3":[false]}]', "4"]
)
def test_an_invalid_packet_closes(patient: str, packet: str) -> None:
    with joined(patient) as opened:
        opened.send(packet)
        assert ends(opened)


@pytest.mark.parametrize(
    "name", ["connect", "connect_error", "disconnect", "disconnecting", "newListener"]
)
def test_a_reserved_name_closes(patient: str, name: str) -> None:
    with joined(patient) as opened:
        opened.send(f'42["{name}"]')
        assert ends(opened)
