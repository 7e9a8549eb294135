"""The viewers: thousands of connections in a process of its own, read by a bare epoll loop.

The generator must not be the bottleneck, so it does little: a connection that has joined is read
into one buffer and its bytes are counted. A group is the viewers of one server. Commands have the
format of peers/.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import client_frames, report
from benchmarks.processes import answer, raise_file_limit

AT_ONCE = 100
"""Connections that are opened at the same time."""
WINDOW = 0.5
"""Seconds over which it is said how busy this process was."""
AT_ONCE_IN_A_STORM = 2_000
"""The same when all come back at once: about what a listening socket lets wait."""
CUT = struct.pack("ii", 1, 0)
"""SO_LINGER that resets at close, because sockets in TIME_WAIT slow down the next benchmark."""


class Group:
    """The viewers of one server."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.bytes = 0
        self.updates = 0
        self.writes = 0
        self.latencies: list[float] = []
        self.lost = 0
        self.hears = "bytes"
        self.tls: ssl.SSLContext | None = None

    def take(self, data: memoryview) -> None:
        """Process received data if updates or latencies are counted."""
        text = bytes(data)
        if self.hears == "updates":
            self.updates += text.count(client_frames.UPDATE)
            self.writes += text.count(client_frames.WRITE)
        else:
            now = time.monotonic_ns() // 1000
            self.latencies += [now - sent for sent in client_frames.times(text)]


class Connection:
    """One viewer until it is open: texts to send, each after an expected response."""

    def __init__(self, group: Group, sock: socket.socket, steps: list[tuple[bytes, bytes]]) -> None:
        self.group = group
        self.socket = sock
        self.steps = steps
        self.heard = b""
        self.advance()

    def advance(self) -> None:
        if self.steps:
            self.socket.send(self.steps[0][0])

    def take(self, data: bytes) -> bool:
        """Process received data; whether all steps are done."""
        self.heard = self.heard[-1_000:] + data  # an answer may have a hundred megabytes
        if self.steps and self.steps[0][1] in self.heard:
            self.heard = b""
            self.steps = self.steps[1:]
            self.advance()
        return not self.steps


class Load:
    """How busy this process was, at most, in any half second that only read."""

    def __init__(self) -> None:
        self.busiest = 0.0
        """A share of the time; what another process takes of the core counts, too."""
        self._begin(time.monotonic())

    def _begin(self, now: float) -> None:
        self._began, self._waited, self._connects = now, 0.0, False

    def note(self, waited: float, now: float, *, connects: bool) -> None:
        """After a turn of the loop that waited so long, and ended now."""
        self._waited += waited
        self._connects |= connects
        if (took := now - self._began) >= WINDOW:
            if not self._connects:
                self.busiest = max(self.busiest, 1 - self._waited / took)
            self._begin(now)


