"""Namespaces, the rooms in them, and the sockets in both. Used on the loop's thread only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.recipients import FEW, Groups, Outlet
from statecast.realtime.interfaces import SocketOwner

MAX_EARLY_CALLS = 64
"""Calls kept for a socket whose connect handler still decides; beyond it the newest is dropped."""


MAX_GROUPS = 100
"""Sets of rooms whose sockets a namespace keeps ready."""
MAX_CALLBACKS = 1_000
"""Acknowledgements that may be outstanding at one socket; the oldest is given up for a new one."""
Callback = Callable[[list[Any] | None], Any]
"""Gets what the client acknowledges with, or None if it has left. Called on the loop."""
CountRoom = Callable[[str, str, int, str | None], None]
"""Counts a viewer more or less in a room: namespace, room, step, and the name of the viewer."""
_NUMBERS = itertools.count(1)


class Socket:
    """A viewer's membership in one namespace: what Socket.IO calls a socket."""

    __slots__ = ("_callbacks", "_tasks", "early", "namespace", "rooms", "sid", "viewer")

    def __init__(self, viewer: SocketOwner, namespace: Namespace, sid: str) -> None:
        self.viewer = viewer
        self.namespace = namespace
        self.sid = sid
        self.rooms: set[str] | None = None
        """The rooms it has entered; None instead of an empty set, which most sockets never need."""
        self.early: list[Callable[[], Any]] | None = None
        """Calls that wait for the connect handler's decision; None once the socket is ready."""

        self._tasks: dict[str, asyncio.Task[None]] | None = None
        """What goes on for it until it leaves, by name; None instead of an empty dictionary."""
        self._callbacks: dict[int, Callback] | None = None
        """What waits for an acknowledgement, by its number; None instead of an empty dictionary."""

    @property
    def owes_too_many(self) -> bool:
        """For a further acknowledgement the oldest is given up."""
        return self._callbacks is not None and len(self._callbacks) >= MAX_CALLBACKS

    def expect(self, callback: Callback) -> int:
        """The number for the event whose acknowledgement ``callback`` gets.

        A client that acknowledges nothing still gets its events.
        """
        if self._callbacks is None:
            self._callbacks = {}
        if self.owes_too_many:
            self.acknowledge(next(iter(self._callbacks)), None)
        number = next(_NUMBERS)
        self._callbacks[number] = callback
        return number

    def awaits(self, number: int | None) -> bool:
        """Whether the event of this number is still to be acknowledged."""
        return self._callbacks is not None and number in self._callbacks

    def acknowledge(self, number: int, arguments: list[Any] | None) -> None:
        """Call back once; a number that nothing waits for is ignored."""
        callback = self._callbacks.pop(number, None) if self._callbacks else None
        if callback is not None:
            callback(arguments)

    def fail_callbacks(self) -> None:
        """The socket is gone, so no acknowledgement comes any more."""
        for number in tuple(self._callbacks or ()):
            self.acknowledge(number, None)

    @property
    def tasks(self) -> Mapping[str, asyncio.Task[None]]:
        """What goes on for it until it leaves, by name."""
        return self._tasks or {}

    def keep(self, name: str, task: asyncio.Task[None]) -> None:
        """Let a task go on until the socket leaves; it replaces one of the same name."""
        if self._tasks is None:
            self._tasks = {}
        replaced, self._tasks[name] = self._tasks.get(name), task
        if replaced is not None:
            replaced.cancel()

    def cancel_tasks(self) -> None:
        """The socket is gone."""
        for task in (self._tasks or {}).values():
            task.cancel()

    @property
    def ready(self) -> bool:
        return self.early is None

    @property
    def alive(self) -> bool:
        return self.namespace.sockets.get(self.sid) is self

    @property
    def outlet(self) -> Outlet | None:
        return self.viewer.transport.outlet if self.early is None else None

    def offer(self, message: OutgoingMessage) -> bool:
        if self.early is None:
            return self.viewer.transport.offer(message)
        return self.when_ready(lambda: self.viewer.transport.offer(message))

    def when_ready(self, call: Callable[[], Any]) -> bool:
        """Make ``call`` once the connect handler has accepted the socket."""
        assert self.early is not None
        if len(self.early) >= MAX_EARLY_CALLS:
            return False
        self.early.append(call)
        return True


