"""Runs a WSGI application, Flask, on a bounded number of daemon threads behind an ASGI server.

Rule 1: a thread is taken when the whole body has been read, and given back when the response is
written into a bounded buffer. Slow clients therefore hold no threads.
Rule 2: every buffer has a bound. Bodies: each by ``body_bytes`` (413), all by MAX_HELD (503).
Requests that wait for a thread: BACKLOG per thread (503). A response: BUFFER bytes and one piece;
beyond it the thread waits for the reader.

The adapters on offer take a thread before the body has come and hold it until a slow reader has
read, so ten slow clients stop the server. They do not close the iterable when the client leaves,
and the threads of their pools keep a stopping process alive.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any

from statecast import logs
from statecast.http import asgi, cors
from statecast.http.asgi import BodyTooLarge, ClientDisconnected, Receive, Scope, Send
from statecast.http.errors import HTTPError, HTTPProblem
from statecast.server.wsgi_environ import build_environ
from statecast.settings import Settings
from statecast.threads import ThreadPool

MAX_HELD = 64 * 1_048_576
"""Bytes of bodies that a process holds at the same time; a single body may exceed it alone."""
BACKLOG = 8
"""Requests per thread that may wait for one."""
THREAD_TIMEOUT = 10.0
"""Seconds for which a request may wait for a thread (503). The application itself has no limit."""
BUFFER = 65_536
"""Bytes of a response that wait for its reader before the thread waits, too."""
LINGER = 2.0
"""Seconds for which a refused body is still read, so that its sender can read the response."""

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger(__name__)


class WsgiBridge:
    """The ASGI application that carries a WSGI application."""

    def __init__(
        self,
        app: WSGI,
        settings: Settings,
        warn: Callable[[str, str], None] = lambda address, sentence: None,
    ) -> None:
        """``warn`` gets the address of a client that a setting refuses, and why."""
        self.app = app
        self._warn = warn
        self._bodies = BodyReader(settings)
        self._origins = settings.allow_origins
        self._pool = ThreadPool(
            settings.wsgi_threads, name="wsgi", backlog=BACKLOG * settings.wsgi_threads
        )

    def close(self) -> None:
        """Let the threads end after what they have to do."""
        self._pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._bodies.read(scope, receive) as body:
                await self._respond(build_environ(scope, body), receive, send)
        except ClientDisconnected:
            return
        except HTTPProblem as problem:
            if problem.setting:
                self._warn(asgi.client_address(scope), problem.reason)
            problem.headers += cors.scope_fields(scope, self._origins)
            await refuse(problem.for_client(scope["headers"]), receive, send)

    async def _respond(self, environ: dict[str, Any], receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        response = WsgiResponse(loop)
        if not self._pool.try_submit(lambda: response.run(self.app, environ)):
            raise HTTPProblem.busy("The server answers as many requests as it can; come back.")
        leaving = asyncio.create_task(_cancel_on_disconnect(receive, response))
        timer = loop.call_later(THREAD_TIMEOUT, response.time_out)
        try:
            if await response.deliver(send) is ResponseState.TIMED_OUT:
                raise HTTPProblem.busy("No thread came free in time; come back.")
        except RuntimeError as error:
            # The application sent another length than it announced: the response breaks off.
            log.error("the application's answer was not valid: %s", error)
        finally:
            timer.cancel()
            response.cancel()
            leaving.cancel()


class BodyReader:
    """Reads bodies; those that are held at the same time have a common bound."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.body_bytes
        self._timeout = settings.body_timeout
        self._held = 0
        """Bytes of all bodies that are read or in use."""

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """The body, held until the block ends. Raises HTTPProblem or ClientDisconnected."""
        size = 0

        def count(size_now: int) -> None:
            nonlocal size
            self._held += size_now - size
            size = size_now
            if self._held > MAX_HELD and self._held > size:
                raise HTTPProblem.busy("The server holds as many bodies as it can; come back.")

        try:
            yield await self._read(scope, receive, count)
        finally:
            self._held -= size

    async def _read(self, scope: Scope, receive: Receive, count: Callable[[int], None]) -> bytes:
        sentence = f"A body may have {self._max_bytes} bytes."
        too_large = HTTPProblem(413, sentence, setting="body_bytes")
        announced = [value for name, value in scope["headers"] if name == b"content-length"]
        if announced and int(announced[0]) > self._max_bytes:
            raise too_large
        try:
            async with asyncio.timeout(self._timeout):
                return await asgi.read_body(receive, self._max_bytes, count)
        except BodyTooLarge:
            raise too_large from None
        except TimeoutError:
            sentence = f"The body did not come within {self._timeout:g} seconds."
            raise HTTPProblem(408, sentence, setting="body_timeout") from None


async def _cancel_on_disconnect(receive: Receive, response: WsgiResponse) -> None:
    await asgi.disconnected(receive)
    response.cancel()


