"""Bytes on a viewer's connection in an hour, at three typical sites.

Two viewers each with protocol 1 and 2, plain and compressed, watch the same devices, with the
health of the server, as the page does: by WebSocket, by server-sent events and by long polling. An
hour is the first states, the changes of an hour at what one of them costs, and the beats of an hour
at the pace of some idle seconds. Only what the server sends counts, heads of responses included.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks import servers, traffic_viewers
from benchmarks.latency import sending
from benchmarks.report import Row
from benchmarks.traffic_viewers import CountingViewer
from statecast.sources.embedded_queue import EmbeddedQueue

Variant = tuple[str, int, bool]
"""Transport, protocol, compressed."""
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
        viewers: dict[Variant, CountingViewer] = {}
        for variant in product(traffic_viewers.KINDS, (1, 2), (False, True)):
            for _ in range(2):  # who is alone gets nothing compressed
                kind, protocol, compressed = variant
                viewer = traffic_viewers.KINDS[kind](server.port, protocol, compressed)
                viewers[variant] = stack.enter_context(closing(viewer))
        traffic_viewers.read_all(viewers.values(), 1)
        first = sizes(viewers)
        begin = time.monotonic()
        traffic_viewers.read_all(viewers.values(), idle)
        beats = sizes(viewers)
        per_hour = 3600 / (time.monotonic() - begin)
        changed = change(site, queue, viewers)
        pause = CHANGES * PAUSE
    return [
        Row(
            f"{site.name}: {kind}, protocol {protocol}{', compressed' if compressed else ''}",
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
        for variant in viewers
        for kind, protocol, compressed in [variant]
    ]


def sizes(viewers: dict[Variant, CountingViewer]) -> dict[Variant, int]:
    return {variant: viewer.taken() for variant, viewer in viewers.items()}


def change(
    site: TrafficSite, queue: EmbeddedQueue, viewers: dict[Variant, CountingViewer]
) -> dict[Variant, int]:
    """Bytes of some changes, one after the other."""
    for number in range(CHANGES):
        queue.send_many([message(site, number % site.devices, 1_000 + number)])
        traffic_viewers.read_all(viewers.values(), PAUSE)
    traffic_viewers.read_all(viewers.values(), 0.3)
    return sizes(viewers)


def message(site: TrafficSite, device: int, number: int) -> bytes:
    return json.dumps({"device": f"site/room{device}", "state": site.state(number)}).encode()
