"""Serves: one loop for viewers and HTTP, threads for Flask and the queues, one socket, one end.

How it stops, in this order: readiness goes red and new requests are told to come back; nothing more is received from
queues; viewers are sent away in slices; requests under way have ``shutdown_timeout``; then every connection is cut, and
what was committed is all that matters.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from statecast import logs
from statecast.errors import BadSetting, StatecastError
from statecast.realtime.polling import Polling
from statecast.realtime.sse import Events
from statecast.realtime.websocket_connection import WebSocketEndpoint
from statecast.server import http_protocol, service_manager, sockets, supervisor
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.porter import Porter
from statecast.server.readiness import Readiness
from statecast.server.router import Front
from statecast.server.service_manager import Watchdog
from statecast.server.shutdown import Ending
from statecast.server.sockets import refuse_public
from statecast.server.wsgi import WSGI, WsgiBridge

if TYPE_CHECKING:
    from statecast.runtime import Runtime

__all__ = ["BackgroundServer", "refuse_public", "serve"]

KEEP_ALIVE = 20
"""Seconds an idle connection is kept: longer than a page's beat, so that a visitor's clicks share one."""
SLICES = 10
FEWEST = 100
"""Viewers are sent away in so many slices, of no fewer: they come back one slice after the other."""
LOOK = 0.02
AFTER_DRAIN = 4.0
"""Seconds from the end of the drain to the end of the process, at most."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's, with a beginning and an end of our own. Signals are the business of ``Ending``."""

    def __init__(
        self,
        runtime: Runtime,
        app: WSGI,
        begun: Callable[[], None],
        asked: threading.Event,
        watchdog: Watchdog | None = None,
    ) -> None:
        """``begun`` is called once connections are accepted; it serves until ``asked`` is set.

        ``watchdog`` is fed by the loop, and only while the store answers.
        """
        settings = runtime.settings
        self.runtime = runtime
        self.begun = begun
        self.broadcaster = runtime.broadcaster()
        self.hub = runtime.hub(self.broadcaster)
        self.limiter = ConnectionLimiter(settings, max_total=sockets.raise_descriptors())
        porter = Porter(settings, self.limiter, self._complain)
        polling = Polling(self.hub, self.limiter.is_exempt)
        self.readiness = Readiness(runtime.ready)
        self.front = Front(WsgiBridge(app, settings), polling, self.readiness, Events(self.hub))
        config = uvicorn.Config(
            self.front, http=http_protocol.bind(porter), ws="none", lifespan="off",
            interface="asgi3",
            log_config=None, access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=KEEP_ALIVE,
            backlog=sockets.BACKLOG, workers=1,
        )  # fmt: skip
        super().__init__(config)
        porter.websockets = WebSocketEndpoint(
            self.hub, connections=self.server_state.connections, on_lost=porter.websocket_lost
        )
        logs.quiet_uvicorn()
        self._asked = asked
        self._following = False
        self._watchdog = watchdog
        self._feeding: asyncio.Task[None] | None = None

    def _complain(self, address: str, sentence: str) -> None:
        self.hub.throttled_log.warning(address, sentence, time.monotonic())

    async def on_tick(self, counter: int) -> bool:
        self.should_exit = self._asked.is_set()
        return await super().on_tick(counter)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)  # without uvicorn's handlers of signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.hub.start(loop)
        self.broadcaster.start(loop)
        self._following = True
        self.runtime.start()
        await super().startup(sockets)
        self.begun()
        if self._watchdog is not None:
            self._feeding = loop.create_task(self._feed(self._watchdog))

    async def _feed(self, watchdog: Watchdog) -> None:
        while True:
            if await self.readiness.answers():
                watchdog.feed()
            await asyncio.sleep(watchdog.interval)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.runtime.settings.shutdown_timeout
        self.front.draining = True
        self.runtime.drain()
        for connection in list(self.server_state.connections):
            if isinstance(connection, http_protocol.Door):
                connection.shutdown()
        goodbye = loop.create_task(self.hub.close_all(max(FEWEST, self.hub.viewers // SLICES)))
        await asyncio.sleep(LOOK)  # at the least, the viewers are told
        while (self.server_state.connections or self.server_state.tasks) and loop.time() < deadline:
            await asyncio.sleep(LOOK)
        goodbye.cancel()
        if self._feeding is not None:
            self._feeding.cancel()
        await self._cut(sockets or [])
        self.stop_following()

    async def _cut(self, sockets: list[socket.socket]) -> None:
        for server in self.servers:
            server.close()
        for one in sockets:
            one.close()
        left: list[Any] = list(self.server_state.connections)
        if left:
            log.warning("%d connections did not end in time and are cut", len(left))
        for connection in left:
            connection.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=1.0)

    def stop_following(self) -> None:
        if self._following:
            self._following = False
            self.broadcaster.stop()


def say(sentence: str) -> None:
    print(sentence, flush=True)


def serve(runtime: Runtime, app: WSGI, *, announce: Callable[[str], None] = say) -> int:
    """Serve until a signal; the exit status for it. Main thread only.

    ``announce`` gets one line with the address once connections are accepted. Raises BadSetting, StoreUnusable or
    another StatecastError with a sentence when it cannot begin.
    """
    settings = runtime.settings
    if threading.current_thread() is not threading.main_thread():
        raise BadSetting(
            "Signals reach only the main thread, so serve there; elsewhere use BackgroundServer."
        )
    refuse_public(settings)
    logs.begin()
    place = supervisor.inherited()
    manager = service_manager.from_environment()
    if settings.workers > 1 and settings.store.startswith("memory:"):
        raise BadSetting(
            "Several processes cannot share a store in memory; name one in a file (--store)."
        )
    if place is None and settings.workers > 1:
        rehearse(runtime, app)
        return supervisor.supervise(settings, announce, manager)

    def begun() -> None:
        if place is None:
            manager.ready(f"Serving at {sockets.address_of(taken)}")
            sockets.announce(taken, announce)
        else:
            place.ready()

    def stop() -> None:
        manager.stopping()
        asked.set()

    asked = threading.Event()
    watchdog = manager.watchdog if place is None else place.watchdog
    with Ending(stop, settings.shutdown_timeout + AFTER_DRAIN) as ending:
        server, taken = prepare(
            runtime, app, begun, asked, None if place is None else place.listening, watchdog
        )
        if place is not None:
            place.stop_with_parent()
        run(server, taken)
        log.info("stopped")
        return ending.status or 0


def prepare(
    runtime: Runtime,
    app: WSGI,
    begun: Callable[[], None],
    asked: threading.Event,
    taken: socket.socket | None = None,
    watchdog: Watchdog | None = None,
) -> tuple[Server, socket.socket]:
    """All that can be wrong with settings, store and port is found here. Raises a StatecastError."""
    try:
        runtime.store  # noqa: B018 - opens it
        runtime.open_sources()
        server = Server(runtime, app, begun, asked, watchdog)
        return server, taken or sockets.listen(runtime.settings)
    except BaseException:
        runtime.stop()
        raise


def rehearse(runtime: Runtime, app: WSGI) -> None:
    """What every one of several processes would find wrong is said once, by their parent. Raises a StatecastError."""
    try:
        runtime.store  # noqa: B018 - opens it
        runtime.open_sources()
        Server(runtime, app, lambda: None, threading.Event())
    finally:
        runtime.stop()


def run(server: Server, taken: socket.socket) -> None:
    """Serve on a socket until the server is asked to stop."""
    try:
        server.run(sockets=[taken])
    finally:
        server.stop_following()
        server.runtime.stop()
        taken.close()


class BackgroundServer:
    """The same server in a daemon thread, without handlers of signals: for ``flask run``, tests and notebooks."""

    def __init__(self, runtime: Runtime, app: WSGI) -> None:
        self.runtime = runtime
        self.app = app
        self.address = ""
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        self._asked = threading.Event()
        self._failure: BaseException | None = None

    @property
    def server(self) -> Server:
        """The running server. Only after ``start``."""
        assert self._server is not None
        return self._server

    def start(self) -> None:
        """Return when it accepts connections. Raises what ``serve`` raises."""
        refuse_public(self.runtime.settings)
        self._server, taken = prepare(self.runtime, self.app, self._begun.set, self._asked)
        self.address = sockets.address_of(taken)
        self._thread = threading.Thread(
            target=self._run, args=(taken,), name="statecast", daemon=True
        )
        self._thread.start()
        self._begun.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self, taken: socket.socket) -> None:
        try:
            run(self.server, taken)
        except BaseException as failure:
            self._failure = failure
            if self._begun.is_set() or not isinstance(failure, StatecastError):
                log.exception("the server failed")
        finally:
            self._begun.set()

    def stop(self) -> None:
        """Stop as a signal would, and wait for it."""
        if self._server is None or self._thread is None:
            return
        self._asked.set()
        self._thread.join(self.runtime.settings.shutdown_timeout + AFTER_DRAIN)
