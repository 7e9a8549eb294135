"""Reports to the service manager: what is sent, to where, and that nothing can go wrong with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.server.service_manager import ServiceManager, from_environment

pytestmark = pytest.mark.bare


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that systemd would read."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.settimeout(30)
        yield one


def test_each_report_is_one_datagram(reports: socket.socket) -> None:
    # given a manager that watches us
    manager = from_environment({"NOTIFY_SOCKET": reports.getsockname(), "WATCHDOG_USEC": "3000000"})
    # when all is reported
    manager.ready("Live")
    assert manager.watchdog is not None
    manager.watchdog.feed()
    manager.stopping()
    # then each arrives in the manager's words
    assert [reports.recv(99) for _ in range(3)] == [
        b"READY=1\nSTATUS=Live",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=Stopping",
    ]
    # and the watchdog is fed twice in the time that it allows
    assert manager.watchdog.interval == 1.5


def test_an_abstract_address() -> None:
    name = f"statecast-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reports:
        reports.bind(f"\0{name}")
        reports.settimeout(30)
        from_environment({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert reports.recv(99) == b"WATCHDOG=1"


def test_what_we_start_has_no_manager_of_its_own() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/x",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "PATH": "/bin",
    }
    from_environment(environ)
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, 0.0),  # meant for another process
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_whether_the_watchdog_is_ours(environ: dict[str, str], seconds: float) -> None:
    assert from_environment({"NOTIFY_SOCKET": "/run/x", **environ}).watchdog_seconds == seconds


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative"])
def test_without_a_socket_we_are_not_watched(address: str) -> None:
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}
    assert from_environment(environ) == ServiceManager()
    assert ServiceManager().watchdog is None


def test_a_manager_that_is_gone_or_does_not_read_stops_nothing(
    tmp_path: Path, reports: socket.socket
) -> None:
    # given an address that leads nowhere, and one whose queue is full
    ServiceManager(str(tmp_path / "none")).ready("Live")
    full = ServiceManager(reports.getsockname())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                sender.sendto(b"x", reports.getsockname())
    # then a report to either returns
    full.alive()
