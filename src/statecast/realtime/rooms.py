"""Namespaces, the rooms in them, and who is where. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statecast.realtime.hub import Parcel
    from statecast.realtime.session import Session

MOST_EARLY = 64
"""Events kept for a socket whose connect hook is still deciding; beyond it the newest is dropped."""


class Socket:
    """A session's membership in one namespace: what Socket.IO calls a socket."""

    __slots__ = ("early", "namespace", "rooms", "session", "sid")

    def __init__(self, session: Session, namespace: Namespace, sid: str) -> None:
        self.session = session
        self.namespace = namespace
        self.sid = sid
        self.rooms: set[str] | None = None
        self.early: list[Callable[[], Any]] | None = None
        """What waits until the namespace's connect hook has accepted it; None once it is ready."""

    @property
    def ready(self) -> bool:
        return self.early is None

    @property
    def alive(self) -> bool:
        return self.namespace.sockets.get(self.sid) is self

    def offer(self, parcel: Parcel) -> bool:
        if self.early is None:
            return self.session.carrier.offer(parcel)
        return self.wait(lambda: self.session.carrier.offer(parcel))

    def wait(self, call: Callable[[], Any]) -> bool:
        """Have ``call`` made once the socket is ready."""
        assert self.early is not None
        if len(self.early) >= MOST_EARLY:
            return False
        self.early.append(call)
        return True


class Namespace:
    """A namespace: its sockets, its rooms, its handlers."""

    __slots__ = ("handlers", "name", "rooms", "sockets")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sockets: dict[str, Socket] = {}
        self.rooms: dict[str, set[Socket]] = {}
        self.handlers: dict[str, Callable[..., Any]] = {}

    def members(self, room: str | None) -> Collection[Socket]:
        """Those in ``room``, where a sid is the room of its own socket; None means everybody."""
        if room is None:
            return tuple(self.sockets.values())
        if room in self.rooms:
            return tuple(self.rooms[room])
        alone = self.sockets.get(room)
        return () if alone is None else (alone,)

    def enter(self, socket: Socket, room: str) -> None:
        self.rooms.setdefault(room, set()).add(socket)
        if socket.rooms is None:
            socket.rooms = set()
        socket.rooms.add(room)

    def leave(self, socket: Socket, room: str) -> None:
        if socket.rooms is None or room not in socket.rooms:
            return
        socket.rooms.discard(room)
        self.rooms[room].discard(socket)
        if not self.rooms[room]:
            del self.rooms[room]

    def forget(self, socket: Socket) -> None:
        for room in tuple(socket.rooms or ()):
            self.leave(socket, room)
        self.sockets.pop(socket.sid, None)
