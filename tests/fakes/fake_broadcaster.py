"""A broadcaster that has no states: the test delivers what it likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from statecast.broadcast.watch_request import WatchRequest
from statecast.errors import Malformed
from statecast.model import Event, Watching


class FakeBroadcaster:
    """Remembers what is asked of it; refuses a request that is no object."""

    def __init__(self) -> None:
        self.watching: list[Any] = []
        self.calls: list[str] = []
        self.counted: list[tuple[str, str, int, str | None]] = []
        """Who entered or left a room."""

    def watch(self, viewer: Any, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict):
            raise Malformed("“watch” takes an object.")
        if viewer not in self.watching:
            self.watching.append(viewer)
        return {"epoch": "e", "offset": 0, "scope": "s", "reset": False}

    def leave(self, viewer: Any) -> None:
        self.calls.append("leave")
        if viewer in self.watching:
            self.watching.remove(viewer)

    def pause(self, viewer: Any) -> None:
        self.calls.append("pause")

    def resume(self, viewer: Any) -> None:
        self.calls.append("resume")

    def move(self, viewer: Any) -> None:
        """Nobody keeps groups of viewers here."""

    def rename(self, viewer: Any) -> None:
        self.calls.append("rename")

    def count_room(self, namespace: str, room: str, step: int, name: str | None) -> None:
        self.counted.append((namespace, room, step, name))

    def who_is_in(self, namespace: str, room: str) -> Watching:
        return Watching(sum(step for *place, step, _ in self.counted if place == [namespace, room]))

    def who_watches(self, device: str) -> Watching:
        return Watching(len(self.watching))

    def on_event(self, listener: Callable[[Event], None]) -> None:
        self.listener = listener


class StrictBroadcaster(FakeBroadcaster):
    """Refuses the requests that the real one refuses."""

    def watch(self, viewer: Any, request: Any) -> dict[str, Any]:
        WatchRequest.parse(request, 1000)
        return super().watch(viewer, request)
