"""Hostile peers: each limit of viewers on each transport, every origin and host, and a siege.

Every limit is tried one below, at it and one above, against a real server and raw sockets. While
one connection is cut, a neighbour goes on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from raw_socket import (
    HANDSHAKE,
    POLLING,
    WEBSOCKET,
    Connection,
    OnPolling,
    OnWebSocket,
    masked,
    request,
)
from server_process import ServerProcess

from statecast.flask import create_app, runtime_of
from statecast.rate_limit import BURST, WATCH_BURST, watch_price
from statecast.realtime.protocol import websocket
from statecast.realtime.protocol.socketio import MAX_ATTACHMENTS
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

AROUND = (-1, 0, 1)
"""One below a limit, at it, one above."""
MOST_PAYLOAD = 4_096
PATTERNS = 20
HOSTILE = 30
PER_HOSTILE = 2_000_000
"""Bytes that a hostile viewer may cost."""


def serving(**options: Any) -> Iterator[BackgroundServer]:
    settings = Settings(**{"store": "memory:", "port": 0, "shutdown_timeout": 0.2, **options})
    app = create_app(settings)
    server = BackgroundServer(runtime_of(app), app)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    """One whose limits are small."""
    yield from serving(
        max_payload=MOST_PAYLOAD, watch_patterns=PATTERNS, allow_origins="https://friend.example",
        allow_hosts="pillow.example",
    )  # fmt: skip


@pytest.fixture(scope="module")
def hasty() -> Iterator[BackgroundServer]:
    """One that waits for nobody."""
    yield from serving(connect_timeout=0.2, ping_interval=0.1, ping_timeout=0.1, write_timeout=0.3)


@pytest.fixture
def neighbour(server: BackgroundServer) -> Iterator[None]:
    """Whoever else is there goes on: what changes after the test reaches him."""
    with OnWebSocket(server.address) as viewer:
        assert viewer.ask("watch", {"devices": ["neighbour"]})["reset"] is False
        yield
        put(server, "neighbour", b'{"well":"yes"}')
        while b'"well":"yes"' not in viewer.hear():
            pass
        put(server, "neighbour", b"{}")


def put(server: BackgroundServer, device: str, body: bytes) -> None:
    kind = [("Content-Type", "application/json")]
    assert request(server.address, "PUT", f"/api/devices/{device}", body, kind)[0] == 200


# Limits, on each transport


def text_of(size: int) -> bytes:
    """An event of so many bytes."""
    return b'42["x","' + b"a" * (size - 10) + b'"]'


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_size_of_a_message_on_websocket(
    neighbour: None, server: BackgroundServer, more: int, pieces: int
) -> None:
    message = text_of(MOST_PAYLOAD + more)
    assert len(message) == MOST_PAYLOAD + more
    with OnWebSocket(server.address) as viewer:
        for number in range(pieces):
            part = message[number * len(message) // pieces : (number + 1) * len(message) // pieces]
            viewer.send(
                websocket.CONTINUATION if number else websocket.TEXT,
                part,
                final=number == pieces - 1,
            )
        check(viewer, None if more <= 0 else websocket.MESSAGE_TOO_BIG)


@pytest.mark.parametrize("more", AROUND)
def test_the_size_of_a_message_on_polling(
    neighbour: None, server: BackgroundServer, more: int
) -> None:
    viewer = OnPolling(server.address)
    assert viewer.post(text_of(MOST_PAYLOAD + more)) == (200 if more <= 0 else 413)
    assert viewer.is_alive() is (more <= 0)


def check(viewer: OnWebSocket, code: int | None) -> None:
    """It was closed with a code, or may go on."""
    if code is None:
        assert "reset" in viewer.ask("watch", {"devices": ["*"]})
    else:
        assert viewer.close_code() == code


@pytest.mark.parametrize("more", AROUND)
def test_the_size_of_an_event_with_its_attachments(
    neighbour: None, server: BackgroundServer, more: int
) -> None:
    """Each part of it is within the limit for a message; the limit is on all of them."""
    head = b'452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'[1:]
    head = b"4" + head
    rest = MOST_PAYLOAD - (len(head) - 1) + more
    parts = [b"a" * (rest // 2), b"b" * (rest - rest // 2)]
    with OnWebSocket(server.address) as viewer:
        viewer.send(websocket.TEXT, head)
        for part in parts:
            viewer.send(websocket.BINARY, part)
        check(viewer, None if more <= 0 else websocket.MESSAGE_TOO_BIG)
    polling = OnPolling(server.address)
    statuses = [
        polling.post(head),
        *(polling.post(b"b" + base64.b64encode(part)) for part in parts),
    ]
    assert statuses == [200, 200, 200 if more <= 0 else 400]
    assert polling.is_alive() is (more <= 0)


@pytest.mark.parametrize("more", AROUND)
def test_the_number_of_attachments(neighbour: None, server: BackgroundServer, more: int) -> None:
    count = MAX_ATTACHMENTS + more
    places = "".join(f',{{"_placeholder":true,"num":{number}}}' for number in range(count))
    head = f'45{count}-["x"{places}]'
    with OnWebSocket(server.address) as viewer:
        viewer.say(head)
        for _ in range(count if more <= 0 else 0):
            viewer.send(websocket.BINARY, b"a")
        check(viewer, None if more <= 0 else websocket.POLICY_VIOLATION)
    polling = OnPolling(server.address)
    assert polling.post(head.encode()) == (200 if more <= 0 else 400)
    assert polling.is_alive() is (more <= 0)


@pytest.mark.parametrize("more", AROUND)
def test_the_number_of_patterns(neighbour: None, server: BackgroundServer, more: int) -> None:
    patterns = [f"lamp/{number}" for number in range(PATTERNS + more)]
    with OnWebSocket(server.address) as viewer:
        answer = viewer.ask("watch", {"devices": patterns})
        assert ("error" in answer) is (more > 0)
        check(viewer, None)  # (a mistake, no attack: the viewer stays)
    polling = OnPolling(server.address)
    assert polling.post(f'421["watch",{json.dumps({"devices": patterns})}]'.encode()) == 200
    assert (b"At most 20 patterns" in polling.get()[1]) is (more > 0)
    query = "&".join(f"device={pattern}" for pattern in patterns)
    status, body = request(server.address, "GET", f"/events?{query}")
    assert (status, b"At most 20 patterns" in body) == ((400, True) if more > 0 else (200, False))


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("message", [b'42["x"]', b"6", b'421["watch",{"devices":["*"]}]', b"3"])
def test_the_burst_of_messages(
    neighbour: None, server: BackgroundServer, more: int, message: bytes
) -> None:
    """Joining was the first message; ``watch`` has a bucket of its own, and only its excess ends a
    session: other messages wait."""
    rest = (WATCH_BURST if b"watch" in message else BURST - 1) + more
    with OnWebSocket(server.address) as viewer:
        viewer.socket.sendall(masked(websocket.TEXT, message) * rest)
        if more > 0 and b"watch" in message:
            assert viewer.close_code() == websocket.POLICY_VIOLATION
        else:
            viewer.send(websocket.CLOSE, b"")
            assert viewer.close_code() == websocket.NO_STATUS_RECEIVED
    polling = OnPolling(server.address)
    alive = more <= 0 or b"watch" not in message
    assert polling.post(b"\x1e".join([message] * rest)) == (200 if alive else 400)
    assert polling.is_alive() is alive


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_watch_costs_by_its_patterns(
    neighbour: None, server: BackgroundServer, more: int
) -> None:
    # Given a request with as many patterns as may be watched, which costs two tokens
    patterns = [f"device{number}" for number in range(20)]
    message = f'42["watch",{json.dumps({"devices": patterns})}]'.encode()
    assert watch_price(20) == 2
    # Then half as many of them are a burst
    with OnWebSocket(server.address) as viewer:
        viewer.socket.sendall(masked(websocket.TEXT, message) * (WATCH_BURST // 2 + more))
        if more > 0:
            assert viewer.close_code() == websocket.POLICY_VIOLATION
        else:
            viewer.send(websocket.CLOSE, b"")
            assert viewer.close_code() == websocket.NO_STATUS_RECEIVED


@pytest.mark.parametrize("opcode", [websocket.PING, websocket.PONG])
@pytest.mark.parametrize("more", AROUND)
def test_the_burst_of_control_frames(
    neighbour: None, server: BackgroundServer, more: int, opcode: int
) -> None:
    with OnWebSocket(server.address) as viewer:
        viewer.socket.sendall(masked(opcode, b"") * (BURST - 1 + more))
        viewer.send(websocket.CLOSE, b"")
        assert viewer.close_code() == websocket.NO_STATUS_RECEIVED


@pytest.mark.parametrize("more", AROUND)
def test_the_number_of_fragments(neighbour: None, server: BackgroundServer, more: int) -> None:
    most = websocket.MAX_FRAGMENTS + MOST_PAYLOAD // 1024
    with OnWebSocket(server.address) as viewer:
        tiny = masked(websocket.CONTINUATION, b"a", final=False) * (most - 1 + more)
        viewer.socket.sendall(masked(websocket.TEXT, b'42["x","', final=False) + tiny)
        if more <= 0:
            viewer.send(websocket.CONTINUATION, b'"]')
        check(viewer, None if more <= 0 else websocket.POLICY_VIOLATION)


@pytest.mark.parametrize("size", [MOST_PAYLOAD + 1, 2**31, 2**62])
def test_a_message_is_refused_by_its_announcement(
    neighbour: None, server: BackgroundServer, size: int
) -> None:
    """Nothing of it needs to come, and nothing is kept."""
    with OnWebSocket(server.address) as viewer:
        head = (
            b"\x81\xfe" + size.to_bytes(2, "big")
            if size < 65_536
            else b"\x81\xff" + size.to_bytes(8, "big")
        )
        viewer.socket.sendall(head + bytes(4))
        assert viewer.close_code() == websocket.MESSAGE_TOO_BIG


@pytest.mark.parametrize("more", AROUND)
def test_the_size_of_a_posts_announcement(server: BackgroundServer, more: int) -> None:
    """A body that is too large is refused when that much has come, not at its end."""
    viewer = OnPolling(server.address)
    with Connection(server.address) as line:
        head = f"POST {viewer.path} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Length: {MOST_PAYLOAD * 1000}\r\n\r\n"
        line.socket.sendall(head.encode() + b"a" * (MOST_PAYLOAD + more))
        if more > 0:
            assert b" 413 " in line.take_until(b"\r\n")
    assert viewer.is_alive() is (more <= 0)


# Time


def test_who_joins_nothing_is_cut(hasty: BackgroundServer) -> None:
    with OnWebSocket(hasty.address, join=False) as viewer:
        assert viewer.close_code() == websocket.POLICY_VIOLATION
    polling = OnPolling(hasty.address, join=False)
    while (packet := polling.get()[1]) == b"2":
        pass
    assert packet == b"1"
    assert not polling.is_alive()


def test_who_does_not_answer_a_ping_is_cut(hasty: BackgroundServer) -> None:
    with OnWebSocket(hasty.address) as viewer:
        assert viewer.hear() == b"2"
        assert viewer.close_code() == websocket.POLICY_VIOLATION
    polling = OnPolling(hasty.address)
    while polling.get()[1] == b"2":
        pass
    assert not polling.is_alive()


@pytest.mark.parametrize("path", [WEBSOCKET, "/events"])
def test_who_reads_nothing_is_cut(hasty: BackgroundServer, path: str) -> None:
    """There is more to tell than all buffers on the way hold."""
    for number in range(70):
        put(hasty, f"large/{number}", json.dumps({"text": "☁" * 20_000}).encode())
    before = hasty.server.hub.viewers
    with Connection(hasty.address, 4_096) as line:
        head = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE if path == WEBSOCKET)
        line.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
        if path == WEBSOCKET:
            line.socket.sendall(
                masked(websocket.TEXT, b"40")
                + masked(websocket.TEXT, b'42["watch",{"devices":["*"]}]')
            )
        line.take(1)
        while hasty.server.hub.viewers > before:
            put(hasty, "small", json.dumps({"viewers": hasty.server.hub.viewers}).encode())
        assert line.ended()


# Origins and hosts


def answers(address: str, headers: list[tuple[str, str]], host: str | None) -> dict[str, int]:
    """The status that each transport answers with; 101 counts as 200."""
    kind = [("Content-Type", "application/json")]
    said = {
        "polling": request(address, "GET", POLLING, b"", headers, host)[0],
        "websocket": request(address, "GET", WEBSOCKET, b"", [*HANDSHAKE, *headers], host)[0],
        "events": request(address, "GET", "/events", b"", headers, host)[0],
        "put": request(address, "PUT", "/api/devices/pillow", b"{}", [*kind, *headers], host)[0],
        "message": request(
            address, "POST", "/api/messages", b'{"device":"a","state":{}}', [*kind, *headers], host
        )[0],
    }
    return {name: 200 if status in (101, 202) else status for name, status in said.items()}


ORIGINS = {
    "none": ([], 200),
    "its own": (["http://localhost:8000"], 200),
    "its own, loud": (["HTTP://LOCALHOST:8000"], 200),
    "its own, over a proxy's TLS": (["https://localhost:8000"], 200),
    "null": (["null"], 403),
    "empty": ([""], 403),
    "a star": (["*"], 403),
    "foreign": (["http://evil.example"], 403),
    "another port": (["http://localhost:8001"], 403),
    "no port": (["http://localhost"], 403),
    "another name of the same host": (["http://127.0.0.1:8000"], 403),
    "its own in front": (["http://localhost:8000.evil.example"], 403),
    "its own at the end": (["http://evil-localhost:8000"], 403),
    "its own as a user": (["http://localhost:8000@evil.example"], 403),
    "with a path": (["http://localhost:8000/"], 403),
    "another scheme": (["file://localhost:8000"], 403),
    "a list": (["http://localhost:8000, http://evil.example"], 403),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_origins(server: BackgroundServer, origin: str) -> None:
    values, status = ORIGINS[origin]
    said = answers(server.address, [("Origin", value) for value in values], "localhost:8000")
    assert set(said.values()) == {status}, said


def test_an_origin_that_is_named_may_read_and_watch(server: BackgroundServer) -> None:
    """It may do what the server's own pages may."""
    said = answers(server.address, [("Origin", "https://friend.example")], "localhost:8000")
    assert said == {"polling": 200, "websocket": 200, "events": 200, "put": 200, "message": 200}


