"""Stands between a client and PostgreSQL: cuts a connection at its COMMIT, or delays or counts what
passes.

Rule: a delay is one way, and does not hold back what follows: a slow network, not a narrow one.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from enum import Enum

from postgres_server import PostgresServer

BEGIN, READ_WRITE, COMMIT = b"BEGIN ", b"READ WRITE\0", b"COMMIT\0"
EXECUTE, FLUSH, SYNC, ROW = b"EHSD"
"""Types of messages: <https://www.postgresql.org/docs/current/protocol-message-formats.html>."""


class Cut(Enum):
    """Where a connection is cut."""

    BEFORE = "before the server receives COMMIT"
    AFTER = "after the server has committed, before the client learns of it"


class PostgresProxy:
    """Listens on loopback; ``url`` is that of the store through it."""

    def __init__(self, path: str, delay: float = 0.0) -> None:
        """``path`` is the server's socket, ``delay`` the seconds that each byte needs one way."""
        self.path = path
        self.delay = delay
        self.cut: Cut | None = None
        """How the next connection that commits a transaction which may write is cut; once."""
        self.cuts = 0
        self.sent = Messages()
        """What clients have sent. In a transaction they wait for answers after each FLUSH, the last
        of which follows the SYNC."""
        self.answered = Messages()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def url(self, database: str) -> str:
        port = self._server.getsockname()[1]
        options = "sslmode=disable&gssencmode=disable"
        return f"postgresql://statecast@127.0.0.1:{port}/{database}?{options}"

    def close(self) -> None:
        """Cut everything, and return when no thread is left."""
        for one in [self._server, *self._sockets]:
            end(one)
        for thread in list(self._threads):
            thread.join(10)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                try:
                    server.connect(self.path)
                except OSError:
                    end(client)
                    continue
                link = Link(self.sent.of_connection(has_start=True), self.answered.of_connection())
                self._start(self._pass_requests, client, server, link)
                self._start(self._pass_answers, server, client, link)

    def _pass_requests(self, client: socket.socket, server: socket.socket, link: Link) -> None:
        with Lane(server, self.delay, self._start) as lane, suppress(OSError):
            while data := client.recv(65_536):
                link.sent(data)
                link.see(data)
                if self.cut is not None and link.writes and COMMIT in data:
                    how, self.cut = self.cut, None
                    self.cuts += 1
                    if how is Cut.BEFORE:
                        break
                    link.is_deaf.set()  # answers are read from now on, and not passed
                lane.put(data)
        end(server)
        end(client)

    def _pass_answers(self, server: socket.socket, client: socket.socket, link: Link) -> None:
        with Lane(client, self.delay, self._start) as lane, suppress(OSError):
            while data := server.recv(65_536):
                link.answered(data)
                if not link.is_deaf.is_set():
                    lane.put(data)
                elif b"COMMIT\0" in data:  # the tag of the answer
                    break
        end(client)
        end(server)


class Link:
    """One connection."""

    def __init__(self, sent: Callable[[bytes], None], answered: Callable[[bytes], None]) -> None:
        self.sent = sent
        self.answered = answered
        self.is_deaf = threading.Event()
        self.writes = False
        """The transaction is one that may write: the others have nothing to commit."""

    def see(self, data: bytes) -> None:
        if BEGIN in data:
            self.writes = READ_WRITE in data


class Messages:
    """Counts the messages of one direction by their types, and their bytes."""

    def __init__(self) -> None:
        self.types: Counter[int] = Counter()
        self.bytes = 0
        self._lock = threading.Lock()

    def of_connection(self, has_start: bool = False) -> Callable[[bytes], None]:
        """What counts the messages of one connection; the first of a client has no type."""
        waiting, head = bytearray(), 0 if has_start else 1

        def count(data: bytes) -> None:
            nonlocal head
            waiting.extend(data)
            while len(waiting) >= head + 4:
                size = head + int.from_bytes(waiting[head : head + 4], "big")
                if len(waiting) < size:
                    break
                with self._lock:
                    self.types.update(waiting[:head])
                    self.bytes += size
                del waiting[:size]
                head = 1

        return count


class Lane:
    """One direction of a connection."""

    def __init__(self, target: socket.socket, delay: float, start: object) -> None:
        self._target = target
        self._delay = delay
        self._waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        if delay:
            start(self._send)  # type: ignore[operator]

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put((0.0, b""))

    def put(self, data: bytes) -> None:
        if self._delay:
            self._waiting.put((time.monotonic() + self._delay, data))
        else:
            self._target.sendall(data)

    def _send(self) -> None:
        with suppress(OSError):
            while (item := self._waiting.get())[1]:
                time.sleep(max(0.0, item[0] - time.monotonic()))
                self._target.sendall(item[1])


def end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def before(server: PostgresServer) -> closing[PostgresProxy]:
    """One before a server of the tests, for a block."""
    return closing(PostgresProxy(f"{server.folder}/.s.PGSQL.5432"))
