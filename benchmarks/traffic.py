"""Bytes on a viewer's connection in an hour, at three typical sites.

Two viewers each with protocol 1 and 2, plain and compressed (permessage-deflate), watch the same
devices, with the health of the server, as the page does. An hour is the first states, the changes
of an hour at what one of them costs, and the beats of an hour at the pace of some idle seconds.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks import client_frames, servers
from benchmarks.latency import sending
from benchmarks.processes import BenchmarkError
from benchmarks.report import Row
from statecast.sources.embedded_queue import EmbeddedQueue

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
CHANGES = 30
"""That are measured."""
PAUSE = 0.06
"""Seconds between two of them, so that each is sent by itself."""


@dataclass(frozen=True)
class TrafficSite:
    """Devices, and how often one of them changes."""

    name: str
    devices: int
    state: Callable[[int], dict[str, Any]]
    """By the number of the change."""
    changes_per_hour: int


def room(number: int) -> dict[str, Any]:
    return {
        "temperature": 18 + number % 70 / 10,
        "humidity": 30 + number * 7 % 30,
        "door": "open" if number % 5 else "closed",
        "battery": 100 - number % 60,
    }


def machine(number: int) -> dict[str, Any]:
    """20 KB, of which one number changes."""
    readings = {f"sensor{one}": {"value": one * 37 % 1_000, "unit": "bar"} for one in range(60)}
    return {f"part{part}": readings for part in range(9)} | {"speed": number}


SITES = (
    TrafficSite("a home: 20 devices, a change every 30 s", 20, room, 120),
    TrafficSite("a building: 500 devices, a change every second", 500, room, 3_600),
    TrafficSite("a machine: one state of 20 KB, a change every 5 s", 1, machine, 720),
)


def rows(quick: bool) -> list[Row]:
    return [row for site in SITES for row in rows_of(site, 3 if quick else 15)]


def rows_of(site: TrafficSite, idle: float) -> list[Row]:
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        server = stack.enter_context(servers.serving(servers.OURS, folder))
        queue = stack.enter_context(sending(folder))
        queue.send_many([message(site, number, number) for number in range(site.devices)])
        time.sleep(1)
        variants: dict[tuple[int, bool], CountingViewer] = {}
        for protocol, deflate in product((1, 2), (False, True)):
            for _ in range(2):  # who is alone gets nothing compressed
                viewer = stack.enter_context(
                    closing(CountingViewer(server.port, protocol, deflate))
                )
                variants[protocol, deflate] = viewer
        first = {variant: viewer.read(1) for variant, viewer in variants.items()}
        begin = time.monotonic()
        time.sleep(idle)
        beats = {variant: viewer.read(0) for variant, viewer in variants.items()}
        per_hour = 3600 / (time.monotonic() - begin)
        changed = change(site, queue, variants)
        pause = CHANGES * PAUSE
    return [
        Row(
            f"{site.name}: protocol {protocol}{', compressed' if deflate else ''}",
            (
                first[variant]
                + beats[variant] * per_hour
                + max(0.0, changed[variant] - beats[variant] * pause * per_hour / 3600)
                / CHANGES
                * site.changes_per_hour
            )
            / 1000,
            "KB a viewer and hour",
            note=f"first states {first[variant] / 1000:,.1f} KB".replace(",", " "),
        )
        for variant in variants
        for protocol, deflate in [variant]
    ]


def change(
    site: TrafficSite, queue: EmbeddedQueue, variants: dict[tuple[int, bool], CountingViewer]
) -> dict[tuple[int, bool], int]:
    """Bytes of some changes, one after the other."""
    for number in range(CHANGES):
        queue.send_many([message(site, number % site.devices, 1_000 + number)])
        time.sleep(PAUSE)
    return {variant: viewer.read(0.3) for variant, viewer in variants.items()}


def message(site: TrafficSite, device: int, number: int) -> bytes:
    return json.dumps({"device": f"site/room{device}", "state": site.state(number)}).encode()


class CountingViewer:
    """A viewer that counts bytes."""

    def __init__(self, port: int, protocol: int, deflate: bool) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        head = client_frames.upgrade(port)
        self._socket.sendall(head[:-2] + (OFFER if deflate else b"") + b"\r\n")
        self._expect(b'"sid"')
        self._socket.sendall(client_frames.text_frame(client_frames.JOIN))
        self._expect(b"40{")
        request = {"devices": ["*"], "protocol": protocol, "health": True}
        self._socket.sendall(client_frames.text_frame("420" + json.dumps(["watch", request])))

    def _expect(self, text: bytes) -> None:
        found = b""
        while text not in found:
            piece = self._socket.recv(65_536)
            if not piece:
                raise BenchmarkError(f"a viewer was sent away after {found[-200:]!r}")
            found += piece

    def read(self, seconds: float) -> int:
        """Bytes that are there, or come until none has come for so long."""
        size = 0
        while select.select([self._socket], [], [], seconds)[0]:
            piece = len(self._socket.recv(1 << 20))
            if not piece:
                raise BenchmarkError("a viewer was sent away")
            size += piece
        return size

    def close(self) -> None:
        self._socket.close()
