"""Compression between server and viewers: what is agreed, what is compressed, what is refused."""

from __future__ import annotations

import json
import threading
import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from websockets import frames
from websockets.extensions import permessage_deflate

from statecast.broadcast.broadcaster import LEAST_CACHED
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriptions import Audience
from statecast.model import Event
from statecast.realtime import encoding
from statecast.realtime.encoding import LEAST_DEFLATED, LEAST_IN_THREAD, MOST_DEFLATED
from statecast.realtime.protocol import deflate, websocket
from statecast.realtime.protocol.websocket import BINARY, CONTINUATION, PING, TEXT
from tests.fakes.broadcast_harness import BroadcastHarness, FakeClient
from tests.fakes.harness import TARGET, Harness
from tests.unit.test_websocket import client_frame

AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LIMIT = 200


def compressed(data: bytes, level: int = 9, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """As a client compresses a message."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def finished(data: bytes) -> bytes:
    """As a client may compress it too: with a last block (RFC 7692, 7.2.3.4)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush() + b"\x00"


# What is agreed


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        # What clients send.
        (["permessage-deflate"], AGREED),
        (["permessage-deflate; client_max_window_bits"], AGREED),  # Chromium, websockets
        (["permessage-deflate; server_max_window_bits=15"], AGREED + "; server_max_window_bits=15"),
        (["permessage-deflate; client_no_context_takeover; server_no_context_takeover"], AGREED),
        (['permessage-deflate;client_max_window_bits="10"'], AGREED),
        (["x-webkit-deflate-frame, permessage-deflate; client_max_window_bits"], AGREED),
        (["x-webkit-deflate-frame", "permessage-deflate"], AGREED),
        # A smaller window than that of all; the second choice of the same client.
        (["permessage-deflate; server_max_window_bits=10"], None),
        (["permessage-deflate; server_max_window_bits=10, permessage-deflate"], AGREED),
        # Not of the extension, or not in its form.
        ([], None),
        ([""], None),
        (["permessage-bzip2"], None),
        (["Permessage-deflate"], None),
        (["permessage-deflate; unknown"], None),
        (["permessage-deflate; server_no_context_takeover=1"], None),
        (["permessage-deflate; client_max_window_bits=7"], None),
        (["permessage-deflate; client_max_window_bits=16"], None),
        (["permessage-deflate; client_max_window_bits=08"], None),
        (['permessage-deflate; client_max_window_bits="10'], None),
        (["permessage-deflate; server_max_window_bits"], None),
        (["permessage-deflate; client_max_window_bits; client_max_window_bits"], None),
        (["permessage-deflate;"], None),
        (["permessage-deflate; client_max_window_bits="], None),
    ],
)
def test_an_offer_is_agreed_to_or_passed_over(offers: list[str], agreed: str | None) -> None:
    assert deflate.agreed(offers) == agreed


@pytest.mark.parametrize(("setting", "agrees"), [(True, True), (False, False)])
def test_the_handshake_says_what_was_agreed(setting: bool, agrees: bool) -> None:
    # given a client that offers to compress
    client = Harness(compression=setting).client()
    client.open(TARGET, (b"sec-websocket-extensions", b"permessage-deflate"))

    # then the response agrees, unless the setting forbids it
    head = bytes(client.transport.written).partition(b"\r\n\r\n")[0].split(b"\r\n")
    said = [line for line in head if line.lower().startswith(b"sec-websocket-extensions")]
    assert said == ([b"Sec-WebSocket-Extensions: " + AGREED.encode()] if agrees else [])


# What a client sends


def read(data: bytes) -> tuple[list[tuple[int, str | bytes]], int | None]:
    """The events in the bytes of a client that has agreed, and the code that ends it."""
    parser = websocket.WebSocketParser(LIMIT, compressed=True)
    parser.feed(data)
    found = []
    try:
        while (event := parser.next_event()) is not None:
            found.append(tuple(event))
    except websocket.RemoteProtocolError as error:
        return found, error.code
    return found, None


