"""Devices that wait for commands: ``GET /api/devices/<device>/commands?after=ID&wait=SECONDS``.

With ``Accept: text/event-stream`` the answer goes on, with an event for each command.

An ASGI app before the one that answers. Every request is answered there at first, so whatever is
wrong with it is said at once. Only a request that got no command waits here, on the loop and
without a thread, until there may be one for its device, or rights have changed; then the other app
is asked again.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlencode

from statecast.commands.life import NO_COMMANDS
from statecast.commands.request import wait_seconds
from statecast.errors import Malformed
from statecast.http import asgi
from statecast.http.asgi import App, Message, Receive, Scope, Send
from statecast.http.mount import inner_path
from statecast.realtime.command_arrivals import CommandArrivals
from statecast.realtime.sse import cut

PREFIX, SUFFIX = "/api/devices/", "/commands"
HEARTBEAT, WRITE_TIMEOUT = 25.0, 10.0
"""Seconds between two comments of a stream, and in which a device must accept what is written."""
PAUSE = 1.0
"""Seconds before a stream asks again that got nothing, although there may be a command."""
AT_ONCE = 16
"""Questions that may be under way at the same time."""
EVENTS = b"text/event-stream"


class CommandWaits:
    """The requests that wait for commands."""

    def __init__(
        self,
        answer: App,
        commands: CommandArrivals,
        *,
        heartbeat: float = HEARTBEAT,
        write_timeout: float = WRITE_TIMEOUT,
        at_once: int = AT_ONCE,
    ) -> None:
        """``answer`` answers each question, and refuses it: so a request that may not take
        commands does not wait, and learns nothing from when it is answered.

        One command ends the waits of all requests for its device, and then they come again. So
        ``at_once`` questions are under way at the same time: the queue of ``answer`` is bounded,
        and would refuse the rest.
        """
        self._answer = answer
        self._commands = commands
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed, found = stream_of(scope), wait_of(scope)
        if streamed is None and found is None:
            await self._answer(scope, receive, send)
            return
        body = await receive()
        leaving = asyncio.get_running_loop().create_task(asgi.disconnected(receive))
        try:
            if body["type"] == "http.disconnect":
                return
            ask = Questions(self._answer, self._commands, scope, body, leaving, self._turns)
            if streamed is not None:
                await self._stream(*streamed, ask, send)
            elif found is not None:
                await self._poll(*found, ask, send)
        except TimeoutError:
            cut(scope)
        finally:
            leaving.cancel()

    async def _poll(
        self, device: str, after: str, seconds: float, questions: Questions, send: Send
    ) -> None:
        """Answer once: at once if there is a command or a refusal, else after a wait."""
        status, headers, body = await questions.ask(device, after)
        if status == 200 and body == NO_COMMANDS:
            await questions.wait(device, after, seconds)
            if questions.must_ask(device, after) and not self._is_over(questions):
                status, headers, body = await questions.ask(device, after)
        if not questions.leaving.done():
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await self._write(send, body, more=False)

    async def _stream(self, device: str, after: str, questions: Questions, send: Send) -> None:
        """Answer with a stream of commands. One that is refused at its beginning gets the reason.

        Each page of commands is handed out by a question of its own, so it is noted as delivered
        before it is written. If the connection is cut in between, it is handed out again.
        """
        status, headers, events = await questions.ask(device, after)
        if status != 200:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await self._write(send, events, more=False)
            return
        lasting = [one for one in headers if one[0].lower() != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": lasting})
        await self._write(send, events)
        while not self._is_over(questions):
            after = newest_id(events) or after
            events = b":\n\n"
            await questions.wait(device, after, self._heartbeat)
            if questions.must_ask(device, after) and not self._is_over(questions):
                status, _, found = await questions.ask(device, after)
                if status == 200:
                    events = found
                elif status != 503:  # it comes again, and gets the reason
                    break
                if newest_id(events) is None:
                    await asyncio.wait([questions.leaving], timeout=PAUSE)
            await self._write(send, events)
        await self._write(send, b"", more=False)

    def _is_over(self, questions: Questions) -> bool:
        return self._commands.closed or questions.leaving.done()

    async def _write(self, send: Send, chunk: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._write_timeout):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})


class Questions:
    """What one request asks the app that answers, again and again."""

    def __init__(
        self,
        answer: App,
        commands: CommandArrivals,
        scope: Scope,
        body: Message,
        leaving: asyncio.Task[None],
        turns: asyncio.Semaphore,
    ) -> None:
        self.leaving = leaving
        """Done when the client has left."""
        self._answer = answer
        self._commands = commands
        self._scope = scope
        self._body = body
        self._turns = turns
        self._rights = commands.rights
        """As they were before the last question."""

    async def wait(self, device: str, after: str, seconds: float) -> None:
        """Wait for a reason to ask again."""
        await self._commands.wait(device, after, self._rights, seconds, self.leaving)

    def must_ask(self, device: str, after: str) -> bool:
        """Whether there is a reason to ask again."""
        return self._commands.must_ask(device, after, self._rights)

    async def ask(self, device: str, after: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Ask for the commands after a place: status, headers and body of the answer."""
        found: list[Message] = []

        async def keep(message: Message) -> None:
            found.append(message)

        async with self._turns:
            if not self.leaving.done():
                self._commands.learn_place(device, after)
                self._rights = self._commands.rights
                receive = again(self._body, self.leaving)
                await self._answer(at_place(self._scope, after), receive, keep)
        if not found:  # the client has left
            return 503, [], b""
        start, *parts = found
        chunks = [one.get("body", b"") for one in parts]
        return start["status"], list(start["headers"]), b"".join(chunks)


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


def again(body: Message, leaving: asyncio.Task[None]) -> Receive:
    """A ``receive`` that gives what was received while the request waited."""
    first: list[Message] = [body]

    async def receive() -> Message:
        if first:
            return first.pop()
        await asyncio.wait([leaving])  # a caller that stops to wait does not end it
        return {"type": "http.disconnect"}

    return receive
