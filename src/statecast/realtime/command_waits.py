"""Devices that wait for commands: ``GET /api/devices/<device>/commands?after=ID&wait=SECONDS``.

With ``Accept: text/event-stream`` the answer goes on, with an event for each command.

An ASGI app before the one that answers. Here a request only waits, on the loop and without a
thread, until there may be a command for its device; the answer, and every check of the request, is
the other's. Rule: a wait that ends too early costs one question, one that never begins to end would
cost a command. So what is not known here counts as a reason to ask.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qsl, urlencode

from statecast.commands.life import Command
from statecast.commands.request import wait_seconds
from statecast.errors import Malformed
from statecast.http import asgi
from statecast.http.asgi import App, Message, Receive, Scope, Send
from statecast.http.mount import inner_path
from statecast.realtime.sse import cut

PREFIX, SUFFIX = "/api/devices/", "/commands"
LATENESS = 10.0
"""Seconds after its deadline within which a command is said to have passed it."""
HEARTBEAT, WRITE_TIMEOUT = 25.0, 10.0
"""Seconds between two comments of a stream, and in which a device must accept what is written."""
PAUSE = 1.0
"""Seconds before a stream asks again that got nothing, although there may be a command."""
EVENTS = b"text/event-stream"
MAX_REMEMBERED = 100_000
"""Commands whose place in the order is remembered here."""


class CommandWaits:
    """The open commands of all devices, and the requests that wait for the next ones."""

    def __init__(
        self,
        answer: App,
        clock: Callable[[], float] = time.monotonic,
        may_wait: Callable[[Scope], bool] = lambda scope: True,
        *,
        heartbeat: float = HEARTBEAT,
        write_timeout: float = WRITE_TIMEOUT,
    ) -> None:
        """``answer`` answers when a wait is over. ``clock`` gives seconds.

        A request that ``may_wait`` does not admit goes to ``answer`` at once, which refuses it.
        """
        self._answer = answer
        self._may_wait = may_wait
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._clock = clock
        self._open: defaultdict[str, dict[str, tuple[int, float]]] = defaultdict(dict)
        """Numbers of the open commands by id, for each device, and until when they may be open.

        Of a store that was set back it is not said what became of them.
        """
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Number and newest change of all that were seen here, at most ``MAX_REMEMBERED``."""
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def note(self, command: Command) -> None:
        """Take over what became of a command, unless something newer is known; on the loop."""
        if self._known.get(command.id, (0, 0))[1] >= command.change:
            return
        self._remember(command.id, command.number, command.change)
        if command.is_open:
            until = self._clock() + (command.expires_at - command.created_at) / 1000 + LATENESS
            self._open[command.device][command.id] = command.number, until
            for wake in self._waiting.get(command.device, ()):
                wake.set()
        elif command.device in self._open:
            self._open[command.device].pop(command.id, None)
            if not self._open[command.device]:
                del self._open[command.device]

    def _remember(self, id_: str, number: int, change: int) -> None:
        self._known[id_] = number, change
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def close(self) -> None:
        """End every wait: the server stops."""
        self._closed = True
        for waiting in self._waiting.values():
            for wake in waiting:
                wake.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed = stream_of(scope)
        if streamed is not None and self._may_wait(scope):
            await self._stream(*streamed, scope, receive, send)
            return
        found = wait_of(scope)
        if found is None or not self._may_wait(scope):
            await self._answer(scope, receive, send)
            return
        device, after, seconds = found
        body = await receive()
        leaving = asyncio.get_running_loop().create_task(asgi.disconnected(receive))
        try:
            if body["type"] == "http.disconnect":
                return
            await self._wait(device, after, seconds, leaving)
            if leaving.done():
                return
            self._learn_place(device, after)
            await self._answer(without_wait(scope), again(body, leaving), send)
        finally:
            leaving.cancel()

    async def _stream(
        self, device: str, after: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer with a stream of commands. One that is refused at its beginning gets the reason.

        Each page of commands is handed out by a question of its own, so it is noted as delivered
        before it is written. If the connection is cut in between, it is handed out again.
        """
        body = await receive()
        leaving = asyncio.get_running_loop().create_task(asgi.disconnected(receive))
        try:
            if body["type"] == "http.disconnect":
                return
            ask = functools.partial(self._ask, device, scope=scope, body=body, leaving=leaving)
            status, headers, events = await ask(after)
            if status != 200:
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await self._write(send, events, more=False)
                return
            lasting = [one for one in headers if one[0].lower() != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": lasting})
            await self._write(send, events)
            while not self._is_over(leaving):
                after = newest_id(events) or after
                events = b":\n\n"
                await self._wait(device, after, self._heartbeat, leaving)
                if self._any(device, after) and not self._is_over(leaving):
                    status, _, events = await ask(after)
                    if status != 200:  # it comes again, and gets the reason
                        break
                    if newest_id(events) is None:
                        await asyncio.wait([leaving], timeout=PAUSE)
                await self._write(send, events)
            await self._write(send, b"", more=False)
        except TimeoutError:
            cut(scope)
        finally:
            leaving.cancel()

    def _is_over(self, leaving: asyncio.Task[None]) -> bool:
        return self._closed or leaving.done()

    async def _ask(
        self, device: str, after: str, *, scope: Scope, body: Message, leaving: asyncio.Task[None]
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Ask for the commands after a place: status, headers and body of the answer."""
        self._learn_place(device, after)
        found: list[Message] = []

        async def keep(message: Message) -> None:
            found.append(message)

        await self._answer(at_place(scope, after), again(body, leaving), keep)
        start, *parts = found
        chunks = [one.get("body", b"") for one in parts]
        return start["status"], list(start["headers"]), b"".join(chunks)

    async def _write(self, send: Send, chunk: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._write_timeout):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _wait(
        self, device: str, after: str, seconds: float, leaving: asyncio.Task[None]
    ) -> None:
        """Return when there may be a command, the client has left, or the time is over."""
        wake = asyncio.Event()
        leaving.add_done_callback(lambda _: wake.set())
        self._waiting[device].add(wake)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not (self._closed or leaving.done() or self._any(device, after)):
                        wake.clear()
                        await wake.wait()
        finally:
            self._waiting[device].discard(wake)
            if not self._waiting[device]:
                del self._waiting[device]

    def _learn_place(self, device: str, after: str) -> None:
        """The store answers now what it has after a place that is not known here.

        A device that asks from there again got nothing: what is open was before it.
        """
        if after and after not in self._known and device in self._open:
            newest = max(number for number, _ in self._open[device].values())
            self._remember(after, newest, 0)

    def _any(self, device: str, after: str) -> bool:
        """Whether there may be an open command after this one."""
        place, now = self._known.get(after, (0, 0))[0], self._clock()
        opened = self._open.get(device, {}).values()
        return any(number > place and now < until for number, until in opened)


def stream_of(scope: Scope) -> tuple[str, str] | None:
    """Device and place of a request for a stream of commands; None for any other."""
    headers = dict(scope["headers"])
    path = inner_path(scope["path"], scope.get("root_path", ""))
    if scope["method"] != "GET" or not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), True))
    if "after" not in query or EVENTS not in headers.get(b"accept", b""):
        return None
    last = headers.get(b"last-event-id", b"").decode("latin-1")
    return path.removeprefix(PREFIX).removesuffix(SUFFIX), last or query["after"]