class Namespace:
    """A namespace: its sockets, its rooms, its handlers."""

    __slots__ = ("_count", "_groups", "borrowed", "handlers", "name", "rooms", "sockets")

    def __init__(
        self,
        name: str,
        handlers: dict[str, Callable[..., Any]] | None = None,
        count: CountRoom = lambda namespace, room, step, name: None,
    ) -> None:
        """``handlers``: those for any namespace, of which this one is made."""
        self.name = name
        self._count = count
        self._groups: dict[tuple[str, ...], Groups[Socket]] = {}
        """By the rooms that an event was sent to; forgotten when anything changes."""
        self.borrowed = handlers is not None
        self.sockets: dict[str, Socket] = {}
        self.rooms: dict[str, set[Socket]] = {}
        self.handlers: dict[str, Callable[..., Any]] = {} if handlers is None else handlers

    def keep(self) -> None:
        """It has handlers of its own from now on, and lasts without viewers."""
        self.handlers, self.borrowed = {}, False

    def add(self, socket: Socket) -> None:
        self.sockets[socket.sid] = socket
        self._groups.clear()

    def forget_groups(self) -> None:
        """A socket takes events in another way than before."""
        self._groups.clear()

    def groups(self, rooms: tuple[str, ...] = (), skip: Collection[str] = ()) -> Groups[Socket]:
        """The sockets in any of ``rooms`` (none: all) and in none of ``skip``, each once."""
        if skip:
            return Groups(self.members(rooms, skip))
        found = self._groups.get(rooms)
        if found is None:
            found = Groups(self.members(rooms))
            if found.size > FEW:
                if len(self._groups) >= MAX_GROUPS:
                    self._groups.clear()
                self._groups[rooms] = found
        return found

    def members(self, rooms: Collection[str] = (), skip: Collection[str] = ()) -> list[Socket]:
        """The sockets in any of ``rooms`` (none: all) and in none of ``skip``, each once."""
        if not rooms:
            found = dict.fromkeys(self.sockets.values())
        else:
            found = dict.fromkeys(socket for room in rooms for socket in self._in_room(room))
        for room in skip:
            for socket in self._in_room(room):
                found.pop(socket, None)
        return list(found)

    def _in_room(self, room: str) -> Collection[Socket]:
        """A sid is the room of its own socket, which others cannot take from it by entering."""
        entered = self.rooms.get(room, ())
        own = self.sockets.get(room)
        return entered if own is None else (own, *entered)

    def enter(self, socket: Socket, room: str) -> None:
        if socket.rooms is None:
            socket.rooms = set()
        if room in socket.rooms:
            return
        self._groups.clear()
        self.rooms.setdefault(room, set()).add(socket)
        socket.rooms.add(room)
        self._count(self.name, room, 1, socket.viewer.name)

    def leave(self, socket: Socket, room: str) -> None:
        if socket.rooms is None or room not in socket.rooms:
            return
        self._groups.clear()
        socket.rooms.discard(room)
        self.rooms[room].discard(socket)
        if not self.rooms[room]:
            del self.rooms[room]
        self._count(self.name, room, -1, socket.viewer.name)

    def rename(self, socket: Socket, name: str | None) -> None:
        """The viewer of a socket is to be counted under another name from now on."""
        for room in socket.rooms or ():
            self._count(self.name, room, -1, socket.viewer.name)
            self._count(self.name, room, 1, name)

    def close(self, room: str) -> None:
        """Take every socket out of a room."""
        for socket in tuple(self.rooms.get(room, ())):
            self.leave(socket, room)

    def remove(self, socket: Socket) -> None:
        for room in tuple(socket.rooms or ()):
            self.leave(socket, room)
        self._groups.clear()
        self.sockets.pop(socket.sid, None)
        socket.fail_callbacks()
        socket.cancel_tasks()
