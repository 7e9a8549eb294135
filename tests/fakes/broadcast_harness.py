"""A broadcaster over a fake store and a fake loop, and clients that check what they receive."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from statecast import names, timestamps
from statecast.access.reader import READS_EVERYTHING, Reader
from statecast.broadcast.broadcaster import Broadcaster
from statecast.broadcast.change_feed import ChangeFeed
from statecast.broadcast.outgoing_message import Compression, OutgoingMessage, Recipient
from statecast.model import Position
from statecast.settings import Settings
from statecast.testing import oracle
from statecast.testing.values import START
from tests.fakes.fake_loop import FakeLoop
from tests.fakes.fake_store import FakeStore, Shown


class FakeCompression:
    """Compresses whatever may be compressed, in the thread of the fake loop."""

    def __init__(self) -> None:
        self.compressed: list[OutgoingMessage] = []
        self.fails = False

    def is_due(self, message: OutgoingMessage) -> bool:
        return message.compressible and message not in self.compressed

    def compress(self, message: OutgoingMessage) -> None:
        if self.fails:
            raise MemoryError
        self.compressed.append(message)


class FakeClient:
    """A client and its transport, which is full with ``capacity`` messages that are not read.

    The client checks the promises of the wire while it reads. With ``protocol`` 2 it merges
    patches, by the oracle, and asks for everything again after one that is not of what it has.
    """

    outlet = None
    compression: Compression | None = None

    def __init__(
        self,
        harness: BroadcastHarness,
        patterns: list[str],
        capacity: int = 100,
        protocol: int = 1,
    ) -> None:
        self.harness = harness
        self.patterns = patterns
        self.capacity = capacity
        self.protocol = protocol
        self.protocols = [protocol]
        """That in force for what it reads next, and those of its unanswered requests."""
        self.patches = self.mismatches = 0
        """Patches that it got, and those of a version that it did not have."""
        self.lost = False
        """It waits for a reset."""
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
        self.messages: list[OutgoingMessage] = []
        """All that the server has delivered."""
        self.commands: dict[str, dict[str, Any]] = {}

    # The server's side

    def deliver(self, message: OutgoingMessage) -> None:
        assert self.connected, "nothing is sent to a client that has left"
        self.messages.append(message)
        self.transport.append((message.name, json.loads(message.payload)))
        if len(self.transport) >= self.capacity:
            self.fill()
        self.harness.on_delivery()

    def fill(self) -> None:
        """Its transport is full until it reads: by this event, or by what else it was sent."""
        if self.connected and not self.full:
            self.full = True
            self.harness.broadcaster.pause(self)

    # The client's side

    def watch(self, patterns: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """Connect if need be, and watch; a returning client sends its position."""
        request: dict[str, Any] = {"devices": patterns or self.patterns, **more}
        request.setdefault("protocol", self.protocol)
        if not self.connected and self.position is not None:
            request["since"] = {**self.position._asdict(), "scope": self.scope}
        elif not self.connected:  # without a position it starts with nothing
            self.states.clear()
            self.versions.clear()
            self.lost = False
        self.connected, self.patterns = True, request["devices"]
        answer = self.harness.broadcaster.watch(self, request)
        self.unanswered += 1
        self.position = self.position if "since" in request else None
        self.protocols.append(request["protocol"])
        self.transport.append(("answer", answer))
        return answer

    def read(self, messages: int = 10_000) -> None:
        """Read from the transport, which may drain by it."""
        for _ in range(min(messages, len(self.transport))):
            name, payload = self.transport.pop(0)
            self.received.append((name, payload))
            if name == "answer":
                self.unanswered -= 1
                del self.protocols[0]
                # With a reset its states are void, and so is its position until states come.
                if not payload["reset"] and not self.lost:
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
            self.lost = False
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
            if "from" in item:
                item = self._merged(item)
                if item is None:
                    continue
            assert item["version"] >= self.versions.get(device, 0), "a version never goes back"
            self.versions[device] = item["version"]
            self.states[device] = item
            # Once a removal is forgotten, a device of that name begins at version 1.
            if item["state"] is None:
                del self.states[device], self.versions[device]
        self.complete += payload.get("complete", False)
        # Before the answer to a watch, states are of the set before.
        if not self.unanswered and not self.lost:
            if "epoch" in payload:
                self.position = Position(payload["epoch"], payload["offset"])
                self.scope = payload["scope"]
            else:
                assert self.position is not None, "there is one to go on from"
                assert self.protocols[0] == 2, "protocol 1 names it in each event"
                self.position = Position(self.position.epoch, payload["offset"])

    def _merged(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """The full entry of a patch; None if it is not of what the client has."""
        assert self.protocols[0] == 2, "only who asks for patches gets them"
        before = self.states.get(item["device"])
        self.patches += 1
        if before is None or before["version"] != item["from"]:
            self.mismatches += not self.lost
            self._ask_for_everything()
            return None
        left_out = ("from", "patch", "delay")
        facts = {name: value for name, value in item.items() if name not in left_out}
        arrived_at = timestamps.parse_time(item["changed_at"]) + item.get("delay", 0)
        cause = oracle.merged(before["cause"], item["cause"])
        defaults = {
            "arrived_at": timestamps.iso(arrived_at),
            "seen_at": item["changed_at"],
            "silent_after": None,
            "source": cause["source"],
        }
        state = oracle.merged(before["state"], item["patch"])
        return {**defaults, **facts, "state": state, "cause": cause}

    def _ask_for_everything(self) -> None:
        if self.lost:
            return
        self.position, self.lost = None, True
        self.watch(self.patterns, reset=True)

    def cut(self) -> None:
        """The connection breaks; what was on its way is lost."""
        if self.connected:
            self.harness.broadcaster.leave(self)
            self.transport.clear()
            self.connected = self.full = self.lost = False
            del self.protocols[1:]
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
        self.on_delivery: Callable[[], object] = lambda: None
        """Called after each message: one write may fill the transports of other clients."""
        self.broadcaster = kind(
            self.store,  # type: ignore[arg-type]
            Settings(**{"deadlines": {"*": 60}, **settings}),
            report=lambda: self.health,
            clock=lambda: START,
        )
        self.broadcaster.has_rules = has_rules
        self._to_one = self.broadcaster.output.to_one
        self.broadcaster.output.to_one = self.to_one  # type: ignore[method-assign]
        self.broadcaster.loop = self.loop  # type: ignore[assignment]
        self.change_feed = ChangeFeed(
            self.store,  # type: ignore[arg-type]
            self.loop,  # type: ignore[arg-type]
            lambda: self.health,
            self.broadcaster,
        )
        self.broadcaster._change_feed = self.change_feed
        self.change_feed.read_once()

    def to_one(self, viewer: Recipient, message: OutgoingMessage) -> None:
        """Send a message to one that lags: what is long was compressed before."""
        late = viewer.compression is not None and viewer.compression.is_due(message)
        assert not late, "a viewer that lags waits for the compressor"
        self._to_one(viewer, message)

    def client(
        self, *patterns: str, capacity: int = 100, protocol: int = 1, **more: Any
    ) -> FakeClient:
        """A client that watches, and has read what came."""
        client = FakeClient(self, list(patterns), capacity, protocol)
        client.watch(**more)
        self.loop.settle()
        client.read()
        return client

    def tick(self) -> None:
        self.change_feed.read_once()
        self.loop.settle()

    def tick_prepared(self, between: Callable[[], object]) -> None:
        """Deliver as the thread does it with many bytes: something happens before and after the
        thread compresses."""
        result = self.change_feed._read(self.change_feed._asked)
        self.change_feed._advance(result)
        work = None if result.reset else self.broadcaster.prepare(result.changes)
        between()
        if work is not None:
            work()
        between()
        self.change_feed._deliver(result, self.health)