def at_place(scope: Scope, after: str) -> Scope:
    """The same request, which asks from this place, once."""
    members = parse_qsl(scope["query_string"].decode("latin-1"), True)
    kept = [(name, value) for name, value in members if name not in ("after", "wait")]
    headers = [one for one in scope["headers"] if one[0].lower() != b"last-event-id"]
    query = urlencode([*kept, ("after", after)]).encode()
    return {**scope, "query_string": query, "headers": headers}


def newest_id(events: bytes) -> str | None:
    """The id of the last event in these."""
    _, found, rest = events.rpartition(b"\nid: ")
    return rest.partition(b"\n")[0].decode("latin-1") if found else None


def wait_of(scope: Scope) -> tuple[str, str, float] | None:
    """Device, place and seconds of a request that waits; None for any other.

    What is not in order is answered at once, with the reason.
    """
    path = inner_path(scope["path"], scope.get("root_path", ""))
    if scope["method"] != "GET" or not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), True))
    if "after" not in query or "wait" not in query:
        return None
    try:
        seconds = wait_seconds(query["wait"])
    except Malformed:
        return None
    return path.removeprefix(PREFIX).removesuffix(SUFFIX), query["after"], seconds


def without_wait(scope: Scope) -> Scope:
    """The same request, which does not wait."""
    members = parse_qsl(scope["query_string"].decode("latin-1"), True)
    kept = [(name, value) for name, value in members if name != "wait"]
    return {**scope, "query_string": urlencode(kept).encode()}


def again(body: Message, leaving: asyncio.Task[None]) -> Receive:
    """A ``receive`` that gives what was received while the request waited."""
    first: list[Message] = [body]

    async def receive() -> Message:
        if first:
            return first.pop()
        await asyncio.wait([leaving])  # a caller that stops to wait does not end it
        return {"type": "http.disconnect"}

    return receive