def test_two_origins_are_none(server: BackgroundServer) -> None:
    said = answers(
        server.address,
        [("Origin", "http://localhost"), ("Origin", "http://localhost")],
        "localhost",
    )
    assert all(status in (400, 403) for status in said.values()), said


HOSTS = {
    "localhost": 200,
    "LOCALHOST:8000": 200,
    "127.0.0.1": 200,
    "127.0.0.1:1": 200,
    "[::1]:8000": 200,
    "pillow.example": 200,
    "pillow.example.:80": 200,
    "evil.example": 421,
    "localhost.evil.example": 421,
    "127.0.0.1.evil.example": 421,
    "192.0.2.1": 421,
    "not-pillow.example": 421,
    "a.pillow.example": 421,
    "": 400,
    "localhost, localhost": 400,
    "localhost:x": 400,
    "user@localhost": 400,
}


OF_THIS_MACHINE = {"events", "put", "message"}
"""Under a name that is not this machine's loopback, who asks counts as another machine."""


@pytest.mark.parametrize("host", [*HOSTS, None])
def test_hosts(server: BackgroundServer, host: str | None) -> None:
    said = answers(server.address, [], host)
    status = 400 if host is None else HOSTS[host]
    is_named = host is not None and status == 200 and host.startswith("pillow.example")
    expected = {name: 401 if is_named and name in OF_THIS_MACHINE else status for name in said}
    assert said == expected


