"""Programs of what an application does to viewers in two processes, and what those must receive.

A step is its kind and its arguments. ``("emit", ["red", "there 0"])`` emits to a room and a viewer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROOMS = ("red", "blue")
VIEWERS = ("here 0", "here 1", "there 0", "there 1")
"""Two of the process that runs the program, two of the other. Each process has a driver as well,
which starts the program of its process and gets its acknowledgement."""

Step = tuple[Any, ...]


@dataclass
class Model:
    """What each viewer must have, by a program that runs alone."""

    views: dict[str, list[Any]] = field(default_factory=dict)
    rooms: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.views = {name: [] for name in (*VIEWERS, "driver")}
        self.rooms = {name: set() for name in ROOMS}
        self.present = set(self.views)

    def run(self, program: list[Step]) -> dict[str, list[Any]]:
        for number, (kind, *arguments) in enumerate(program):
            getattr(self, kind)(number, *arguments)
        self.views["driver"].append('439["end"]')
        return self.views

    def _members(self, names: list[str]) -> set[str]:
        if not names:
            return self.present
        found = {one for name in names for one in self.rooms.get(name, {name})}
        return found & self.present

    def _say(self, to: set[str], *frames: Any) -> None:
        for name in to:
            self.views[name] += frames

    def emit(self, number: int, names: list[str]) -> None:
        self._say(self._members(names), f'42["e{number}"]')

    def bytes(self, number: int, names: list[str]) -> None:
        place = f'451-["e{number}",{{"_placeholder":true,"num":0}}]'
        self._say(self._members(names), place, b"%d" % number)

    def skip(self, number: int, name: str) -> None:
        self._say(self.present - self._members([name]), f'42["e{number}"]')

    def ask(self, number: int, name: str) -> None:
        self._say(self._members([name]), f'42["e{number}"]')

    def enter(self, number: int, name: str, room: str) -> None:
        if name in self.present:
            self.rooms[room].add(name)

    def leave(self, number: int, name: str, room: str) -> None:
        self.rooms[room].discard(name)

    def close_room(self, number: int, room: str) -> None:
        self.rooms[room].clear()

    def disconnect(self, number: int, name: str) -> None:
        self._say(self.present & {name}, "41")
        self.present = self.present - {name}
        for members in self.rooms.values():
            members.discard(name)
