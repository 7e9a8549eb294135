"""Stands between a client and PostgreSQL: cuts a connection at its COMMIT, or delays what passes.

Rule: a delay is one way, and does not hold back what follows: a slow network, not a narrow one.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from enum import Enum

COMMIT = b"COMMIT\0"


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
        """How the next connection that commits is cut; once."""
        self.cuts = 0
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
                link = Link()
                self._start(self._pass_requests, client, server, link)
                self._start(self._pass_answers, server, client, link)

    def _pass_requests(self, client: socket.socket, server: socket.socket, link: Link) -> None:
        with Lane(server, self.delay, self._start) as lane, suppress(OSError):
            while data := client.recv(65_536):
                if self.cut is not None and COMMIT in data:
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
                if not link.is_deaf.is_set():
                    lane.put(data)
                elif b"COMMIT\0" in data:  # the tag of the answer
                    break
        end(client)
        end(server)


class Link:
    """One connection."""

    def __init__(self) -> None:
        self.is_deaf = threading.Event()


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
