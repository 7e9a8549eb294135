"""The viewers of one app: what the app sends them, asks of them, and does with their events.

Those of this process are the hub's. Those of the other serving processes get what they must through
the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from statecast import names
from statecast.broadcast import watch_counts
from statecast.broadcast.event_relay import EventRelay
from statecast.broadcast.subscriptions import keys_of
from statecast.errors import BadSetting, Malformed, NotFound, TooLarge, Unavailable
from statecast.model import Event, EventKind, Watching
from statecast.realtime.handlers import Handler
from statecast.realtime.hub import Hub
from statecast.realtime.namespaces import check_namespace, check_registration
from statecast.realtime.protocol import socketio
from statecast.realtime.rooms import Callback
from statecast.realtime.viewer import Handshake

Rooms = str | Collection[str] | None
"""A room or a sid, several of them, or None."""
VIEWER_NAME = 64
"""Characters of the name that an application gives to a viewer."""
EVENT_BYTES = 1_048_576
"""Of the arguments of one application event, as JSON."""


class EventStore(Protocol):
    """The parts of a store that viewers need."""

    def emit(self, events: Sequence[Event]) -> None: ...
    def watch_parts(self, parts: Collection[int]) -> list[Any]: ...


class AppViewers:
    """Of one app. Every method may be called from any thread."""

    def __init__(
        self,
        store: Callable[[], EventStore],
        relay: EventRelay,
        note_unserved: Callable[[], None],
        *,
        shared: bool,
    ) -> None:
        """``relay`` takes what goes to other processes, if the store is ``shared`` with some.
        ``note_unserved`` is called for events of a process that does not serve.
        """
        self.relay = relay
        self.shared = shared
        self.handlers: list[tuple[str, Handler, str]] = []
        self.keeps_handshakes = False
        self.hub: Hub | None = None
        """The viewers of this process, while it serves."""
        self.test_hub: Hub | None = None
        """The hub that a test made; see ``take_for_test``."""
        self.count: Callable[[], int] = lambda: 0
        """How many are connected to this process."""
        self._store = store
        self._note_unserved = note_unserved
        self._lock = threading.RLock()
        """For the handlers, and for who gets them."""

    @property
    def dropped(self) -> int:
        """Events that did not reach whom they were for."""
        return self.relay.dropped + (0 if self.hub is None else self.hub.dropped.total)

    def take(self, hub: Hub) -> None:
        """Let a hub have the handlers: its viewers are those of this process."""
        from statecast.program.unix import in_children  # not there on every system

        self._take(hub)
        self.count = lambda: hub.viewers
        in_children(self, AppViewers._after_fork)

    def _after_fork(self) -> None:
        """In a child forget the hub: viewers stay with the process that serves them.

        What the child emits goes through the store, like that of any process without viewers.
        """
        self.hub = None

    def take_for_test(self, hub: Hub) -> None:
        """Take a hub that a test made: its viewers are all there are."""
        self._take(hub)
        self.test_hub = hub
        self.shared = False

    def _take(self, hub: Hub) -> None:
        with self._lock:
            for event, handler, namespace in self.handlers:
                hub.on(event, handler, namespace)
            hub.keep_handshakes = self.keeps_handshakes
            self.hub = hub

    def register_as(self, other: AppViewers) -> None:
        """Have what the application registered there."""
        self.handlers = list(other.handlers)
        self.keeps_handshakes = other.keeps_handshakes

    def on(self, event: str, handler: Handler, namespace: str = "/") -> None:
        """Call ``handler`` for this event of viewers, in every serving process; see ``Hub.on``.

        It may be registered while this process serves. Raises BadSetting.
        """
        check_registration(event, handler, namespace)
        with self._lock:
            if any((event, namespace) == (name, space) for name, _, space in self.handlers):
                raise BadSetting(
                    f"The event {event!r} of {namespace} has a handler already; an event has one."
                )
            self.handlers.append((event, handler, namespace))
            if self.hub is not None:
                self.hub.on(event, handler, namespace)

    def emit(
        self,
        event: str,
        *arguments: Any,
        namespace: str = "/",
        to: Rooms = None,
        skip: Rooms = None,
        callback: Handler | None = None,
    ) -> None:
        """Send an application event to the viewers of a namespace, at most once.

        ``to`` names rooms and sids (None: all), ``skip`` those that do not get it. The viewers of
        this process get it at once, in the order of the calls; those of the other serving processes
        through the store, for which nothing waits. ``callback`` is called like a handler with what
        the one viewer acknowledges. If that viewer has left, or another process serves it, the
        event is dropped and counted. Raises Malformed or TooLarge; in a process that does not serve
        also StoreUnavailable.
        """
        one = self._event(event, arguments, namespace, to, skip)
        if callback is not None:
            self._publish_to_one(one, lambda found: self._call_back(callback, found, namespace))
        elif to is None or one.rooms:
            self.publish(one)

    def call(
        self,
        event: str,
        *arguments: Any,
        to: str,
        namespace: str = "/",
        timeout: float = 60.0,
    ) -> Any:
        """Send an event to one viewer of this process, and wait for its acknowledgement.

        Returns what it acknowledges with: None, a value, or a tuple of several. Raises
        TimeoutError, Unavailable if the viewer leaves meanwhile, or as ``emit``. Not for
        coroutines: it would stop the loop that it waits for.
        """
        hub = self.local_hub
        hub.check_may_wait()
        answer: Future[list[Any] | None] = Future()
        one = self._event(event, arguments, namespace, to, None)
        self._publish_to_one(one, answer.set_result)
        found = hub.wait_for(answer, timeout)
        if found is None:
            raise Unavailable(
                "The viewer did not answer: it has left, or takes no event now, or another process "
                "serves it. Ask a viewer in the process where its handlers run."
            )
        return tuple(found) if len(found) > 1 else found[0] if found else None

    def move(self, kind: EventKind, namespace: str, name: str, to: Rooms) -> None:
        """Let viewers enter or leave the room ``name``, close rooms, or disconnect viewers.

        In the order of the calls of this thread. Raises as ``emit``.
        """
        check_namespace(namespace)
        room_names(name or None)
        if rooms := room_names(to):
            check_texts(name, namespace, *rooms)
            self.publish(Event(namespace, name, rooms=rooms, kind=kind))

    def check_room(self, room: str, sid: str) -> None:
        """Refuse a room in which ``sid`` would receive what is meant for another viewer.

        Raises Malformed.
        """
        if room != sid and isinstance(room, str) and socketio.is_sid(room):
            raise Malformed(
                "A room must not be called like a viewer's sid: it would receive what is meant for "
                "that viewer alone. Choose another name."
            )

    def rooms(self, sid: str) -> list[str]:
        """The rooms of a viewer of this process, its sid among them; none for any other sid."""
        return self.local_hub.rooms(sid) or []

    def namespace_of(self, sid: str) -> str:
        """The namespace of a viewer of this process. Raises NotFound."""
        socket = self.local_hub.find(sid)
        if socket is None:
            raise NotFound("There is no such viewer in this process.")
        return socket.namespace.name

    def keep_handshakes(self) -> None:
        """Keep the requests with which viewers begin, from now on; see ``handshake``."""
        self.keeps_handshakes = True
        if self.hub is not None:
            self.hub.keep_handshakes = True

    def handshake(self, sid: str) -> Handshake:
        """The request with which a viewer of this process began. Raises NotFound."""
        found = self.local_hub.handshake(sid)
        if found is None:
            raise NotFound(
                "There is no request of such a viewer in this process: it has left, or it came "
                "before a handler that asks for requests was registered."
            )
        return found

    def name_viewer(self, sid: str, name: str | None) -> None:
        """Give a viewer a name, for those who watch the same. Raises Malformed."""
        if name is not None:
            check_viewer_name(name)
        self.move("name", "/", name or "", sid)

    def who_watches(self, device: str) -> Watching:
        """Who watches a device, in all serving processes. Raises Unavailable."""
        names.check(device)
        hub = self.hub
        if hub is None or hub.loop is None:
            return watch_counts.kept(self._store().watch_parts, list(keys_of(device)))
        found = hub.who_watches(device)
        if found is None:
            raise Unavailable("The server is too busy to count its viewers; try again.")
        return found

    def who_is_in(self, room: str, namespace: str = "/") -> Watching:
        """Who is in a room, in all serving processes. Raises Malformed, Unavailable."""
        (name,) = room_names(room) or ("",)
        check_texts(name, namespace)
        check_namespace(namespace)
        hub = self.hub
        if hub is None or hub.loop is None:
            key = watch_counts.room_key(namespace, name)
            return watch_counts.kept(self._store().watch_parts, [key])
        found = hub.who_is_in(namespace, name)
        if found is None:
            raise Unavailable("The server is too busy to count its viewers; try again.")
        return found

    @property
    def local_hub(self) -> Hub:
        """The hub of this process. Raises BadSetting in a process that does not serve."""
        if self.hub is None:
            raise BadSetting(
                "This process has no viewers; "
                "ask where a viewer is, in a function decorated with @live.on."
            )
        return self.hub

    def _event(
        self, event: str, arguments: Collection[Any], namespace: str, to: Rooms, skip: Rooms
    ) -> Event:
        """Raises Malformed or TooLarge."""
        check_namespace(namespace)
        rooms, skipped = room_names(to), room_names(skip)
        if not isinstance(event, str) or not event or event in socketio.RESERVED:
            raise Malformed(f"The event {event!r} is the protocol's own; choose another name.")
        data, attachments = socketio.encoded(tuple(arguments))
        check_texts(event, namespace, *rooms, *skipped)
        one = Event(namespace, event, data, rooms, skipped, tuple(attachments))
        if one.size > EVENT_BYTES:
            raise TooLarge(
                f"An event's data has {one.size} bytes, more than the {EVENT_BYTES} it may have."
            )
        return one

    def publish(self, event: Event) -> None:
        """Pass an event on, to viewers here and in the other serving processes."""
        hub = self.hub
        if hub is None or hub.loop is None:
            self._store().emit([event])
            self._note_unserved()
            return
        elsewhere = event.kind == "close_room" or not event.rooms
        elsewhere = elsewhere or any(hub.find(room) is None for room in event.rooms)
        hub.publish(event)
        if self.shared and elsewhere:
            self.relay.put(event)

    def _publish_to_one(self, event: Event, callback: Callback) -> None:
        hub = self.local_hub
        sid = event.rooms[0] if len(event.rooms) == 1 else None
        if sid is None or (hub.find(sid) is None and hub.is_room(event.namespace, sid)):
            raise Malformed(
                "Only one viewer can be asked for an answer, by its sid, in the process that "
                "serves it: where its handlers run."
            )
        hub.publish_to_one(event, callback)

    def _call_back(self, callback: Handler, found: list[Any] | None, namespace: str) -> None:
        if found is not None:
            self.local_hub.call_back(callback, found, namespace)


def check_viewer_name(name: Any) -> None:
    """Raises Malformed."""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= len(name) <= VIEWER_NAME:
        raise Malformed(
            f"The name of a viewer is a text of 1 to {VIEWER_NAME} characters; it is {name!r}."
        )


def check_texts(*texts: str) -> None:
    """Raises Malformed for a lone surrogate: such an event would not reach other processes."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise Malformed("The name of an event, a namespace or a room is no text.") from None


def room_names(rooms: Rooms) -> tuple[str, ...]:
    """The names, for ``Event.rooms``. Raises Malformed unless they are texts."""
    if rooms is None:
        return ()
    names = tuple(rooms) if isinstance(rooms, (list, tuple, set, frozenset)) else (rooms,)
    for name in names:
        if not isinstance(name, str) or not name:
            raise Malformed(
                f"An event goes to rooms or to viewers' sids, which are texts; it is {name!r}."
            )
    return tuple(map(str, names))
