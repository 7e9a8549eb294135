"""A store and viewers of paper for the broadcaster: every step is taken when the test says so."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from statecast import names, strict_json, timestamps
from statecast.broadcast.broadcaster import Broadcaster
from statecast.broadcast.change_feed import ChangeFeed
from statecast.broadcast.subscriptions import OutgoingMessage
from statecast.model import Cause, Event, Position, Update
from statecast.settings import Settings
from statecast.stores.contract import Changes, EpochHistory, ReadCursor
from statecast.testing.values import START

CAUSE = Cause("queue", "m1", "device")


class PaperLoop:
    """Calls wait in a list, timers for the time that the test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        self.soon.append((call, arguments))

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (self.now + seconds, next(self._numbers), call))

    def settle(self) -> None:
        while self.soon:
            call, arguments = self.soon.pop(0)
            call(*arguments)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            self.now, _, call = heapq.heappop(self.timers)
            call()
        self.now = until
        self.settle()


class PaperStore:
    """States, epochs and signs of life; it can be set back to a copy, as a restored backup is."""

    def __init__(self) -> None:
        self.latest: dict[str, Update] = {}
        self.heard: dict[str, int] = {}
        self.epochs = (("e1", 1),)
        self.offset = self.seen = self.forgotten = self.event = 0
        self.began = 1
        self.now = START
        self.events: list[Event] = []

    def commit(self, device: str, state: dict[str, Any] | None) -> None:
        before = self.latest.get(device)
        self.offset += 1
        version = before.version + 1 if before else 1
        encoded = None if state is None else strict_json.encode(state)
        at = self._tick()
        self.latest[device] = Update(
            device, version, self.offset, encoded, at, at, CAUSE, source="queue"
        )

    def hear(self, device: str) -> None:
        """A sign of life that makes no version."""
        before = self.latest.get(device)
        if before is not None:
            self.seen += 1
            self.latest[device] = replace(before, seen_at=self._tick())
            self.heard[device] = self.seen

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def emit(self, name: str) -> None:
        self.event += 1
        self.events.append(Event(self.event, "/", None, name, b"[]"))

    def forget(self) -> None:
        """Forget the tombstones."""
        for device, update in list(self.latest.items()):
            if update.state is None:
                del self.latest[device]
                self.forgotten = max(self.forgotten, update.offset)

    def restart(self) -> None:
        self.began += 1
        self.epochs = (*self.epochs, (f"e{self.began}", self.offset + 1))

    def copy(self) -> tuple[Any, ...]:
        return dict(self.latest), self.epochs, self.offset, self.forgotten

    def set_back(self, copy: tuple[Any, ...]) -> None:
        latest, self.epochs, self.offset, self.forgotten = copy
        self.latest = dict(latest)
        self.restart()

    def read(self, after: ReadCursor, limit: int | None = None) -> Changes:
        updates = sorted(
            (one for one in self.latest.values() if one.offset > after.offset),
            key=lambda one: one.offset,
        )
        seen = {
            device: self.latest[device].seen_at or 0
            for device, number in self.heard.items()
            if number > after.seen
            and device in self.latest
            and self.latest[device].offset <= after.offset
        }
        events = [event for event in self.events if event.number > (after.event or self.event)]
        position = Position(self.epochs[-1][0], self.offset)
        return Changes(
            position, ReadCursor(self.offset, self.seen, self.event), updates, seen, events
        )

    def epoch_history(self) -> EpochHistory:
        return EpochHistory(self.epochs, self.forgotten, self.offset)

    def shown(self, patterns: list[str]) -> dict[str, tuple[int, Any, int | None]]:
        """What a page that watches ``patterns`` must show."""
        return {
            device: (one.version, json.loads(one.state), one.seen_at)
            for device, one in self.latest.items()
            if one.state is not None and any(names.match(pattern, device) for pattern in patterns)
        }