# What a siege costs


def half_a_message(address: str) -> Connection:
    """It never ends."""
    viewer = OnWebSocket(address)
    viewer.send(websocket.TEXT, b'42["x","' + b"a" * 60_000, final=False)
    viewer.socket.sendall(masked(websocket.CONTINUATION, b"a" * 5_000)[:-1])
    return viewer


def half_an_event(address: str) -> Connection:
    """Its last attachment never comes."""
    viewer = OnWebSocket(address)
    places = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(10))
    viewer.say(f'4510-["x",{places}]')
    for _ in range(9):
        viewer.send(websocket.BINARY, b"a" * 7_000)
    return viewer


def tiny_fragments(address: str) -> Connection:
    viewer = OnWebSocket(address)
    viewer.socket.sendall(masked(websocket.TEXT, b"4", final=False))
    viewer.socket.sendall(masked(websocket.CONTINUATION, b"2", final=False) * 300)
    return viewer


def many_patterns(address: str) -> Connection:
    """As long a list as there may be, and nobody else's; then nothing is read."""
    viewer = OnWebSocket(address, 4_096)
    own = str(viewer.socket.getsockname()[1])
    patterns = ["*", *(f"{own}/{number:040}" for number in range(990))]
    viewer.say(f'42["watch",{json.dumps({"devices": patterns})}]')
    return viewer