HELLO = compressed("grüß dich".encode())
INCOMPRESSIBLE = bytes((number * 89 + number // 7) % 256 for number in range(150))


@pytest.mark.parametrize(
    ("data", "expected"),
    {
        "a text": (client_frame(HELLO, reserved=4), [(TEXT, "grüß dich")]),
        "bytes": (
            client_frame(compressed(b"\xff\x00"), BINARY, reserved=4),
            [(BINARY, b"\xff\x00")],
        ),
        "nothing": (client_frame(compressed(b""), reserved=4), [(TEXT, "")]),
        "a single zero for nothing": (client_frame(b"\x00", reserved=4), [(TEXT, "")]),
        "not compressed": (client_frame(b"plain"), [(TEXT, "plain")]),
        "both kinds after another": (
            client_frame(HELLO, reserved=4) + client_frame(b"a") + client_frame(HELLO, reserved=4),
            [(TEXT, "grüß dich"), (TEXT, "a"), (TEXT, "grüß dich")],
        ),
        "fragments, cut anywhere": (
            client_frame(HELLO[:3], final=False, reserved=4)
            + client_frame(b"", PING)
            + client_frame(HELLO[3:], CONTINUATION),
            [(PING, b""), (TEXT, "grüß dich")],
        ),
        "a last block": (client_frame(finished(b"end"), reserved=4), [(TEXT, "end")]),
        "stored blocks": (
            client_frame(compressed(b"as it is", 0), reserved=4),
            [(TEXT, "as it is")],
        ),
        "fixed codes": (
            client_frame(compressed(b"fixed", strategy=zlib.Z_FIXED), reserved=4),
            [(TEXT, "fixed")],
        ),
        "as long as a message may be": (
            client_frame(compressed(b"a" * LIMIT), reserved=4),
            [(TEXT, "a" * LIMIT)],
        ),
    }.values(),
    ids=str,
)
def test_a_compressed_message_is_read(data: bytes, expected: list[Any]) -> None:
    assert read(data) == (expected, None)


@pytest.mark.parametrize(
    ("data", "code"),
    {
        "one byte more than a message may have": (compressed(b"a" * (LIMIT + 1)), 1009),
        "a bomb: a message of zeros": (compressed(bytes(1_000_000))[:LIMIT], 1009),
        "not compressed at all": (b"\xff\xff\xff", 1007),
        "cut off": (compressed(INCOMPRESSIBLE)[:-10], 1007),
        "not UTF-8": (compressed(b"\xff"), 1007),
        "half a sign": (compressed(b"\xc3"), 1007),
        "more after the last block": (finished(b"a") + b"\x00", 1007),
        "a second stream after the last block": (finished(b"a")[:-1] + compressed(b"b"), 1007),
        "a reference to before the beginning": (b"\x4a\x04\x12\x00\x00", 1007),
    }.values(),
    ids=str,
)
def test_a_compressed_message_is_refused(data: bytes, code: int) -> None:
    found, ended = read(client_frame(data, reserved=4))
    assert (found, ended) == ([], code)


@pytest.mark.parametrize(
    "data",
    [
        client_frame(b"", PING, reserved=4),
        client_frame(HELLO[:3], final=False, reserved=4)
        + client_frame(HELLO[3:], CONTINUATION, reserved=4),
        client_frame(HELLO, reserved=6),
        client_frame(HELLO, reserved=2),
    ],
)
def test_only_the_first_frame_of_a_message_says_that_it_is_compressed(data: bytes) -> None:
    assert read(data)[1] == 1002


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    # given a message that inflates to a thousand times of what it has
    bomb = client_frame(compressed(bytes(20_000_000)), reserved=4)
    assert len(bomb) < 65_536

    # when it arrives, then it is refused, and no more than the limit was ever in memory
    tracemalloc.start()
    try:
        with pytest.raises(websocket.RemoteProtocolError) as refused:
            parser = websocket.WebSocketParser(65_536, compressed=True)
            parser.feed(bomb)
            parser.next_event()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.code == 1009
    assert peak < 500_000


# What the server sends


def oracle() -> permessage_deflate.PerMessageDeflate:
    """The other side, by the library ``websockets``."""
    factory = permessage_deflate.ClientPerMessageDeflateFactory()
    return factory.process_response_params([(name, None) for name in AGREED.split("; ")[1:]], [])


def texts(data: bytes) -> list[tuple[bool, str]]:
    """Whether each message was compressed, and its text, as ``websockets`` reads them."""
    found, extension = [], oracle()
    while data:
        opcode, size, start = data[0] & 0x0F, data[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        frame = frames.Frame(
            frames.Opcode(opcode),
            data[start : start + size],
            fin=bool(data[0] & 0x80),
            rsv1=bool(data[0] & 0x40),
        )
        decoded = extension.decode(frame)
        found.append((bool(data[0] & 0x40), bytes(decoded.data).decode()))
        data = data[start + size :]
    return found


@pytest.mark.parametrize("size", [LEAST_DEFLATED, 1_000, 70_000, MOST_DEFLATED])
def test_a_stock_client_reads_compressed_messages(size: int) -> None:
    # given a message that is shared, of a length that is still compressed
    start = len(encoding.packet(OutgoingMessage("states", b'""')))
    payload = b'"%b"' % (b"ab \xc3\xbc" * size)[: (size - start) // 5 * 5].ljust(size - start)
    message = OutgoingMessage("states", payload, compressible=True)
    plain = encoding.packet(message).decode()
    assert len(plain.encode()) == size

    # then a library reads from two of its frames what was written
    sent = encoding.deflated_frame(message)
    assert texts(sent + sent) == [(True, plain)] * 2
    assert len(sent) < size // 2
    assert encoding.deflated_frame(message) is sent  # compressed once


@pytest.mark.parametrize(
    ("size", "compressible"),
    [(LEAST_DEFLATED - 30, True), (MOST_DEFLATED + 1, True), (1_000, False)],
)
def test_what_gains_nothing_or_may_not_be_seen_is_not_compressed(
    size: int, compressible: bool
) -> None:
    message = OutgoingMessage("states", b'"%b"' % (b"a" * size), compressible=compressible)
    assert encoding.deflated_frame(message) is encoding.frame(message)


def clients(harness: Harness, number: int, *headers: tuple[bytes, bytes]) -> list[Any]:
    found = []
    for _ in range(number):
        client = harness.client().open(TARGET, *headers)
        client.send("40")
        harness.websockets.writer.end_turn()
        harness.websockets.deflating_writer.end_turn()
        client.transport.written.clear()
        found.append(client)
    return found


def written(harness: Harness, some: Sequence[Any]) -> list[bytes]:
    harness.websockets.writer.end_turn()
    harness.websockets.deflating_writer.end_turn()
    data = [bytes(one.transport.written) for one in some]
    for one in some:
        one.transport.written.clear()
    return data


@pytest.mark.parametrize(
    ("number", "has_rules", "is_compressed"),
    [
        (1, False, False),  # nobody shares it
        (2, False, True),
        (9, False, True),  # a group
        (9, True, False),  # under rights an event may be of anybody
    ],
)
def test_an_event_is_compressed_once_for_those_who_agreed(
    monkeypatch: pytest.MonkeyPatch, number: int, has_rules: bool, is_compressed: bool
) -> None:
    # given viewers that agreed to compress, and as many that did not
    harness = Harness()
    monkeypatch.setattr(type(harness.hub.readers), "has_rules", has_rules)
    agreed = clients(harness, number, (b"sec-websocket-extensions", b"permessage-deflate"))
    others = clients(harness, number if number > 1 else 0)
    calls: list[bytes] = []
    compress = deflate.deflate
    monkeypatch.setattr(deflate, "deflate", lambda data: (calls.append(data), compress(data))[1])

    # when an event goes to all of them
    data = json.dumps([["mood", "happy"] * 50]).encode()
    harness.hub.emit(Event("/", "moods", data))

    # then it was compressed once, if at all, and each reads the same
    text = '42["moods",' + data.decode()[1:]
    assert [texts(one) for one in written(harness, agreed)] == [[(is_compressed, text)]] * number
    assert [texts(one) for one in written(harness, others)] == [[(False, text)]] * len(others)
    assert len(calls) == is_compressed


def emitted_by_a_thread(harness: Harness, *events: Event) -> None:
    """A thread emits these one after the other; then the loop does what that asks for."""

    def emit() -> None:
        for event in events:
            harness.hub.publish(event)

    thread = threading.Thread(target=emit)
    thread.start()
    thread.join()
    harness.loop.take_call()
    harness.loop.settle()


LONG = json.dumps(["happy " * LEAST_IN_THREAD]).encode()[: LEAST_IN_THREAD - 2] + b'"]'
SHORT = json.dumps(["sad " * LEAST_DEFLATED]).encode()


def test_a_long_event_is_compressed_by_the_thread_that_emits_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = Harness()
    agreed = clients(harness, 9, (b"sec-websocket-extensions", b"permessage-deflate"))
    others = clients(harness, 9)
    by_loop: list[bool] = []
    compress = deflate.deflate

    def noted(data: bytes) -> bytes:
        by_loop.append(threading.current_thread() is threading.main_thread())
        return compress(data)

    monkeypatch.setattr(deflate, "deflate", noted)

    def read() -> tuple[list[list[tuple[bool, str]]], list[list[tuple[bool, str]]]]:
        return (
            [texts(one) for one in written(harness, agreed)],
            [texts(one) for one in written(harness, others)],
        )

    # given a first long event, of which it is not known whether somebody takes it compressed
    emitted_by_a_thread(harness, Event("/", "moods", LONG))
    first = read()
    assert by_loop == [True]

    # when there is a second one, between short ones
    short, long = Event("/", "mood", SHORT), Event("/", "moods", LONG)
    emitted_by_a_thread(harness, short, long, short)

    # then only the short ones are left to the loop, and all arrive in order, the same as before
    by_agreed, by_others = read()
    assert sorted(by_loop[1:]) == [False, True, True]
    assert [one[1:2] for one in by_agreed] == first[0]
    assert [one[1:2] for one in by_others] == first[1]
    assert {text[:6] for one in by_agreed for _, text in one[::2]} == {'42["mo'}
    assert [[is_compressed for is_compressed, _ in one] for one in by_agreed] == [[True] * 3] * 9
    assert [[is_compressed for is_compressed, _ in one] for one in by_others] == [[False] * 3] * 9

    # and what the thread compressed is sent as it is where rights were set up meanwhile
    monkeypatch.setattr(type(harness.hub.readers), "has_rules", True)
    emitted_by_a_thread(harness, long)
    assert read() == (first[1], first[1])

    # after which no thread compresses any more
    by_loop.clear()
    emitted_by_a_thread(harness, long)
    assert by_loop == []


# States, and who may know the length of what


@pytest.mark.parametrize(
    ("patterns", "devices", "one"),
    [
        (["*"], ["a", "b/c"], True),
        (["a"], ["a"], True),
        (["a", "b"], ["a", "b"], False),
        (["f/*"], ["f/a", "f/g/b"], True),
        (["f/*", "g/*"], ["f/a", "g/b"], False),
        (["f/*", "f/g/*"], ["f/a", "f/g/b"], True),
        (["f/g/*", "f/h/*"], ["f/g/a", "f/h/b"], False),
        (["f/*", "a"], ["f/a", "f/b"], True),
        (["f/*", "a"], ["f/a", "a"], False),
        (["f/*", "f/a"], ["f/a", "f/b"], True),
    ],
)
def test_devices_under_one_pattern(patterns: list[str], devices: list[str], one: bool) -> None:
    assert Audience(tuple(patterns)).has_one_pattern_for(devices) == one


def compressible(client: FakeClient) -> list[bool]:
    """Whether the ``states`` that wait for a client may be compressed."""
    return [one.compressible for one in client.messages if one.name == "states"]


@pytest.mark.parametrize(
    ("patterns", "has_rules", "viewers", "expected"),
    [
        (["*"], False, 1, False),  # alone
        (["*"], False, 2, True),
        (["f/*", "g/*"], False, 2, True),
        (["f/*", "g/*"], True, 2, False),
        (["*"], True, 2, True),
    ],
)
def test_a_tick_is_compressed_for_an_audience_within_one_right(
    patterns: list[str], has_rules: bool, viewers: int, expected: bool
) -> None:
    # given viewers that are up to date
    harness = BroadcastHarness()
    harness.broadcaster.has_rules = lambda: has_rules
    some = [harness.client(*patterns) for _ in range(viewers)]
    for one in some:
        one.messages.clear()

    # when two devices change in one tick
    harness.store.commit("f/a", {"secret": 1})
    harness.store.commit("g/b", {"chosen": 2})
    harness.tick()

    # then their states may be compressed together, or not
    assert [compressible(one) for one in some] == [[expected]] * viewers


@pytest.mark.parametrize(("size", "expected"), [(10, False), (LEAST_CACHED, True)])
def test_first_states_are_compressed_where_others_may_get_them_too(
    size: int, expected: bool
) -> None:
    # given a device, and a viewer alone, who gets it as it is
    harness = BroadcastHarness()
    harness.store.commit("f/a", {"text": "x" * size})
    harness.tick()
    first = harness.client("*")
    assert compressible(first) == [False]

    # when a second one comes, then its answer is kept for others, and compressed if it is long
    second = harness.client("*")
    assert compressible(second) == [expected]
