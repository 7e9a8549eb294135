"""Ends of a real process: whatever clients do, it ends in time, and its status is true."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from server_process import ADDRESS, ENVIRONMENT, ServerProcess

pytestmark = pytest.mark.bare

APP = """
import time
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app, store="sqlite:///{folder}/statecast.db", port=0, {settings})

@app.get("/endless")
def endless():
    def pieces():
        while True:
            yield "tick\\n"
            time.sleep(0.05)
    return pieces()

@app.get("/flood")
def flood():
    def pieces():
        while True:
            yield "a" * 65536
    return pieces()

@app.post("/take")
def take():
    return "taken"

@app.get("/stuck")
def stuck():
    print("stuck", flush=True)
    time.sleep(3600)

if __name__ == "__main__":
    live.run(app)
"""
LIMIT = 10.0
"""Seconds in which it has ended, with the drain of 5 that is the default."""


class CommandGroup:
    """The user's program as a process."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        file = folder / "app.py"
        file.write_text(APP.format(folder=folder, settings=settings))
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        command = [sys.executable, str(file)]
        self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, text=True, **streams)
        assert self.process.stdout
        found = ADDRESS.search(self.process.stdout.readline())
        assert found
        self.port = int(found[0].rpartition(":")[2])
        self.peers: list[socket.socket] = []

    def say(self, data: bytes, until: bytes | None = None) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.peers.append(peer)
        peer.sendall(data)
        heard = b""
        while until is not None and until not in heard:
            heard += (piece := peer.recv(65_536))
            assert piece, heard
        return peer

    def end(self) -> None:
        for peer in self.peers:
            peer.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[CommandGroup]:
    one = CommandGroup(tmp_path)
    yield one
    one.end()


def request(path: str, more: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def besiege(program: CommandGroup) -> None:
    """Everything that once kept a server from stopping, at the same time."""
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    program.say(request("/endless"), b"tick")
    program.say(request("/flood"), b"aaaa")  # a frozen reader from now on
    program.say(request("/take", "Content-Length: 10\r\n", "POST") + b"half")
    program.say(request("/events"), b"text/event-stream")
    program.say(
        request("/socket.io/?EIO=4&transport=websocket", upgrade), b"maxPayload"
    )  # answers no close frame
    program.say(b"GET / HT")
    program.say(b"")
    program.say(request("/stuck"))
    assert program.process.stdout
    assert program.process.stdout.readline() == "stuck\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_in_time_whatever_holds_it(program: CommandGroup, number: int, status: int) -> None:
    besiege(program)
    program.process.send_signal(number)
    assert program.process.wait(LIMIT) == status


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """With a drain of its longest it would take half a minute."""
    program = CommandGroup(tmp_path, "shutdown_timeout=25")
    try:
        besiege(program)
        program.process.send_signal(signal.SIGTERM)
        while True:  # until the first has been heard
            peer = program.say(request("/readyz"))
            if b" 503 " in peer.recv(1_000):
                break
        program.process.send_signal(signal.SIGINT)
        assert program.process.wait(LIMIT) == 130
    finally:
        program.end()


def test_without_anybody_it_ends_at_once_and_can_be_started_again(tmp_path: Path) -> None:
    for _ in range(2):
        running = ServerProcess(tmp_path, "--port", "0", "--demo")
        try:
            assert running.terminate() == 143
        finally:
            running.kill()
        assert "Traceback" not in "".join(running.output)


def test_several_processes_end_together(tmp_path: Path) -> None:
    running = ServerProcess(tmp_path, "--port", "0", "--workers", "2")
    try:
        children = psutil.Process(running.process.pid).children()
        assert len(children) == 2
        assert running.terminate(signal.SIGINT) == 130
        assert not psutil.wait_procs(children, timeout=10)[1]
    finally:
        running.kill()


def test_a_header_of_100_mb_leaves_the_memory_flat(program: CommandGroup) -> None:
    memory = psutil.Process(program.process.pid).memory_info
    before = memory().rss
    peer = program.say(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    try:
        for _ in range(100):
            peer.sendall(b"a" * 1_000_000)
            assert memory().rss - before < 20_000_000
    except OSError:
        pass  # it does not listen for ever
    assert b" 431 " in peer.recv(1_000)
