"""RFC 6455, the server's side.

A table of frames by hand, and the `websockets` library as oracle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from statecast.realtime.protocol import websocket
from statecast.realtime.protocol.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RemoteProtocolError,
    WebSocketEvent,
    WebSocketParser,
)

LIMIT = 200
KEY = b"\x01\x80\xff\x00"


def client_frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    final: bool = True,
    reserved: int = 0,
    key: bytes | None = KEY,
    size: int = -1,
) -> bytes:
    """A frame as a client sends it; ``size`` 0, 2 or 8 forces how many bytes the length takes."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    mask = 0x80 if key is not None else 0
    length = len(payload)
    if size == -1:
        size = 0 if length < 126 else 2 if length < 65_536 else 8
    head = {
        0: lambda: struct.pack("!BB", first, mask | length),
        2: lambda: struct.pack("!BBH", first, mask | 126, length),
        8: lambda: struct.pack("!BBQ", first, mask | 127, length),
    }[size]()
    return head + (payload if key is None else key + websocket.unmask(payload, key))


def closing(code: int, reason: bytes = b"") -> bytes:
    return client_frame(struct.pack("!H", code) + reason, CLOSE)


def read(
    data: bytes, limit: int = LIMIT, cuts: Iterable[int] = ()
) -> tuple[list[WebSocketEvent], int | None]:
    """All events in ``data``, and the code of the violation that ended it."""
    parser, events = WebSocketParser(limit), []
    ends = [*sorted(cut for cut in cuts if cut < len(data)), len(data)]
    begin = 0
    try:
        for end in ends:
            parser.feed(data[begin:end])
            begin = end
            while (event := parser.next_event()) is not None:
                events.append(event)
    except RemoteProtocolError as violation:
        return events, violation.code
    return events, None


def part(payload: bytes, opcode: int = CONTINUATION) -> bytes:
    return client_frame(payload, opcode, final=False)


def last(payload: bytes) -> bytes:
    return client_frame(payload, CONTINUATION)


GOOD = {
    "empty text": (client_frame(b""), [(TEXT, "")]),
    "empty binary": (client_frame(b"", BINARY), [(BINARY, b"")]),
    "short text": (client_frame(b"2probe"), [(TEXT, "2probe")]),
    "text beyond ASCII": (client_frame("κόσμε ☁ 😀".encode()), [(TEXT, "κόσμε ☁ 😀")]),
    "text with NUL": (client_frame(b"a\0b"), [(TEXT, "a\0b")]),
    "key of zeros": (client_frame(b"abc", key=b"\0\0\0\0"), [(TEXT, "abc")]),
    "125 bytes": (client_frame(b"a" * 125), [(TEXT, "a" * 125)]),
    "126 bytes": (client_frame(b"a" * 126), [(TEXT, "a" * 126)]),
    "limit - 1": (client_frame(b"a" * (LIMIT - 1)), [(TEXT, "a" * (LIMIT - 1))]),
    "limit": (client_frame(b"a" * LIMIT), [(TEXT, "a" * LIMIT)]),
    "two messages": (
        client_frame(b"a") + client_frame(b"b", BINARY),
        [(TEXT, "a"), (BINARY, b"b")],
    ),
    "two fragments": (part(b"ab", TEXT) + last(b"cd"), [(TEXT, "abcd")]),
    "binary fragments": (
        part(b"\xff", BINARY) + part(b"\xfe") + last(b"\xfd"),
        [(BINARY, b"\xff\xfe\xfd")],
    ),
    "empty fragments": (part(b"", TEXT) + part(b"") + last(b""), [(TEXT, "")]),
    "fragments up to the limit": (part(b"a" * 150, TEXT) + last(b"a" * 50), [(TEXT, "a" * LIMIT)]),
    "a sign across fragments": (part(b"\xf0\x9f", TEXT) + last(b"\x98\x80"), [(TEXT, "😀")]),
    "twelve empty fragments": (part(b"", TEXT) + part(b"") * 11 + last(b"x"), [(TEXT, "x")]),
    "as many fragments as bytes": (
        part(b"a", TEXT) + part(b"a") * 198 + last(b"a"),
        [(TEXT, "a" * LIMIT)],
    ),
    "ping": (client_frame(b"hi", PING), [(PING, b"hi")]),
    "ping of 125 bytes": (client_frame(b"p" * 125, PING), [(PING, b"p" * 125)]),
    "pong nobody asked for": (client_frame(b"", PONG), [(PONG, b"")]),
    "ping between fragments": (
        part(b"a", TEXT) + client_frame(b"p", PING) + last(b"b"),
        [(PING, b"p"), (TEXT, "ab")],
    ),
    "ping between the bytes of a sign": (
        part(b"\xc3", TEXT) + client_frame(b"", PING) + last(b"\xa9"),
        [(PING, b""), (TEXT, "é")],
    ),
    "close without code": (client_frame(b"", CLOSE), [(CLOSE, b"")]),
    "close 1000": (closing(1000), [(CLOSE, b"\x03\xe8")]),
    "close 1001 with reason": (closing(1001, b"bye"), [(CLOSE, b"\x03\xe9bye")]),
    "close 1014": (closing(1014), [(CLOSE, b"\x03\xf6")]),
    "close 3000": (closing(3000), [(CLOSE, b"\x0b\xb8")]),
    "close 4999": (closing(4999), [(CLOSE, b"\x13\x87")]),
    "close with the longest reason": (
        closing(1000, b"r" * 123),
        [(CLOSE, b"\x03\xe8" + b"r" * 123)],
    ),
    "close between fragments": (part(b"a", TEXT) + closing(1000), [(CLOSE, b"\x03\xe8")]),
}

