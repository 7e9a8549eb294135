"""A broadcaster over a fake store and a fake loop, and clients that check what they receive."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from statecast import names, timestamps
from statecast.access.reader import READS_EVERYTHING, Reader
from statecast.broadcast.broadcaster import Broadcaster
from statecast.broadcast.change_feed import ChangeFeed
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Position
from statecast.settings import Settings
from statecast.testing.values import START
from tests.fakes.fake_loop import FakeLoop
from tests.fakes.fake_store import FakeStore, Shown


class FakeClient:
    """A client and its transport, which is full with ``capacity`` messages that are not read.

    The client checks the promises of the wire while it reads.
    """

    def __init__(self, harness: BroadcastHarness, patterns: list[str], capacity: int = 100) -> None:
        self.harness = harness
        self.patterns = patterns
        self.capacity = capacity
        self.transport: list[Any] = []
        self.name: str | None = None
        self.reader: Reader = READS_EVERYTHING
        self.full = self.connected = False
        self.states: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.position: Position | None = None
        self.scope: str | None = None
        """For which devices the position holds."""
        self.unanswered = 0
        """Requests whose answer was not read yet."""
        self.complete = 0
        self.received: list[tuple[str, Any]] = []
        self.commands: dict[str, dict[str, Any]] = {}

    # The server's side

    def deliver(self, message: OutgoingMessage) -> None:
        assert self.connected, "nothing is sent to a client that has left"
        self.transport.append((message.name, json.loads(message.payload)))
        if not self.full and len(self.transport) >= self.capacity:
            self.full = True
            self.harness.broadcaster.pause(self)

    # The client's side

    def watch(self, patterns: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """Connect if need be, and watch; a returning client sends its position."""
        request: dict[str, Any] = {"devices": patterns or self.patterns, **more}
        if not self.connected and self.position is not None:
            request["since"] = {**self.position._asdict(), "scope": self.scope}
        elif not self.connected:  # without a position it starts with nothing
            self.states.clear()
            self.versions.clear()
        self.connected, self.patterns = True, request["devices"]
        answer = self.harness.broadcaster.watch(self, request)
        self.unanswered += 1
        self.position = self.position if "since" in request else None
        self.transport.append(("answer", answer))
        return answer

    def read(self, messages: int = 10_000) -> None:
        """Read from the transport, which may drain by it."""
        for _ in range(min(messages, len(self.transport))):
            name, payload = self.transport.pop(0)
            self.received.append((name, payload))
            if name == "answer":
                self.unanswered -= 1
                # With a reset its states are void, and so is its position until states come.
                if not payload["reset"]:
                    self.position = Position(payload["epoch"], payload["offset"])
                    self.scope = payload["scope"]
            elif name == "states":
                self._apply(payload)
            elif name == "commands":
                for one in payload:
                    known = self.commands.get(one["id"])
                    assert known is None or one["change"] >= known["change"], "it never goes back"
                    self.commands[one["id"]] = one
            elif name == "seen":
                for device, seen_at in payload.items():
                    if device in self.states:
                        self.states[device]["seen_at"] = seen_at
        if self.full and len(self.transport) < self.capacity:
            self.full = False
            self.harness.broadcaster.resume(self)

    def _apply(self, payload: dict[str, Any]) -> None:
        if payload.get("reset"):
            self.states.clear()
            self.versions.clear()
            self.commands.clear()
        offsets = [item["offset"] for item in payload["states"] if not item.get("gone")]
        assert offsets == sorted(set(offsets)) and all(
            offset <= payload["offset"] for offset in offsets
        )
        for item in payload["states"]:
            device = item["device"]
            if item.get("gone"):
                assert device in self.states, "it is told once, and only of what it has"
                del self.states[device], self.versions[device]
                continue
            assert item["version"] >= self.versions.get(device, 0), "a version never goes back"
            self.versions[device] = item["version"]
            self.states[device] = item
            # Once a removal is forgotten, a device of that name begins at version 1.
            if item["state"] is None:
                del self.states[device], self.versions[device]
        self.complete += payload.get("complete", False)
        if not self.unanswered:  # before the answer to a watch, states are of the set before
            self.position = Position(payload["epoch"], payload["offset"])
            self.scope = payload["scope"]

    def cut(self) -> None:
        """The connection breaks; what was on its way is lost."""
        if self.connected:
            self.harness.broadcaster.leave(self)
            self.transport.clear()
            self.connected = self.full = False
            self.unanswered = 0

    def shown(self) -> Shown:
        return {
            device: (item["version"], item["state"], timestamps.parse_time(item["seen_at"]))
            for device, item in self.states.items()
            if any(names.match(pattern, device) for pattern in self.patterns)
        }


class BroadcastHarness:
    """A broadcaster that follows a fake store, one read at a time."""

    def __init__(
        self,
        kind: type[Broadcaster] = Broadcaster,
        has_rules: Callable[[], bool] = lambda: False,
        **settings: Any,
    ) -> None:
        self.store = FakeStore()
        self.loop = FakeLoop()
        self.health: dict[str, Any] = {}
        self.broadcaster = kind(
            self.store,  # type: ignore[arg-type]
            Settings(**{"deadlines": {"*": 60}, **settings}),
            report=lambda: self.health,
            clock=lambda: START,
        )
        self.broadcaster.has_rules = has_rules
        self.broadcaster.loop = self.loop  # type: ignore[assignment]
        self.change_feed = ChangeFeed(
            self.store,  # type: ignore[arg-type]
            self.loop,  # type: ignore[arg-type]
            lambda: self.health,
            self.broadcaster,
        )
        self.change_feed.read_once()

    def client(self, *patterns: str, capacity: int = 100, **more: Any) -> FakeClient:
        """A client that watches, and has read what came."""
        client = FakeClient(self, list(patterns), capacity)
        client.watch(**more)
        self.loop.settle()
        client.read()
        return client

    def tick(self) -> None:
        self.change_feed.read_once()
        self.loop.settle()
