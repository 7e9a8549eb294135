"""``Type=notify``: real server processes, and the socket that systemd would read."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess

WATCHDOG = {"WATCHDOG_USEC": "200000"}


class Reports:
    """What arrives, with the process that the kernel names as the sender."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(path))
        self.socket.settimeout(60)
        self.senders: set[int] = set()

    def read(self) -> dict[str, str]:
        message, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
        ((_, _, credentials),) = ancillary
        self.senders.add(struct.unpack("iII", credentials)[0])
        return dict(line.split("=", 1) for line in message.decode().splitlines())

    def until(self, name: str) -> list[str]:
        """The names of what arrives, up to the first of that name."""
        names: list[str] = []
        while name not in names:
            names += self.read()
        return names


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    one = Reports(tmp_path / "notify")
    yield one
    one.socket.close()


@pytest.fixture
def started(tmp_path: Path, reports: Reports) -> Iterator[list[ServerProcess]]:
    running: list[ServerProcess] = []
    yield running
    for one in running:
        one.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_reports_its_life(
    workers: str, tmp_path: Path, reports: Reports, started: list[ServerProcess]
) -> None:
    # when a server starts under a manager that watches it
    options = ("--port", "0", "--workers", workers)
    server = ServerProcess(tmp_path, *options, NOTIFY_SOCKET=str(reports.path), **WATCHDOG)
    started.append(server)
    # then it is ready, and says where
    assert reports.read() == {"READY": "1", "STATUS": f"Serving at {server.address}"}
    # and alive, again and again
    assert [reports.read() for _ in range(3)] == [{"WATCHDOG": "1"}] * 3
    # when it is asked to stop, then it says so, and nothing after it
    server.process.send_signal(signal.SIGTERM)
    assert set(reports.until("STOPPING")) - {"WATCHDOG"} == {"STOPPING", "STATUS"}
    assert server.terminate() == 143
    # and all of it came from the process that the manager started
    assert reports.senders == {server.process.pid}


def test_without_a_watchdog_it_is_ready_and_stops(
    tmp_path: Path, reports: Reports, started: list[ServerProcess]
) -> None:
    server = ServerProcess(tmp_path, "--port", "0", NOTIFY_SOCKET=str(reports.path))
    started.append(server)
    server.terminate()
    assert [set(reports.read()) for _ in range(2)] == [{"READY", "STATUS"}, {"STOPPING", "STATUS"}]
