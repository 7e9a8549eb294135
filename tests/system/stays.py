"""A stock client that stays through it all: python-socketio, in a process of its own.

    python stays.py ADDRESS

It watches everything and comes back whenever it is cut. A line with states on standard input is answered with a report
once it holds just those; an empty line is answered at once.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import socketio


class Stays:
    def __init__(self, address: str) -> None:
        self.states: dict[str, Any] = {}
        self.versions: dict[str, int] = {}
        self.place: dict[str, Any] | None = None
        self.joined = self.resets = 0
        self.wrong: list[str] = []
        self.lock = threading.Condition()
        self.client = socketio.Client(reconnection_delay=0.02, reconnection_delay_max=0.05)
        self.client.on("connect", self.watch)
        self.client.on("states", self.take)
        self.client.connect(address, transports=["websocket"], retry=True)

    def watch(self) -> None:
        with self.lock:
            self.joined += 1
            since = {} if self.place is None else {"since": self.place}
        self.client.emit("watch", {"devices": ["*"], "protocol": 1, **since})

    def take(self, news: dict[str, Any]) -> None:
        with self.lock:
            if news.get("reset"):
                self.resets += 1
                self.states.clear()
                self.versions.clear()
            for item in news["states"]:
                device = item["device"]
                if item["version"] < self.versions.get(device, 0):
                    self.wrong.append(
                        f"{device} went back from {self.versions[device]} to {item['version']}"
                    )
                self.versions[device] = item["version"]
                if item["state"] is None:
                    self.states.pop(device, None)
                else:
                    self.states[device] = item["state"]
            self.place = {"epoch": news["epoch"], "offset": news["offset"]}
            self.lock.notify_all()

    def report(self, expected: dict[str, Any] | None) -> str:
        with self.lock:
            if expected is not None:
                self.lock.wait_for(lambda: self.states == expected, timeout=30)
            facts = {
                "states": self.states,
                "joined": self.joined,
                "resets": self.resets,
                "wrong": self.wrong[:5],
            }
            return json.dumps(facts)


if __name__ == "__main__":
    stays = Stays(sys.argv[1])
    for line in sys.stdin:
        print(stays.report(json.loads(line) if line.strip() else None), flush=True)