class Generator:
    """The event loop."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.epoll = select.epoll()
        self.epoll.register(0, select.EPOLLIN)
        self.opening: dict[int, Connection] = {}
        self.open: dict[int, tuple[Callable[[memoryview], int], Group]] = {}
        self.buffer = memoryview(bytearray(1 << 18))
        self.commands = b""
        self.load = Load()

    def run(self) -> None:
        while self.turn(1.0):
            while b"\n" in self.commands:
                line, _, self.commands = self.commands.partition(b"\n")
                command = json.loads(line)
                try:
                    answer(**getattr(self, f"do_{command.pop('do')}")(**command))
                except OSError as error:
                    answer(error=str(error))

    def turn(self, timeout: float) -> bool:
        """Read what has arrived; False at the end of the commands."""
        began = time.monotonic()
        found = self.epoll.poll(timeout, 4096)
        now = time.monotonic()
        self.load.note(now - began, now, connects=bool(self.opening))
        for handle, _ in found:
            if handle in self.open:
                self.read(handle)
            elif handle in self.opening:
                self.progress(handle)
            elif handle == 0:
                piece = os.read(0, 65_536)
                self.commands += piece
                if not piece:
                    return False
        return True

    def read(self, handle: int) -> None:
        receive, group = self.open[handle]
        try:
            size = receive(self.buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            size = 0
        if not size:
            group.lost += 1
            self.epoll.unregister(handle)
            del self.open[handle]
            return
        group.bytes += size
        if group.hears != "bytes":
            group.take(self.buffer[:size])
        if group.tls is not None:
            self.read(handle)  # epoll does not know of what is decrypted already

    def progress(self, handle: int) -> None:
        connection = self.opening[handle]
        try:
            data = connection.socket.recv(65_536)
        except ssl.SSLWantReadError:
            return
        if not data:
            raise ConnectionError(
                f"a viewer was sent away after it had heard {connection.heard[-200:]!r}"
            )
        if connection.take(data):
            del self.opening[handle]
            self.open[handle] = (connection.socket.recv_into, connection.group)

    # The commands

    def do_connect(
        self,
        group: str,
        port: int,
        viewers: int,
        raw: bool = False,
        query: str = "",
        numbers: list[int] | None = None,
        certificate: str = "",
        opening: list[list[str]] | None = None,
    ) -> dict[str, Any]:
        """Connect viewers, at most ``AT_ONCE`` at a time. Raw ones are open when connected.

        ``numbers``: of the viewers, for the ``{}`` in ``query``. With the file of a ``certificate``
        over TLS, each with a handshake of its own. ``opening``: what each sends and waits for, if
        not the handshake of Socket.IO.
        """
        members = self.groups.setdefault(group, Group())
        if certificate:
            members.tls = ssl.create_default_context(cafile=certificate)
        begin = time.monotonic()
        for number in numbers or range(viewers):
            steps = [
                (client_frames.upgrade(port, query.format(number)), b'"sid"'),
                (client_frames.text_frame(client_frames.JOIN), b"40{"),
            ]
            if opening is not None:
                steps = [(one.encode("latin-1"), other.encode()) for one, other in opening]
            while len(self.opening) >= AT_ONCE:
                self.turn(10)
            sock = socket.create_connection(("127.0.0.1", port))
            if members.tls is not None:
                sock = members.tls.wrap_socket(sock, server_hostname="127.0.0.1")
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
            members.sockets.append(sock)
            self.epoll.register(sock, select.EPOLLIN)
            if raw:
                self.open[sock.fileno()] = (sock.recv_into, members)
            else:
                self.opening[sock.fileno()] = Connection(members, sock, steps)
        return self._settle(begin)

    def do_watch(
        self,
        group: str,
        patterns: list[str],
        numbers: list[int] | None = None,
        protocol: int = 1,
    ) -> dict[str, Any]:
        """Let all viewers of the group watch; answer when each has the current states.

        ``numbers``: of the viewers, for the ``{}`` in ``patterns``.
        """
        members = self.groups[group]
        begin = time.monotonic()
        for number, sock in zip(numbers or range(len(members.sockets)), members.sockets):
            wanted = [pattern.format(number) for pattern in patterns]
            while len(self.opening) >= AT_ONCE:
                self.turn(10)
            del self.open[sock.fileno()]
            self.opening[sock.fileno()] = Connection(
                members, sock, [(client_frames.watch(wanted, protocol), b'"complete":true')]
            )
        return self._settle(begin)

    def do_storm(self, group: str, port: int, patterns: list[str]) -> dict[str, Any]:
        """Cut all viewers of the group, and bring all of them back at once.

        ``seconds`` until each has joined and has the current states again.
        """
        members = self.groups[group]
        steps = [
            (client_frames.upgrade(port), b'"sid"'),
            (client_frames.text_frame(client_frames.JOIN), b"40{"),
            (client_frames.watch(patterns), b'"complete":true'),
        ]
        begin = time.monotonic()
        for sock in members.sockets:
            del self.open[sock.fileno()]
            self.epoll.unregister(sock)
            sock.close()
        number, members.sockets = len(members.sockets), []
        for _ in range(number):
            while len(self.opening) >= AT_ONCE_IN_A_STORM:
                self.turn(10)
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
            members.sockets.append(sock)
            self.epoll.register(sock, select.EPOLLIN)
            self.opening[sock.fileno()] = Connection(members, sock, steps)
        self._settle(begin)
        return {"seconds": time.monotonic() - begin}

    def _settle(self, begin: float) -> dict[str, Any]:
        while self.opening:
            if time.monotonic() - begin > 120:
                raise TimeoutError(f"{len(self.opening)} viewers are not through after two minutes")
            self.turn(1)
        return {"seconds": time.monotonic() - begin}

    def do_count(self, group: str, what: str) -> dict[str, Any]:
        """Count ``bytes``, ``updates`` or ``latencies`` of the group, from zero."""
        members = self.groups[group]
        members.bytes = members.updates = members.writes = 0
        members.latencies = []
        members.hears = what
        return {}

    def do_counts(self, group: str) -> dict[str, Any]:
        members = self.groups[group]
        return {
            "bytes": members.bytes,
            "updates": members.updates,
            "writes": members.writes,
            "lost": members.lost,
            "at": time.monotonic(),
        }

    def do_wait(self, group: str, size: int, seconds: float) -> dict[str, Any]:
        """Wait until the group has received a number of bytes; ``at`` is the time."""
        members = self.groups[group]
        deadline = time.monotonic() + seconds
        while members.bytes < size and time.monotonic() < deadline:
            self.turn(0.05)
        return self.do_counts(group)

    def do_quiet(self, group: str) -> dict[str, Any]:
        """Wait until the group has received nothing for 0.2 s."""
        members = self.groups[group]
        before = -1
        while before != members.bytes:
            before, end = members.bytes, time.monotonic() + 0.2
            while (left := end - time.monotonic()) > 0:
                self.turn(left)
        return self.do_counts(group)

    def do_latencies(self, group: str) -> dict[str, Any]:
        """The latencies in ms."""
        ordered = sorted(latency / 1000 for latency in self.groups[group].latencies)
        if not ordered:
            return {"count": 0}
        shares = {"p50": 0.5, "p99": 0.99}
        return {
            "count": len(ordered),
            **{name: report.percentile(ordered, share) for name, share in shares.items()},
        }

    def do_busiest(self) -> dict[str, Any]:
        return {"share": self.load.busiest}

    def do_close(self, group: str) -> dict[str, Any]:
        for sock in self.groups.pop(group, Group()).sockets:
            if self.open.pop(sock.fileno(), None):
                self.epoll.unregister(sock)
            sock.close()
        return {}


if __name__ == "__main__":
    raise_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        Generator().run()
    sys.exit(0)
