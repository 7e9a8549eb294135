"""Requests of long polling that arrive in the wrong worker, over real Unix sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from certificates import write_certificate
from statecast.http.asgi import Receive, Scope, Send
from statecast.program.certificate import Files, load
from statecast.realtime.protocol import engineio
from statecast.server import (
    adopted_connections,
    request_forwarder,
    worker_link,
)
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.tls_relay import TlsRelay
from statecast.settings import Settings
from tests.fakes.polling_harness import QUERY, PollingClient
from tests.fakes.saying import say
from tests.fakes.two_workers import Front, two_workers

pytestmark = pytest.mark.asyncio

UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket&sid={sid} HTTP/1.1\r\nHost: example.test\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def code_of(text: str) -> int:
    return int(json.loads(text)["code"])


# Answers


@pytest.mark.parametrize(
    ("method", "body", "headers", "scheme"),
    [
        ("POST", b"40", {}, "http"),
        ("POST", b"", {}, "http"),
        ("POST", b"9", {}, "http"),
        ("POST", '40/test,{"a":"ü"}'.encode(), {}, "http"),
        ("POST", b"\xff", {}, "http"),
        ("POST", b"x" * 70_000, {}, "http"),
        ("POST", b"bAAEC", {}, "http"),
        ("PUT", b"40", {}, "http"),
        ("DELETE", b"", {}, "http"),
        ("OPTIONS", b"", {"origin": "http://example.test"}, "http"),
        ("OPTIONS", b"", {"origin": "http://elsewhere.test"}, "http"),
        ("POST", b"40", {"origin": "http://elsewhere.test"}, "http"),
        ("POST", b"40", {"origin": "https://example.test"}, "https"),
        ("POST", b"40", {"origin": "http://example.test"}, "https"),
        # what a client says of itself counts on neither way
        ("POST", b"40", {"origin": "http://example.test", "x-forwarded-proto": "https"}, "http"),
        ("POST", b"40", {"x-forwarded-for": "203.0.113.5", "x-name": "é"}, "http"),
    ],
)
async def test_the_answer_is_that_of_the_right_worker(
    method: str, body: bytes, headers: dict[str, str], scheme: str
) -> None:
    async with two_workers() as both:
        # given two sessions of one worker
        direct, passed_on = await both.there.open(), await both.open()
        # when one request arrives there, and the same one in the other worker
        pieces = (body[:10], body[10:]) if len(body) > 10 else (body,)
        more: dict[str, Any] = {"headers": headers, "scheme": scheme}
        expected = await both.there.response(method, direct.query, *pieces, **more)
        response = await both.response(method, passed_on.query, *pieces, **more)
        # then the answers are alike, and so is what became of the sessions
        assert response == expected
        assert await passed_on.status() == await direct.status()
        assert both.counted == (0, 0)


async def test_a_get_waits_for_the_next_packet() -> None:
    async with two_workers() as both:
        session = await (await both.open()).join()
        waiting = session.get()
        await until(lambda: both.counted == (1, 1))
        (sid,) = both.there.hub.open("/").sockets
        say(both.there.hub, sid, "hello", "ü")
        response = await waiting.task
        assert (response.status, response.text) == (200, '42["hello","ü"]')
        assert both.counted == (0, 0)
        # and the session goes on, in whatever worker its requests arrive
        session.harness = both.there
        await session.send("3")


async def test_a_long_answer_comes_whole() -> None:
    async with two_workers(viewer_buffer=1_000_000) as both:
        session = await (await both.open()).join()
        (sid,) = both.there.hub.open("/").sockets
        long = "x" * 300_000
        say(both.there.hub, sid, "long", long)
        assert await session.poll() == f'42["long","{long}"]'


# Who it is


async def test_the_other_worker_gets_the_client_from_us_and_not_from_its_headers() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with two_workers(app) as both:
        session = await both.open()
        claims = {"x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "https", "client": "x"}
        await both.response("POST", session.query, b"", headers=claims, client=("192.0.2.9", 77))
    (scope,) = seen
    assert (scope["client"][0], scope["scheme"], scope["path"]) == (
        "192.0.2.9",
        "http",
        "/socket.io/",
    )
    assert dict(scope["headers"])[b"x-forwarded-for"] == b"203.0.113.5"


# Clients that leave, or ask twice


async def test_a_client_that_leaves_ends_its_request_and_its_session_there() -> None:
    async with two_workers() as both:
        session = await (await both.open()).join()
        waiting = session.get()
        await until(lambda: both.counted == (1, 1))
        # when the client leaves
        waiting.leave()
        await waiting.task
        # then its session ends as it would in one process
        await until(lambda: both.there.hub.viewers == 0)
        await until(lambda: both.counted == (0, 0))
        assert await session.status() == 400


async def test_two_gets_by_two_workers_end_the_session() -> None:
    async with two_workers() as both:
        session = await (await both.open()).join()
        first = both.there.request("GET", session.query)
        await until(lambda: both.there.hub.viewers == 1)
        await asyncio.sleep(0)
        second = await session.get().task
        assert (second.status, code_of(second.text)) == (400, 3)
        assert "two GET requests" in second.text
        assert (await first.task).text == engineio.CLOSE_PACKET.decode()
        assert await session.status() == 400


# Workers that are not there


async def test_a_session_of_no_worker_is_unknown() -> None:
    async with two_workers() as both:
        for sid in ("zz" + "x" * 22, "", "no", both.here.link.worker_id + "x" * 22):
            if sid:
                response = await both.response("GET", f"{QUERY}&sid={sid}")
                assert (response.status, code_of(response.text)) == (400, 1)
        # and one that the other worker does not know
        sid = both.there.link.worker_id + "x" * 22
        response = await both.response("GET", f"{QUERY}&sid={sid}")
        assert (response.status, code_of(response.text)) == (400, 1)
        assert both.counted == (0, 0)


async def test_a_killed_worker_answers_its_sessions_as_unknown_at_once() -> None:
    async with two_workers() as both:
        session = await (await both.open()).join()
        waiting = session.get()
        await until(lambda: both.counted == (1, 1))
        # when the worker of a waiting request dies
        both.there.die()
        # then the client learns that its session is over, and so does its next request
        response = await waiting.task
        assert (response.status, code_of(response.text)) == (400, 1)
        assert await session.status() == 400
        assert both.here.limiter.total == 0


async def test_a_worker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_forwarder, "GREETING", 0.01)
    async with two_workers() as both:
        # given a worker that accepts nothing, though the system connects
        with closing(both.folder.add()) as hanging:
            session = PollingClient(both.here, hanging.worker_id + "x" * 22)
            response = await session.get().task
        assert response.status == 504
        assert both.here.limiter.total == 0


async def test_a_worker_that_hangs_after_it_accepted_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a worker that accepts a request and says nothing more
    monkeypatch.setattr(request_forwarder, "GREETING", 0.05)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    limits = {"ping_interval": 0.05, "ping_timeout": 0.05, "body_timeout": 0.1}
    async with two_workers(app, **limits) as both:
        session = PollingClient(both.here, both.there.link.worker_id + "x" * 22)
        response = await session.get().task
        assert response.status == 504
        assert both.here.limiter.total == 0


async def test_an_answer_that_breaks_off_ends_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ConnectionResetError

    aborted: list[bool] = []
    extensions = {"statecast.abort": lambda: aborted.append(True)}
    async with two_workers(app) as both:
        sid = both.there.link.worker_id + "x" * 22
        response = await both.response("GET", f"{QUERY}&sid={sid}", extensions=extensions)
        assert (response.status, response.complete) == (200, False)
        assert aborted == [True]


async def test_a_full_worker_sends_its_clients_back_for_a_moment() -> None:
    async with two_workers(max_connections=1) as both:
        session = await (await both.open()).join()
        waiting = session.get()
        await until(lambda: both.counted == (1, 1))
        # when the worker holds as many connections as it may
        both.here.limiter.total = 0
        response = await session.post("3")
        assert response.status == 503
        waiting.leave()
        await waiting.task


# What is held


async def test_a_client_that_does_not_read_holds_the_other_worker_up() -> None:
    written: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(60):
            written.append(number)
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with two_workers(app) as both:
        sid = both.there.link.worker_id + "x" * 22
        request = both.request("GET", f"{QUERY}&sid={sid}")
        # given a client that takes the head and nothing more
        request.fill()
        await until(lambda: written)
        before = -1
        while len(written) != before:  # until nothing moves any more
            before = len(written)
            await asyncio.sleep(0.05)
        # then the worker has written what the buffers between hold, of 6 MB
        assert len(written) < 20
        # when the client reads again, then it gets all
        request.flow()
        assert len((await request.task).body) == 6_000_000


async def test_a_worker_that_does_not_read_holds_the_client_up() -> None:
    reading = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reading.wait()
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    async with two_workers(app) as both:
        sid = both.there.link.worker_id + "x" * 22
        pieces = [bytes(100_000)] * 60
        request = both.request("POST", f"{QUERY}&sid={sid}", *pieces)
        before = -1
        while request._body.qsize() != before:
            before = request._body.qsize()
            await asyncio.sleep(0.05)
        assert before > 40
        reading.set()
        assert (await request.task).body == b"6000000"


# Who may connect


@pytest.mark.parametrize("kind", [worker_link.REQUESTS, worker_link.CONNECTIONS])
@pytest.mark.parametrize("said", [b"", b"X", b"\0\0\0\1\0\0", b"\0\0\0\2\0\0\0\1{}"])
async def test_what_breaks_off_costs_only_its_own_connection(kind: str, said: bytes) -> None:
    async with two_workers() as both:
        session = await both.open()
        with both.here.link.connect(both.there.link.worker_id, kind) as stranger:
            stranger.sendall(said)
        await session.join()
        await until(lambda: both.counted == (0, 0))


async def test_a_process_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_workers() as both:
        session = await both.open()
        monkeypatch.setattr(worker_link, "is_ours", lambda connection: False)
        response = await session.get().task
        assert (response.status, code_of(response.text)) == (400, 1)


# WebSockets


@pytest.mark.parametrize("tls", [False, True])
async def test_the_connection_of_an_upgrade_belongs_to_the_right_worker_from_then_on(
    tls: bool, tmp_path: Path
) -> None:
    ours, theirs = contexts(tmp_path) if tls else (None, None)
    async with two_workers() as both, AsyncExitStack() as stack:
        session = await (await both.open()).join()
        front = await asyncio.get_running_loop().create_server(
            lambda: Front(both.here), "127.0.0.1", 0, ssl=ours
        )
        stack.callback(front.close)
        # when its client asks the wrong worker for a WebSocket
        reader, writer = await asyncio.open_connection(
            *front.sockets[0].getsockname()[:2], ssl=theirs
        )
        stack.callback(writer.close)
        writer.write(UPGRADE.format(sid=session.sid, more="").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        # then the connection counts in the right one only, once, for the client's address;
        # that of TLS in both, because the wrong one goes on copying it
        await until(lambda: both.counted == (int(tls), 1))
        assert both.here.limiter.per_address == ({"198.51.100.7": 1} if tls else {})
        assert both.there.limiter.per_address == {"198.51.100.7": 1}
        # and carries the session after the probe
        for packet, answer in ((b"2probe", b"\x81\x063probe"), (b"5", b"")):
            writer.write(bytes([0x81, 0x80 | len(packet)]) + bytes(4) + packet)
            assert await reader.readexactly(len(answer)) == answer
        (sid,) = both.there.hub.open("/").sockets
        await until(lambda: session.sid not in both.there.sessions._polling)
        say(both.there.hub, sid, "hello")
        assert await reader.readexactly(13) == b'\x81\x0b42["hello"]'
        # when the client leaves
        writer.close()
        await until(lambda: both.there.hub.viewers == 0)
        await until(lambda: both.counted == (0, 0))
        assert both.there.limiter.per_address == both.here.limiter.per_address == {}
        assert not both.here.connections


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    cert, key = write_certificate(folder)
    return load(Files(cert, key)).context, ssl.create_default_context(cafile=str(cert))


SENT = bytes(range(256)) * 40_000


async def test_a_relay_takes_no_more_than_its_client_does() -> None:
    loop = asyncio.get_running_loop()
    lost: list[bool] = []
    connections: set[Any] = set()
    (client, ours), (theirs, worker) = socket.socketpair(), socket.socketpair()
    for one in (client, ours, theirs, worker):
        one.setblocking(False)
    with client, worker:
        # given a relay between a client that does not read and a worker that sends much
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
        TlsRelay(transport, theirs, connections, lambda: lost.append(True))
        sending = loop.create_task(loop.sock_sendall(worker, SENT))
        await until(
            lambda: transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1]
        )
        for _ in range(100):
            await asyncio.sleep(0)
        # then it holds little of that, and the worker waits
        assert transport.get_write_buffer_size() < 1_000_000
        assert not sending.done()
        # when the client reads, then it gets all
        received = bytearray()
        while len(received) < len(SENT):
            received += await loop.sock_recv(client, 1_000_000)
        assert received == SENT
        await sending
        # and what it sends comes to the worker
        await loop.sock_sendall(client, b"thanks")
        assert await loop.sock_recv(worker, 100) == b"thanks"
        assert len(connections) == 1 and not lost
        # when the worker ends, then the client's connection does
        worker.close()
        assert await loop.sock_recv(client, 1) == b""
    await until(lambda: lost == [True])
    assert not connections


async def test_no_program_inherits_a_connection_that_was_handed_over() -> None:
    # given a connection that comes from another worker
    mine, theirs = socket.socketpair()
    client, ours = socket.socketpair()
    loop = asyncio.get_running_loop()
    ended: list[adopted_connections.Handover] = []
    with mine, theirs, client, ours:
        theirs.setblocking(False)
        handover = adopted_connections.Handover(theirs, loop, ended.append)
        socket.send_fds(mine, [b"x"], [ours.fileno()])
        await until(lambda: handover._descriptor is not None)
        # then a program that the application starts does not keep it open
        assert handover._descriptor is not None
        assert not os.get_inheritable(handover._descriptor)
        handover.end()


@pytest.mark.parametrize("reason", ["gone", "unknown", "own", "origin", "crowded"])
async def test_an_upgrade_that_cannot_be_is_refused(reason: str) -> None:
    limits = {"connections_per_address": 1} if reason == "crowded" else {}
    async with two_workers(**limits) as both, AsyncExitStack() as stack:
        session = await (await both.open()).join()
        front = await asyncio.get_running_loop().create_server(
            lambda: Front(both.here), "127.0.0.1", 0
        )
        stack.callback(front.close)
        sid, more, status = session.sid, "", 400
        if reason == "gone":
            both.there.die()
        elif reason == "unknown":
            sid = both.there.link.worker_id + "x" * 22
        elif reason == "own":
            sid = both.here.link.worker_id + "x" * 22
        elif reason == "origin":
            more, status = "Origin: http://elsewhere.test\r\n", 403
        elif reason == "crowded":
            both.there.limiter._exempt = lambda address: False
            both.there.limiter.acquire_address("203.0.113.1", 0.0)
            both.there.limiter.acquire_address("198.51.100.7", 0.0)
            status = 429
        reader, writer = await asyncio.open_connection(*front.sockets[0].getsockname()[:2])
        stack.callback(writer.close)
        writer.write(UPGRADE.format(sid=sid, more=more).encode())
        response = await reader.read()
        assert response.startswith(b"HTTP/1.1 %d " % status)
        await until(lambda: both.counted == (0, 0))


async def test_limits_count_where_they_belong() -> None:
    # given a limit of two connections
    limiter = ConnectionLimiter(Settings(max_connections=2))
    limiter.acquire()
    limiter.acquire()
    async with two_workers() as both:
        both.here.forwarder._limiter = limiter
        session = await both.open()
        # then a request that needs a third one is refused before anything is forwarded
        response = await session.get().task
        assert (response.status, limiter.total) == (503, 2)
        assert both.there.limiter.total == 0
