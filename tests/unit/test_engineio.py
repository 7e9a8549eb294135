"""Engine.IO packets, and the answers of its handshake."""

from __future__ import annotations

import base64
import json

import pytest

from statecast.errors import Malformed
from statecast.http.head import RequestHead, by_name
from statecast.realtime.protocol import engineio, handshake
from statecast.realtime.protocol.handshake import HandshakeError

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def head(
    target: str = "/socket.io/?EIO=4&transport=websocket",
    method: str = "GET",
    secure: bool = False,
    **changes: str | None,
) -> RequestHead:
    """A request's head; a header of None is left out, ``_`` stands for ``-``."""
    headers: dict[str, str | None] = {
        "host": "example.test:8000",
        "upgrade": "websocket",
        "connection": "keep-alive, Upgrade",
        "sec_websocket_key": KEY,
        "sec_websocket_version": "13",
        **changes,
    }
    encoded = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
        if value is not None
    ]
    return RequestHead.of_target(method, target.encode("latin-1"), by_name(encoded), secure)


def answer(request: RequestHead, origins: tuple[str, ...] = ()) -> tuple[int, bytes]:
    """Status and body, or status and all of the head for a 101."""
    try:
        return 101, handshake.accept(request, origins=origins)
    except HandshakeError as declined:
        first, _, body = declined.response().partition(b"\r\n\r\n")
        return int(first.split()[1]), body


def test_an_upgrade_is_answered_with_the_proof_and_nothing_else_agreed() -> None:
    status, said = answer(
        head(sec_websocket_extensions="permessage-deflate; client_max_window_bits")
    )
    assert status == 101
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in said
    assert b"xtensions" not in said


NO_TRANSPORT = "Transport unknown. The request asks for none; there are polling and websocket."


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/socket.io/", 0, NO_TRANSPORT),
        ("/socket.io/?EIO=4", 0, NO_TRANSPORT),
        ("/socket.io/?EIO=4&transport=abc", 0, NO_TRANSPORT.replace("none", "“abc”")),
        ("/socket.io/?EIO=4&transport=", 0, NO_TRANSPORT),
        ("/socket.io/?EIO=4&transport=websocket&sid=unknown", 1, "Session ID unknown"),
        ("/socket.io/?EIO=4&transport=polling", 3, "Bad request"),
        (
            "/socket.io/?transport=websocket",
            5,
            "Unsupported protocol version. This server speaks Engine.IO 4; "
            "the request asks for no version (EIO=).",
        ),
        (
            "/socket.io/?EIO=3&transport=websocket",
            5,
            "Unsupported protocol version. This client speaks Engine.IO 3 "
            "(socket.io-client 1 or 2); use socket.io-client 3 or later.",
        ),
        (
            "/socket.io/?EIO=abc&transport=websocket",
            5,
            "Unsupported protocol version. This server speaks Engine.IO 4; "
            "the request asks for abc.",
        ),
        (
            "/socket.io/?EIO=4%0A5&transport=websocket",
            5,
            "Unsupported protocol version. This server speaks Engine.IO 4; "
            "the request asks for another version.",
        ),
        ("/socket.io/?" + "&".join(f"a{n}=1" for n in range(40)), 0, NO_TRANSPORT),
    ],
)
def test_a_wrong_query_gets_the_error_of_the_specification(
    target: str, code: int, message: str
) -> None:
    status, body = answer(head(target))
    assert status == 400
    assert json.loads(body) == {"code": code, "message": message}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_version": None}, 426),
        ({"sec_websocket_version": "13, 8"}, 426),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "AAAA"}, 400),
        ({"sec_websocket_key": KEY + "\xff"}, 400),
        ({"upgrade": "h2c"}, 400),
        ({"upgrade": None}, 400),
        ({"connection": "close"}, 400),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.test"}, 403),
    ],
)
def test_a_wrong_head_gets_its_status(changes: dict[str, str | None], status: int) -> None:
    assert answer(head(**changes))[0] == status


def test_other_paths_and_methods_are_no_websockets() -> None:
    assert answer(head("/chat"))[0] == 404
    assert answer(head("/socket.io/extra?EIO=4&transport=websocket"))[0] == 404
    assert json.loads(answer(head(method="POST"))[1]) == {
        "code": 2,
        "message": "Bad handshake method",
    }


def test_two_keys_or_two_origins_are_a_bad_request() -> None:
    for name, value in ((b"sec-websocket-key", KEY), (b"origin", "http://example.test:8000")):
        one = head(origin="http://example.test:8000")
        twice = {**one.headers, name: [value.encode()] * 2}
        assert answer(one._replace(headers=twice))[0] == 400


def test_the_version_that_we_speak_is_in_the_answer() -> None:
    with pytest.raises(HandshakeError) as caught:
        handshake.accept(head(sec_websocket_version="7"), origins=())
    assert b"\r\nsec-websocket-version: 13\r\n" in caught.value.response()


def test_the_open_packet_tells_times_in_milliseconds() -> None:
    packet = engineio.open_packet("abc", ping_interval=0.3, ping_timeout=0.2, max_payload=1_000)
    assert packet[:1] == b"0"
    assert json.loads(packet[1:]) == {
        "sid": "abc",
        "upgrades": [],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1000,
    }


def test_sids_differ_and_need_no_escaping() -> None:
    sids = {engineio.new_sid() for _ in range(1_000)}
    assert len(sids) == 1_000
    assert all(len(sid) == 24 and sid.replace("-", "").replace("_", "").isalnum() for sid in sids)


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        ("1", ("1", "")),
        ("2probe", ("2", "probe")),
        ("3", ("3", "")),
        ("4", ("4", "")),
        ("4hello", ("4", "hello")),
        ("5", ("5", "")),
        ("6", ("6", "")),
        (b"\x00\x01", ("4", b"\x00\x01")),
        (b"", ("4", b"")),
    ],
)
def test_packets_are_read(message: str | bytes, packet: tuple[str, str | bytes]) -> None:
    assert engineio.parse(message) == packet


@pytest.mark.parametrize(
    "message",
    ["", "0", '0{"sid":"x"}', "7", "9", "a", "abc", " 4", "\0", "٤x", "1x", "3x", "5x", "6x"],
)
def test_what_is_no_packet_is_refused(message: str) -> None:
    with pytest.raises(Malformed):
        engineio.parse(message)


def test_packets_of_a_payload() -> None:
    data = base64.b64encode(b"\x01\x02").decode()
    payload = f"4a{engineio.SEPARATOR}b{data}{engineio.SEPARATOR}3".encode()
    assert list(engineio.parse_payload(payload)) == [
        ("4", "a"),
        ("4", b"\x01\x02"),
        ("3", ""),
    ]
    # and a separator too many is an empty packet
    for wrong in (b"", b"4a\x1e", b"\x1e4a", b"4a\x1e\x1e4b", b"\xff"):
        with pytest.raises(Malformed):
            list(engineio.parse_payload(wrong))
    assert engineio.binary_data(engineio.binary_packet(b"\x00\xff")) == b"\x00\xff"