def many_questions(address: str) -> Connection:
    """Everything again and again, of which nothing is read."""
    viewer = OnWebSocket(address, 4_096)
    for number in range(40):
        viewer.say(f'42["watch",{{"devices":["*","a{number}"]}}]')
    return viewer


def a_stream(address: str) -> Connection:
    """Everything, of which nothing is read."""
    line = Connection(address, 4_096)
    own = line.socket.getsockname()[1]
    line.socket.sendall(
        f"GET /events?device=*&device=a{own} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    line.take(1)
    return line


def half_a_post(address: str) -> Connection:
    """Its body never ends; and what was asked for on the session is not fetched."""
    viewer = OnPolling(address)
    for number in range(5):
        viewer.post(f'42["watch",{{"devices":["*","a{number}"]}}]'.encode())
    line = Connection(address)
    head = f"POST {viewer.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n"
    line.socket.sendall(head.encode() + b"a" * 65_000)
    return line


SIEGES = [
    half_a_message,
    half_an_event,
    tiny_fragments,
    many_patterns,
    many_questions,
    a_stream,
    half_a_post,
]


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A process of its own, so that its memory is its own; with 4 MB of states."""
    folder: Path = tmp_path_factory.mktemp("besieged")
    running = ServerProcess(folder, "--port", "0")
    kind = [("Content-Type", "application/json")]
    for number in range(70):
        body = json.dumps({"text": "☁" * 20_000}).encode()
        assert request(running.address, "PUT", f"/api/devices/large/{number}", body, kind)[0] == 200
    yield running
    running.kill()


@pytest.mark.parametrize("siege", SIEGES)
def test_a_hostile_viewer_costs_so_much(
    besieged: ServerProcess, siege: Callable[[str], Connection]
) -> None:
    process = psutil.Process(besieged.process.pid)
    with OnWebSocket(besieged.address) as neighbour, siege(besieged.address):
        # given a neighbour, and what the process has when one such viewer is there already
        assert neighbour.ask("watch", {"devices": ["neighbour"]})
        before = process.memory_info().rss
        # when many more do it
        hostile = [siege(besieged.address) for _ in range(HOSTILE)]
        # then the neighbour is answered (after all that was sent before it), in bounded memory
        assert neighbour.ask("watch", {"devices": ["neighbour"]})
        grown = process.memory_info().rss - before
        for viewer in hostile:
            viewer.socket.close()
        assert grown < HOSTILE * PER_HOSTILE, f"{grown / HOSTILE:.0f} bytes each"
