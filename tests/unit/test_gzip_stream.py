"""Responses that are gzip streams: of server-sent events and of long polling.

What is compressed is shared; what may not be compressed is in the stream as it is. The oracle is
zlib's own reader, as curl, Python and browsers have it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.http.content_coding import takes_gzip
from statecast.model import Event
from statecast.realtime import sse
from statecast.realtime.encoding import LEAST_DEFLATED, MOST_DEFLATED
from statecast.realtime.polling_queue import OVERHEAD
from statecast.realtime.protocol import deflate, gzip_stream
from statecast.realtime.protocol.gzip_stream import HEADER, LONGEST_STORED, GzipEnd
from tests.fakes.fake_loop import settle
from tests.fakes.polling_harness import SEPARATOR, PollingClient, PollingHarness
from tests.unit.test_sse import EventsHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)

GZIP = {"accept-encoding": "gzip, deflate, br"}


def states(number: int, *, compressible: bool = True, size: int = 400) -> OutgoingMessage:
    payload = json.dumps({"offset": number, "states": [], "note": "happy " * (size // 6)})
    return OutgoingMessage("states", payload.encode(), number, compressible=compressible)


def read(stream: bytes) -> tuple[bytes, bool]:
    """What a reader has of a stream, and whether the stream is whole, its checksum right."""
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    content = reader.decompress(stream)
    assert reader.unused_data == b""
    return content, reader.eof


# The stream


@pytest.mark.parametrize("size", [0, 1, LONGEST_STORED, LONGEST_STORED + 1, 200_000])
async def test_stored_blocks_are_read_as_they_are(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    assert read(HEADER + gzip_stream.stored(content)) == (content, False)
    assert gzip.decompress(gzip_stream.whole([(content, gzip_stream.stored(content))])) == content


@pytest.mark.parametrize("order", ["c", "s", "cs", "sc", "ccsscc", ""])
async def test_a_stream_is_read_block_by_block_in_any_order(order: str) -> None:
    # given a stream of compressed and stored blocks
    contents = [b"%d happy happy pillows\n" % number * 20 for number in range(len(order))]
    blocks = [
        deflate.deflate(content) if kind == "c" else gzip_stream.stored(content)
        for kind, content in zip(order, contents, strict=True)
    ]
    reader, end = zlib.decompressobj(16 + zlib.MAX_WBITS), GzipEnd()
    reader.decompress(HEADER)
    # then a reader has each block's content as soon as the block is there
    for content, block in zip(contents, blocks, strict=True):
        assert reader.decompress(block) == content
        end.count(content)
    assert not reader.eof
    # and the end has the right checksum and length, or zlib would raise
    assert reader.decompress(end.encode()) == b""
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert gzip.decompress(gzip_stream.whole(zip(contents, blocks))) == b"".join(contents)


@pytest.mark.parametrize(
    ("fields", "takes"),
    [
        ([], False),
        ([b""], False),
        ([b"gzip"], True),
        ([b"GZip"], True),
        ([b"gzip, deflate, br, zstd"], True),
        ([b"deflate, gzip;q=1.0, *;q=0.5"], True),
        ([b"br", b"gzip"], True),
        ([b"gzip;q=0"], False),
        ([b"gzip; q=0.000"], False),
        ([b"gzip ;\tq=0. , deflate"], False),
        ([b"gzip;q=0.001"], True),
        ([b"identity"], False),
        ([b"*"], False),
        ([b"x-gzip"], False),
        ([b"deflate"], False),
    ],
)
async def test_gzip_is_taken_by_who_names_it(fields: list[bytes], takes: bool) -> None:
    assert takes_gzip(fields) is takes


# Server-sent events


@pytest.mark.parametrize(
    ("headers", "setting", "coded"),
    [
        (GZIP, True, True),
        ({}, True, False),
        ({"accept-encoding": "br"}, True, False),
        (GZIP, False, False),
    ],
)
async def test_an_event_stream_is_compressed_for_who_accepts_it(
    headers: dict[str, str], setting: bool, coded: bool
) -> None:
    # given a reader
    harness = EventsHarness(compression=setting)
    request, watching = await harness.watch(headers=headers)
    fields = request.response.headers or {}
    assert fields["vary"] == "accept-encoding"
    assert fields.get("content-encoding") == ("gzip" if coded else None)
    # when states come, some of which may be compressed
    messages = [states(1), states(2, compressible=False), states(3)]
    plain = b"".join(map(sse.plain, messages))
    for message in messages:
        watching.deliver(message)
        await settle()
    # then it reads all of them at once, before the stream ends
    assert read_or_plain(request.response.body, coded) == plain
    # and the end is a whole stream
    harness.hub.draining = True
    watching.close(1012, "restarts")
    await request.task
    body = request.response.body
    if coded:
        content, whole = read(body)
        assert whole
        assert len(body) < len(content) * 2 // 3
    else:
        content = body
    assert content.startswith(plain + b"retry: ")


def read_or_plain(body: bytes, coded: bool) -> bytes:
    return read(body)[0] if coded else body


@pytest.mark.parametrize(
    ("size", "compressible", "compressed"),
    [
        (LEAST_DEFLATED * 2, True, True),
        (LEAST_DEFLATED * 2, False, False),  # nobody shares it, or its length is a secret
        (20, True, False),
        (MOST_DEFLATED, True, False),  # its head comes on top
        (100_000, True, True),
        (100_000, False, False),
    ],
)
async def test_what_may_not_be_compressed_is_in_the_stream_as_it_is(
    size: int, compressible: bool, compressed: bool
) -> None:
    harness = EventsHarness(viewer_buffer=10_000_000)
    request, watching = await harness.watch(headers=GZIP)
    message = states(1, compressible=compressible, size=size)
    watching.deliver(message)
    await settle()
    event, body = sse.plain(message), request.response.body
    assert read(body) == (event, False)
    if compressed:
        assert len(body) < len(event) // 2
    else:  # the length says nothing but the length
        blocks = -(-len(event) // LONGEST_STORED)
        assert len(body) == len(HEADER) + len(event) + 5 * blocks


async def test_readers_share_the_compressed_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    compress = deflate.deflate
    monkeypatch.setattr(deflate, "deflate", lambda data: (calls.append(data), compress(data))[1])
    harness = EventsHarness()
    readers = [await harness.watch(headers=GZIP) for _ in range(5)]
    message = states(1)
    for _, watching in readers:
        watching.deliver(message)
    await settle()
    assert len(calls) == 1
    assert {request.response.body for request, _ in readers} == {HEADER + sse.gzip_blocks(message)}


async def test_comments_that_keep_a_connection_are_in_the_stream() -> None:
    harness = EventsHarness()
    request, _ = await harness.watch(headers=GZIP)
    await asyncio.sleep(3 * harness.settings.ping_interval)
    content, _ = read(request.response.body)
    assert content.startswith(sse.KEEPALIVE) and content.strip(sse.KEEPALIVE) == b""


async def test_a_response_of_what_is_there_now_is_a_whole_stream() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch("device=pillow&once=1", headers=GZIP)
    last = OutgoingMessage("states", b'{"offset":1,"states":[],"complete":true}')
    watching.deliver(last)
    await request.task
    assert read(request.response.body) == (sse.plain(last), True)


async def test_an_aborted_stream_is_not_called_whole() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch(headers=GZIP)
    request.flowing.clear()
    for number in range(20):
        watching.deliver(states(number, compressible=False))
    await settle()
    watching.abort()
    request.flowing.set()
    await request.task
    assert not read(request.response.body)[1]


# Long polling


async def poll(session: PollingClient, headers: dict[str, str]) -> Any:
    harness = session.harness
    return await harness.response("GET", session.query, headers=headers)


def moods(number: int, size: int = 300) -> Event:
    return Event("/", "moods", json.dumps([number, "happy " * (size // 6)]).encode())


@pytest.mark.parametrize(
    ("headers", "setting", "sessions", "size", "coded"),
    [
        (GZIP, True, 2, 300, True),
        (GZIP, True, 2, 30_000, True),
        (GZIP, True, 2, 12, False),  # nothing in it is worth it
        (GZIP, True, 1, 300, False),  # nobody shares it
        (GZIP, False, 2, 300, False),
        ({}, True, 2, 300, False),
    ],
)
async def test_a_poll_is_compressed_where_its_packets_are(
    headers: dict[str, str], setting: bool, sessions: int, size: int, coded: bool
) -> None:
    # given sessions on long polling
    harness = PollingHarness(compression=setting)
    opened = [await (await harness.open(headers=headers)).join() for _ in range(sessions)]
    # when two events come before the next poll, and a packet for one of them alone
    for number in range(2):
        assert harness.hub.emit(moods(number, size)) == sessions
    await opened[0].send('42["unknown"]', '421["unknown"]')
    answers = [await poll(session, headers) for session in opened]
    # then each poll has all packets in order
    packets = [
        f'42["moods",{json.dumps([number, "happy " * (size // 6)])[1:]}' for number in (0, 1)
    ]
    for number, answer in enumerate(answers):
        assert answer.headers.get("content-encoding") == ("gzip" if coded else None)
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.headers["content-length"] == str(len(answer.body))
        content = gzip.decompress(answer.body) if coded else answer.body
        texts = content.decode().split(SEPARATOR)
        assert texts[:2] == packets
        assert len(texts) == (3 if number == 0 else 2)
        if coded:
            assert len(answer.body) < len(content)
    assert harness.sessions.memory.size == 0


async def test_sessions_and_websockets_share_what_is_compressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[bytes] = []
    compress = deflate.deflate
    monkeypatch.setattr(deflate, "deflate", lambda data: (calls.append(data), compress(data))[1])
    # given sessions on long polling, and WebSockets that agreed to compression
    harness = PollingHarness()
    sessions = [await (await harness.open(headers=GZIP)).join() for _ in range(3)]
    for _ in range(2):
        client = harness.client().open(
            "/socket.io/?EIO=4&transport=websocket",
            (b"sec-websocket-extensions", b"permessage-deflate"),
        )
        client.send("40")
    # when an event comes
    assert harness.hub.emit(moods(1)) == 5
    # then it is compressed once for all, and counts once in what they hold
    assert len(calls) == 1
    packet, compressed = len(calls[0]), len(compress(calls[0]))
    assert harness.sessions.memory.size == packet + compressed + 3 * OVERHEAD
    for session in sessions:
        answer = await poll(session, GZIP)
        assert gzip.decompress(answer.body) == calls[0]
    assert harness.sessions.memory.size == 0


@pytest.mark.parametrize("order", ["pg", "gp", "pgpg", "ggp"])
async def test_sessions_with_and_without_gzip_get_the_same(order: str) -> None:
    # given sessions of both kinds, in any order
    harness = PollingHarness()
    kinds = [GZIP if kind == "g" else {} for kind in order]
    sessions = [await (await harness.open(headers=kind)).join() for kind in kinds]
    harness.hub.emit(moods(1))
    # then each is answered as it asks
    answers = [await poll(one, kind) for one, kind in zip(sessions, kinds, strict=True)]
    coded = [answer.headers.get("content-encoding") == "gzip" for answer in answers]
    assert coded == [kind == "g" for kind in order]
    texts = {
        gzip.decompress(one.body) if one.body[:2] == HEADER[:2] else one.body for one in answers
    }
    assert len(texts) == 1
    assert harness.sessions.memory.size == 0


async def test_a_client_may_change_its_mind_with_each_poll() -> None:
    harness = PollingHarness()
    first, second = [await (await harness.open(headers=GZIP)).join() for _ in range(2)]
    # when one of two that began with gzip polls without it
    harness.hub.emit(moods(1))
    plain, coded = await poll(first, {}), await poll(second, GZIP)
    # then each is answered as it asks
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(coded.body) == plain.body


async def test_a_binary_attachment_goes_with_its_compressed_event() -> None:
    harness = PollingHarness()
    sessions = [await (await harness.open(headers=GZIP)).join() for _ in range(2)]
    data = json.dumps([{"_placeholder": True, "num": 0}, "happy " * 50]).encode()
    harness.hub.emit(Event("/", "picture", data, attachments=(b"\x00\xff" * 200,)))
    for session in sessions:
        answer = await poll(session, GZIP)
        text, attachment = gzip.decompress(answer.body).split(SEPARATOR.encode())
        assert text.startswith(b'451-["picture",')
        assert attachment.startswith(b"bAP8A/w")
