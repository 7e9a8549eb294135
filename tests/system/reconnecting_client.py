"""A stock client that reconnects whenever it is cut: python-socketio, in a process of its own.

    python reconnecting_client.py ADDRESS

It watches everything, by patches, and comes back whenever it is cut. It answers each line on
standard input with a report: ``{"states": ...}`` once it holds just those, ``{"joined": N}`` once
it has joined more than N times, ``{}`` at once. Its events are handled in the order in which they
come, as those of ``socketio.Client``, which handles each on a thread of its own, are not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from contextlib import suppress
from typing import Any

import socketio
from held_states import HeldStates

TIMEOUT = 60
PAUSE = 0.02
"""Seconds before the next attempt to connect."""


class ReconnectingClient:
    def __init__(self, address: str) -> None:
        self.address = address
        self.held = HeldStates()
        self.joined = 0
        self.changed = threading.Condition()

    def run(self) -> None:
        """Connect, and stay; on a thread of its own."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        # The library's own loop is not started when the connection is cut again before the last
        # attempt has ended; then the client would stay away for good.
        client = socketio.AsyncClient(reconnection=False)

        async def watch() -> None:
            with self.changed:
                self.joined += 1
                self.changed.notify_all()
                since = self.held.since
            await client.emit("watch", {"devices": ["*"], "protocol": 2, **since})

        client.on("connect", watch)
        client.on("states", self.take)
        while True:
            with suppress(socketio.exceptions.ConnectionError):
                await client.connect(self.address, transports=["websocket"], wait=False)
                await client.eio.wait()  # client.wait() would sleep for a second at each end
            await asyncio.sleep(PAUSE)

    def take(self, event: dict[str, Any]) -> None:
        with self.changed:
            self.held.apply(event)
            self.changed.notify_all()

    def report(self, wanted: dict[str, Any]) -> str:
        """Wait for what is wanted, or until patience ends; what there is."""
        with self.changed:
            self.changed.wait_for(lambda: self.has(wanted), TIMEOUT)
            facts = {
                "states": self.held.states,
                "joined": self.joined,
                "resets": self.held.resets,
                "overtaken": (self.held.overtaken + self.held.unfit)[:5],
            }
            return json.dumps(facts)

    def has(self, wanted: dict[str, Any]) -> bool:
        if "states" in wanted:
            return bool(self.held.states == wanted["states"])
        return self.joined > wanted.get("joined", -1)


if __name__ == "__main__":
    client = ReconnectingClient(sys.argv[1])
    threading.Thread(target=client.run, daemon=True).start()
    for line in sys.stdin:
        print(client.report(json.loads(line)), flush=True)