async def refuse(problem: HTTPError, receive: Receive, send: Send) -> None:
    """Send the refusal, and go on reading for a moment.

    Closing while the client is still sending makes the kernel reset the connection and discard our
    response.
    """
    head = [*problem.fields(), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": problem.status, "headers": head})
    await send({"type": "http.response.body", "body": problem.body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER):
            while problem.status in (408, 413):
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


class ResponseState(IntEnum):
    """Of a response."""

    WAITING = 0  # for a thread
    RUNNING = 1  # the application runs on a thread
    COMPLETE = 2  # the application has returned; all of the response is in the buffer or sent
    BROKEN = 3  # the application failed after the response had started: it breaks off
    TIMED_OUT = 4  # no thread came free in time
    CANCELLED = 5  # the client has left, or the server has


TRANSITIONS = {
    ResponseState.WAITING: {
        ResponseState.RUNNING,
        ResponseState.TIMED_OUT,
        ResponseState.CANCELLED,
    },
    ResponseState.RUNNING: {ResponseState.COMPLETE, ResponseState.BROKEN, ResponseState.CANCELLED},
}
"""The other states are final."""


class WsgiResponse:
    """One response on its way from the application's thread to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._room = threading.Condition()
        """Guards the state, the messages and their size; notified when the thread may go on."""
        self._changed = asyncio.Event()
        """Set on the loop when there are messages or a new state."""
        self._state = ResponseState.WAITING
        self._messages: list[dict[str, Any]] = []
        """Messages for ASGI that wait for the loop."""
        self._size = 0
        """Bytes of body in ``_messages``, and in what the loop is sending."""
        self._head: dict[str, Any] | None = None
        """The message that starts the response, once the application called start_response."""
        self._started = False
        """``_head`` has been put among the messages. Used by the thread only."""

    def _enter(self, state: ResponseState) -> None:
        """Only with the lock ``_room``."""
        assert state in TRANSITIONS[self._state], (self._state, state)
        self._state = state

    # On the thread

    def run(self, app: WSGI, environ: dict[str, Any]) -> None:
        if not self._take_thread():
            return
        end = ResponseState.BROKEN
        try:
            self._call(app, environ)
            end = ResponseState.COMPLETE
        except ClientDisconnected:
            pass
        except BaseException as error:
            end = self._report(error, environ)
        with self._room:
            if self._state is ResponseState.RUNNING:
                self._enter(end)
        self._wake_loop()

    def _take_thread(self) -> bool:
        """False when the request was given up while it waited."""
        with self._room:
            waiting = self._state is ResponseState.WAITING
            if waiting:
                self._enter(ResponseState.RUNNING)
        return waiting

    def _call(self, app: WSGI, environ: dict[str, Any]) -> None:
        iterable = app(environ, self._start_response)
        try:
            for piece in iterable:
                self._write(piece)
            self._start()
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[..., None]:
        if exc_info and self._started:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head is not None and not exc_info:
            raise RuntimeError("start_response was called twice")
        fields = [
            (name.strip().lower().encode("latin-1"), value.strip().encode("latin-1"))
            for name, value in headers
        ]
        # Flask dates conditional responses, and uvicorn dates all: one date is enough.
        fields = [(name, value) for name, value in fields if name != b"date"]
        if any(byte in name + value for name, value in fields for byte in (b"\r", b"\n", b"\0")):
            raise ValueError("a header field ends its line")
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": fields}
        return self._write

    def _write(self, piece: bytes) -> None:
        if piece:
            self._start()
            self._put({"type": "http.response.body", "body": piece, "more_body": True})
        elif self._state is not ResponseState.RUNNING:
            raise ClientDisconnected

    def _start(self) -> None:
        if self._head is None:
            raise RuntimeError("the application did not call start_response")
        if not self._started:
            self._started = True
            self._put(self._head)

    def _report(self, error: BaseException, environ: dict[str, Any]) -> ResponseState:
        """Log a failure of the application, and respond with 500 unless a response has started."""
        number = logs.log_error(log, "the application failed", error)
        if self._started:
            return ResponseState.BROKEN
        accept = environ.get("HTTP_ACCEPT", "").encode("latin-1")
        problem = HTTPProblem.failed(number).for_client([(b"accept", accept)])
        self._head = {
            "type": "http.response.start",
            "status": problem.status,
            "headers": problem.fields(),
        }
        try:
            self._write(problem.body)
        except ClientDisconnected:
            return ResponseState.BROKEN
        return ResponseState.COMPLETE

    def _put(self, message: dict[str, Any]) -> None:
        with self._room:
            self._room.wait_for(
                lambda: self._state is not ResponseState.RUNNING or self._size < BUFFER
            )
            if self._state is not ResponseState.RUNNING:
                raise ClientDisconnected
            self._messages.append(message)
            self._size += len(message.get("body", b""))
        self._wake_loop()

    def _wake_loop(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop is closed: the server has stopped
            self.cancel()

    # On the loop

    async def deliver(self, send: Send) -> ResponseState:
        """Send until the application is done or the client has left; the last state."""
        state = ResponseState.WAITING
        while state in TRANSITIONS:
            await self._changed.wait()
            self._changed.clear()
            with self._room:
                state, messages, self._messages = self._state, self._messages, []
            for message in messages:
                await send(message)
                with self._room:
                    self._size -= len(message.get("body", b""))
                    self._room.notify()
        if state is ResponseState.COMPLETE:
            await send({"type": "http.response.body", "body": b""})
        return state

    def time_out(self) -> None:
        """The wait for a thread is over; a response that runs goes on."""
        with self._room:
            if self._state is ResponseState.WAITING:
                self._enter(ResponseState.TIMED_OUT)
        self._changed.set()

    def cancel(self) -> None:
        """The next write of the application raises ClientDisconnected, which ends it."""
        with self._room:
            if self._state in TRANSITIONS:
                self._enter(ResponseState.CANCELLED)
            self._messages.clear()
            self._room.notify()
        self._changed.set()
