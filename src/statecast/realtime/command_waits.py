"""Devices that wait for commands: ``GET /api/devices/<device>/commands?after=ID&wait=SECONDS``.

An ASGI app before the one that answers. Here a request only waits, on the loop and without a
thread, until there may be a command for its device; the answer, and every check of the request, is
the other's. Rule: a wait that ends too early costs one question, one that never begins to end would
cost a command. So what is not known here counts as a reason to ask.
"""

from __future__ import annotations

import asyncio
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

PREFIX, SUFFIX = "/api/devices/", "/commands"
LATENESS = 10.0
"""Seconds after its deadline within which a command is said to have passed it."""
MAX_REMEMBERED = 100_000
"""Commands whose place in the order is remembered here."""


class CommandWaits:
    """The open commands of all devices, and the requests that wait for the next ones."""

    def __init__(
        self,
        answer: App,
        clock: Callable[[], float] = time.monotonic,
        may_wait: Callable[[Scope], bool] = lambda scope: True,
    ) -> None:
        """``answer`` answers when a wait is over. ``clock`` gives seconds.

        A request that ``may_wait`` does not admit goes to ``answer`` at once, which refuses it.
        """
        self._answer = answer
        self._may_wait = may_wait
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
        await leaving
        return {"type": "http.disconnect"}

    return receive
