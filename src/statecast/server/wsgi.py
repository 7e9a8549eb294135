"""Carries a WSGI application, Flask, on a bounded number of daemon threads.

An adapter of our own, because those on offer take a thread before the body has come and hold it until a slow
reader has read, so ten slow clients stop the server; they do not close the iterable when the client leaves; and
the threads of their pools keep a stopping process alive.

Rule 1: a thread is taken when the whole body is here, and given back when the answer is written into a bound buffer.
Rule 2: every buffer has a bound. Bodies: one by ``body_bytes`` (413), all by BODIES (503). Requests that wait for a
thread: WAITING per thread (503). An answer: BUFFER bytes and one piece; beyond it the thread waits for the reader.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

from statecast.http.errors import Headers, Problem, Receive, Scope, Send
from statecast.server.wsgi_environ import build_environ
from statecast.settings import Settings
from statecast.threads import Pool

BODIES = 64 * 1_048_576
"""Bytes of bodies a process holds at the same time; a body that alone has more may come alone."""
WAITING = 8
"""Requests per thread that may wait for one."""
PATIENCE = 10.0
"""Seconds for which one may wait (503). How long the application then takes is its own affair."""
BUFFER = 65_536
"""Bytes of an answer that wait for its reader before the thread waits, too."""
LINGER = 2.0
"""Seconds for which a refused body is still read, so that its sender can read the answer."""

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger(__name__)


class Left(Exception):
    """The client is gone: nobody reads what the application says."""


class Gate:
    """The ASGI app."""

    def __init__(self, app: WSGI, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self._pool = Pool(settings.wsgi_threads, WAITING * settings.wsgi_threads)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bodies = Bodies(self)
        try:
            body = await bodies.read(scope, receive)
            if body is not None:
                await self._answer(build_environ(scope, body), receive, send)
        except Problem as problem:
            await decline(problem, receive, send)
        finally:
            bodies.drop()

    async def _answer(self, environ: dict[str, Any], receive: Receive, send: Send) -> None:
        answer = Answer(asyncio.get_running_loop())
        if not self._pool.submit(lambda: answer.run(self.app, environ)):
            raise Problem.busy("The server answers as many requests as it can; come back.")
        leaving = asyncio.create_task(_gone(receive, answer))
        patience = asyncio.get_running_loop().call_later(PATIENCE, answer.leave_unless_begun)
        try:
            await answer.deliver(send)
            if answer.forsaken:
                raise Problem.busy("No thread came free in time; come back.")
        except (
            RuntimeError
        ) as error:  # the application announced another length than it sent: the answer breaks off
            log.error("the application's answer was not valid: %s", error)
        finally:
            patience.cancel()
            answer.leave()
            leaving.cancel()


class Bodies:
    """Reads one request's body, and gives back what it took of the common bound."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.size = 0

    async def read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None when the client left. Raises Problem."""
        most, seconds = self.gate.settings.body_bytes, self.gate.settings.body_timeout
        announced = [value for name, value in scope["headers"] if name == b"content-length"]
        if announced and int(announced[0]) > most:
            raise Problem(413, f"A body may have {most} bytes.")
        try:
            async with asyncio.timeout(seconds):
                return await self._read(receive, most)
        except TimeoutError:
            raise Problem(408, f"The body did not come within {seconds:g} seconds.") from None

    async def _read(self, receive: Receive, most: int) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            self._count(len(body))
            if len(body) > most:
                raise Problem(413, f"A body may have {most} bytes.")
            if not message.get("more_body"):
                return bytes(body)

    def _count(self, size: int) -> None:
        self.gate._held += size - self.size
        self.size = size
        if self.gate._held > BODIES and self.gate._held > size:
            raise Problem.busy("The server holds as many bodies as it can; come back.")

    def drop(self) -> None:
        self.gate._held -= self.size
        self.size = 0


async def _gone(receive: Receive, answer: Answer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answer.leave()


async def decline(problem: Problem, receive: Receive, send: Send) -> None:
    """Say no, and then still read for a moment: to close under a sender destroys the answer."""
    head: Headers = [*problem.headers(), (b"connection", b"close")]
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


class Answer:
    """One answer on its way from the application's thread to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._room = threading.Condition()
        self._news = asyncio.Event()
        self._messages: list[dict[str, Any]] = []
        self._size = 0
        self._begun = False
        self._left = False
        self.forsaken = False
        self._done = False
        self._whole = False
        self._head: dict[str, Any] | None = None
        self._started = False

    # On the thread

    def run(self, app: WSGI, environ: dict[str, Any]) -> None:
        try:
            with self._room:
                self._begun = True
                if self._left:
                    return
            self._run(app, environ)
            self._whole = True
        except Left:
            pass
        except BaseException as error:
            self._fail(error)
        finally:
            with self._room:
                self._done = True
            self._ring()

    def _run(self, app: WSGI, environ: dict[str, Any]) -> None:
        iterable = app(environ, self._start_response)
        try:
            for piece in iterable:
                self._write(piece)
            self._begin()
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
        # Flask puts a date into what may be asked for conditionally, and uvicorn into every answer: one is enough.
        fields = [(name, value) for name, value in fields if name != b"date"]
        if any(byte in name + value for name, value in fields for byte in (b"\r", b"\n", b"\0")):
            raise ValueError("a header field ends its line")
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": fields}
        return self._write

    def _write(self, piece: bytes) -> None:
        if piece:
            self._begin()
            self._put({"type": "http.response.body", "body": piece, "more_body": True})
        elif self._left:
            raise Left

    def _begin(self) -> None:
        if self._head is None:
            raise RuntimeError("the application did not call start_response")
        if not self._started:
            self._started = True
            self._put(self._head)

    def _fail(self, error: BaseException) -> None:
        number = secrets.token_hex(4)
        log.error("the application failed, error %s", number, exc_info=error)
        if self._started:
            return  # the client sees an answer that breaks off, as it did
        problem = Problem(500, f"Something failed here; the log says what, under error {number}.")
        self._head = {"type": "http.response.start", "status": 500, "headers": problem.headers()}
        try:
            self._write(problem.body)
        except Left:
            return
        self._whole = True

    def _put(self, message: dict[str, Any]) -> None:
        with self._room:
            self._room.wait_for(lambda: self._left or self._size < BUFFER)
            if self._left:
                raise Left
            self._messages.append(message)
            self._size += len(message.get("body", b""))
        self._ring()

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop is closed: the server has stopped
            self.leave()

    # On the loop

    async def deliver(self, send: Send) -> None:
        """Write until the application is done or the client gone."""
        done = False
        while not done and not self._left:
            await self._news.wait()
            self._news.clear()
            with self._room:
                messages, self._messages, done = self._messages, [], self._done
            for message in messages:
                await send(message)
                with self._room:
                    self._size -= len(message.get("body", b""))
                    self._room.notify()
        if self._whole and not self._left:
            await send({"type": "http.response.body", "body": b""})

    def leave_unless_begun(self) -> None:
        """Waiting for a thread has an end."""
        with self._room:
            if not self._begun and not self._left:
                self.forsaken = self._left = True
        self._news.set()

    def leave(self) -> None:
        """From now on the application's next word ends it."""
        with self._room:
            self._left = True  # a thread that comes later finds this first
            self._messages.clear()
            self._room.notify()
        self._news.set()