class PaperViewer:
    """A client and its transport, which holds ``room`` pieces before it is full. It checks what it is told."""

    def __init__(self, scene: Scene, patterns: list[str], room: int = 100) -> None:
        self.scene = scene
        self.patterns = patterns
        self.room = room
        self.pipe: list[Any] = []
        self.full = self.connected = False
        self.states: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.position: Position | None = None
        self.asked = 0
        self.complete = 0
        self.said: list[tuple[str, Any]] = []

    # The server's side

    def deliver(self, message: OutgoingMessage) -> None:
        assert self.connected, "nothing is told to who has left"
        self.pipe.append((message.name, json.loads(message.payload)))
        if not self.full and len(self.pipe) >= self.room:
            self.full = True
            self.scene.broadcaster.pause(self)

    # The client's side

    def watch(self, patterns: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """Connect if need be, and watch; a returning client says what it has."""
        request: dict[str, Any] = {"devices": patterns or self.patterns, **more}
        if not self.connected and self.position is not None:
            request["since"] = {"epoch": self.position.epoch, "offset": self.position.offset}
        elif not self.connected:  # without a place it begins anew
            self.states.clear()
            self.versions.clear()
        self.connected, self.patterns = True, request["devices"]
        answer = self.scene.broadcaster.watch(self, request)
        self.asked += 1
        self.position = self.position if "since" in request else None
        self.pipe.append(("answer", answer))
        return answer

    def take(self, pieces: int = 10_000) -> None:
        """Read from the pipe."""
        for _ in range(min(pieces, len(self.pipe))):
            name, payload = self.pipe.pop(0)
            self.said.append((name, payload))
            if name == "answer":
                self.asked -= 1
                if not payload[
                    "reset"
                ]:  # else what it has is void, and so is its place until the states come
                    self.position = Position(payload["epoch"], payload["offset"])
            elif name == "states":
                self._apply(payload)
            elif name == "seen":
                for device, seen_at in payload.items():
                    if device in self.states:
                        self.states[device]["seen_at"] = seen_at
        if self.full and len(self.pipe) < self.room:
            self.full = False
            self.scene.broadcaster.resume(self)

    def _apply(self, payload: dict[str, Any]) -> None:
        if payload.get("reset"):
            self.states.clear()
            self.versions.clear()
        offsets = [item["offset"] for item in payload["states"]]
        assert offsets == sorted(set(offsets)) and all(
            offset <= payload["offset"] for offset in offsets
        )
        for item in payload["states"]:
            device = item["device"]
            assert item["version"] >= self.versions.get(device, 0), "a version never goes back"
            self.versions[device] = item["version"]
            self.states[device] = item
            if (
                item["state"] is None
            ):  # once a removal is forgotten, a device of that name begins at 1
                del self.states[device], self.versions[device]
        self.complete += payload.get("complete", False)
        if not self.asked:  # what comes before the answer to a watch is of the list before
            self.position = Position(payload["epoch"], payload["offset"])

    def cut(self) -> None:
        """The connection breaks; what was on its way is lost."""
        if self.connected:
            self.scene.broadcaster.leave(self)
            self.pipe.clear()
            self.connected = self.full = False
            self.asked = 0

    def shown(self) -> dict[str, tuple[int, Any, int | None]]:
        return {
            device: (item["version"], item["state"], timestamps.parse_time(item["seen_at"]))
            for device, item in self.states.items()
            if any(names.match(pattern, device) for pattern in self.patterns)
        }


class Scene:
    """A broadcaster that follows a store of paper, one look at a time."""

    def __init__(self, kind: type[Broadcaster] = Broadcaster, **settings: Any) -> None:
        self.store = PaperStore()
        self.loop = PaperLoop()
        self.health: dict[str, Any] = {}
        self.broadcaster = kind(
            self.store,  # type: ignore[arg-type]
            Settings(**{"deadlines": {"*": 60}, **settings}),
            report=lambda: self.health,
            clock=lambda: START,
        )
        self.broadcaster.loop = self.loop  # type: ignore[assignment]
        self.follower = ChangeFeed(self.store, self.loop, lambda: self.health, self.broadcaster)  # type: ignore[arg-type]
        self.follower.read_once()

    def viewer(self, *patterns: str, room: int = 100, **more: Any) -> PaperViewer:
        """Who watches already, and has read what came."""
        viewer = PaperViewer(self, list(patterns), room)
        viewer.watch(**more)
        self.loop.settle()
        viewer.take()
        return viewer

    def tick(self) -> None:
        self.follower.read_once()
        self.loop.settle()