BAD = {
    "not masked": (client_frame(b"a", key=None), 1002),
    "empty and not masked": (client_frame(b"", key=None), 1002),
    "ping not masked": (client_frame(b"", PING, key=None), 1002),
    "reserved bit 1": (client_frame(b"a", reserved=4), 1002),
    "reserved bit 2": (client_frame(b"a", reserved=2), 1002),
    "reserved bit 3": (client_frame(b"a", reserved=1), 1002),
    "reserved bit on a ping": (client_frame(b"a", PING, reserved=4), 1002),
    "reserved bit on a continuation": (
        part(b"a", TEXT) + client_frame(b"", CONTINUATION, reserved=4),
        1002,
    ),
    **{
        f"frame type {opcode}": (client_frame(b"", opcode), 1002)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "fragmented ping": (client_frame(b"", PING, final=False), 1002),
    "fragmented close": (client_frame(b"", CLOSE, final=False), 1002),
    "ping of 126 bytes": (client_frame(b"p" * 126, PING), 1002),
    "close of 126 bytes": (closing(1000, b"r" * 124), 1002),
    "continuation of nothing": (last(b"a"), 1002),
    "continuation after the end": (part(b"a", TEXT) + last(b"b") + last(b"c"), 1002),
    "text within a text": (part(b"a", TEXT) + client_frame(b"b"), 1002),
    "binary within a text": (part(b"a", TEXT) + client_frame(b"b", BINARY), 1002),
    "16-bit length for 125": (client_frame(b"a" * 125, size=2), 1002),
    "64-bit length for 126": (client_frame(b"a" * 126, size=8), 1002),
    "64-bit length with the highest bit": (b"\x81\xff" + b"\x80" + bytes(7) + KEY, 1002),
    "limit + 1": (client_frame(b"a" * (LIMIT + 1)), 1009),
    "limit + 1, binary": (client_frame(b"a" * (LIMIT + 1), BINARY), 1009),
    "limit + 1 in fragments": (part(b"a" * 150, TEXT) + last(b"a" * 51), 1009),
    "2 GB announced, nothing sent": (b"\x82\xff" + struct.pack("!Q", 2**31), 1009),
    "too big, by its head alone": (b"\x81\xfe\x00\xc9", 1009),
    "thirteen empty fragments": (part(b"", TEXT) + part(b"") * 12, 1008),
    "not UTF-8": (client_frame(b"\xff"), 1007),
    "overlong UTF-8": (client_frame(b"\xc0\xaf"), 1007),
    "a surrogate in UTF-8": (client_frame(b"\xed\xa0\x80"), 1007),
    "beyond Unicode": (client_frame(b"\xf4\x90\x80\x80"), 1007),
    "half a sign": (client_frame(b"\xc3"), 1007),
    "half a sign at the end of fragments": (part(b"a", TEXT) + last(b"\xc3"), 1007),
    "wrong in the first fragment": (part(b"\xff", TEXT), 1007),
    "close with half a code": (client_frame(b"\x03", CLOSE), 1002),
    **{
        f"close {code}": (closing(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    },
    "close with a reason that is not UTF-8": (closing(1000, b"\xff"), 1007),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_frames_are_read_however_they_are_cut(name: str) -> None:
    data, expected = GOOD[name]

    # when they come at once, or byte by byte
    at_once = read(data)
    byte_by_byte = read(data, cuts=range(1, len(data)))

    # then the same is read
    assert at_once == (expected, None)
    assert byte_by_byte == (expected, None)


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_end_with_their_code_however_they_are_cut(name: str) -> None:
    data, code = BAD[name]
    assert read(data)[1] == code
    assert read(data, cuts=range(1, len(data)))[1] == code


def test_what_came_before_a_violation_is_handed_out() -> None:
    assert read(client_frame(b"a") + client_frame(b"\xff")) == ([(TEXT, "a")], 1007)


@pytest.mark.parametrize(("fragments", "code"), [(319, None), (320, None), (321, 1008)])
def test_a_message_in_crumbs_is_refused(fragments: int, code: int | None) -> None:
    crumbs = part(b"a", TEXT) + part(b"a") * (fragments - 1) + last(b"a")
    events, violation = read(crumbs, limit=65_536)
    assert violation == code
    assert len(events) == (1 if code is None else 0)


def test_nothing_is_kept_beyond_the_limit() -> None:
    # given a peer that announces a gigabyte
    parser = WebSocketParser(LIMIT)
    parser.feed(b"\x82\xff" + struct.pack("!Q", 2**30))

    # then its head is enough to refuse it
    with pytest.raises(RemoteProtocolError):
        parser.next_event()


def test_an_idle_parser_holds_no_buffer() -> None:
    parser = WebSocketParser(LIMIT)
    parser.feed(client_frame(b"hello"))
    assert parser.next_event() == (TEXT, "hello")
    assert parser.next_event() is None
    assert parser._buffer is None


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frames_of_the_server_have_the_shortest_length(size: int, head: bytes) -> None:
    assert websocket.frame(b"x" * size) == head + b"x" * size


def test_a_reason_is_cut_to_what_fits_without_breaking_a_sign() -> None:
    frame = websocket.close_frame(1008, "é" * 100)
    assert len(frame) <= 2 + 125
    assert frame[4:].decode() == "é" * 61


def test_an_empty_close_is_answered_by_an_empty_one() -> None:
    assert websocket.close_code(b"") == websocket.NO_STATUS_RECEIVED
    assert websocket.close_frame(websocket.NO_STATUS_RECEIVED) == b"\x88\x00"


def test_the_example_of_the_specification_is_accepted() -> None:
    assert websocket.accept_value(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# The oracle


def oracle() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://example.test/"), state=OPEN, max_size=None)


messages = st.lists(
    st.one_of(
        st.tuples(st.just(TEXT), st.lists(st.text(max_size=80), min_size=1, max_size=4)),
        st.tuples(st.just(BINARY), st.lists(st.binary(max_size=400), min_size=1, max_size=4)),
        st.tuples(st.just(PING), st.lists(st.binary(max_size=125), min_size=1, max_size=1)),
    ),
    max_size=6,
)
cuts = st.lists(st.integers(1, 3_000), max_size=20)


@settings(deadline=None)
@given(messages, cuts)
def test_what_the_oracle_sends_is_what_we_read(
    sent: list[tuple[int, list[str | bytes]]], cuts: list[int]
) -> None:
    # given messages, some in fragments, sent by an independent client
    client = oracle()
    expected: list[tuple[int, str | bytes]] = []
    for opcode, pieces in sent:
        parts = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        whole = b"".join(parts)
        expected.append((opcode, whole.decode() if opcode == TEXT else whole))
        if opcode == PING:
            client.send_ping(parts[0])
            continue
        for number, piece in enumerate(parts):
            final = number == len(parts) - 1
            if number:
                client.send_continuation(piece, final)
            elif opcode == TEXT:
                client.send_text(piece, final)
            else:
                client.send_binary(piece, final)

    # when they arrive in arbitrary chunks
    events, code = read(b"".join(client.data_to_send()), limit=100_000, cuts=cuts)

    # then we read the same messages
    assert code is None
    assert events == expected


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=70_000), st.binary(max_size=400)), max_size=5), cuts)
def test_what_we_send_is_what_the_oracle_reads(sent: list[str | bytes], cuts: list[int]) -> None:
    # given frames of ours, and a close at their end
    data = b"".join(
        websocket.frame(message.encode())
        if isinstance(message, str)
        else websocket.frame(message, BINARY)
        for message in sent
    ) + websocket.close_frame(1012, "come back")

    # when an independent client gets them in arbitrary chunks
    client = oracle()
    begin = 0
    for end in [*sorted(cut for cut in set(cuts) if cut < len(data)), len(data)]:
        client.receive_data(data[begin:end])
        begin = end

    # then it reads the same messages and the code
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    kinds = {str: Opcode.TEXT, bytes: Opcode.BINARY}
    assert [(frame.opcode, bytes(frame.data)) for frame in frames[:-1]] == [
        (kinds[type(message)], message.encode() if isinstance(message, str) else message)
        for message in sent
    ]
    assert client.close_rcvd is not None
    assert (client.close_rcvd.code, client.close_rcvd.reason) == (1012, "come back")


@settings(deadline=None)
@given(st.binary(max_size=300), cuts)
def test_no_bytes_break_the_parser_and_chunks_make_no_difference(
    data: bytes, cuts: list[int]
) -> None:
    assert read(data) == read(data, cuts=set(cuts))
