"""The server: one loop for viewers and HTTP, threads for Flask and the queues, one socket.

It stops in this order. Readiness turns red, and new requests are refused with the advice to come
back. Nothing more is received from queues. Viewers are closed in slices. Requests under way have
``shutdown_timeout``. Then every connection is cut; what counts was committed before.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from statecast import logs
from statecast.access.actions import Action
from statecast.access.patterns import EVERYTHING
from statecast.errors import BadSetting, StatecastError
from statecast.http.asgi import App, Scope
from statecast.http.errors import HTTPProblem
from statecast.http.request_limit import RequestLimiter
from statecast.problems import Problems
from statecast.program.patched import refuse_patched
from statecast.realtime.command_arrivals import CommandArrivals
from statecast.realtime.command_takers import TAKE, CommandTakers
from statecast.realtime.command_waits import CommandWaits
from statecast.realtime.polling import PollingEndpoint, PollingSessions
from statecast.realtime.sse import EventStreamEndpoint
from statecast.realtime.websocket_connection import WebSocketEndpoint
from statecast.server import (
    exposure,
    service_manager,
    sockets,
    worker_sockets,
)
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.dated_headers import DatedServerState
from statecast.server.exposure import refuse_unready
from statecast.server.http_protocol import HttpLimits, LimitedHttpProtocol
from statecast.server.malloc_arenas import limit_arenas
from statecast.server.metrics import MetricsEndpoint
from statecast.server.readiness import Readiness
from statecast.server.request_identity import identity_of
from statecast.server.router import Router
from statecast.server.service_manager import ServiceManager, Watchdog
from statecast.server.shutdown import ShutdownSignals, StopRequest
from statecast.server.sockets import accepting
from statecast.server.worker_sockets import WorkerSockets
from statecast.server.wsgi import WSGI, WsgiBridge
from statecast.settings import Settings

# What only TLS or several processes need is imported where it is used: a small machine has neither.
if TYPE_CHECKING:
    from statecast.runtime import Runtime
    from statecast.server.certificate_renewal import CertificateRenewal
    from statecast.server.tls_listener import TlsListener
    from statecast.server.worker_link import WorkerLink

__all__ = ["BackgroundServer", "refuse_unready", "serve"]

KEEP_ALIVE = 20
"""Seconds for which an idle connection is kept: longer than most pauses between two clicks."""
SLICES = 10
MIN_SLICE = 100
"""Viewers are closed in SLICES slices of at least MIN_SLICE, so that they come back in slices."""
PYTHONS_THRESHOLDS = (700, 2_000)
"""Of the youngest objects, by default, before Python 3.13 and since. An application that has set
another one knows why."""
YOUNGEST = 5_000
"""Objects that were made and are still there, after which Python looks for garbage among them."""
POLL = 0.02
"""Seconds between two looks at the connections that are left."""
AFTER_DRAIN = 4.0
"""Seconds from the end of the drain to the end of the process, at most."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server with our own startup and shutdown. It handles no signals."""

    def __init__(
        self,
        runtime: Runtime,
        app: WSGI,
        on_ready: Callable[[], None],
        stop_requested: StopRequest,
        watchdog: Watchdog | None = None,
        link: WorkerLink | None = None,
    ) -> None:
        """``on_ready`` is called once connections are accepted; it serves until ``stop_requested``.

        ``watchdog`` is fed by the loop, and only while the store answers. ``link`` is to the other
        workers of the server.
        """
        settings = runtime.settings
        self.runtime = runtime
        self.on_ready = on_ready
        self.broadcaster = runtime.broadcaster()
        self.hub = runtime.hub(self.broadcaster)
        self.limiter = ConnectionLimiter(settings, max_total=sockets.raise_descriptors())
        log = self.hub.throttled_log

        def warn(address: str, sentence: str) -> None:
            log.warning(address, sentence, time.monotonic())

        pages = RequestLimiter(settings.page_rate_limit, self.limiter.is_exempt)
        runtime.allows_page = pages.allows
        self.http_limits = limits = HttpLimits(settings, self.limiter, warn)
        sessions = PollingSessions(settings)
        polling: App = PollingEndpoint(
            self.hub,
            settings,
            sessions,
            self.limiter.is_exempt,
            worker_id="" if link is None else link.worker_id,
        )
        if link is not None:
            from statecast.server.request_forwarder import RequestForwarder

            polling = RequestForwarder(polling, link, self.limiter, settings)
        events = EventStreamEndpoint(self.hub, self.broadcaster, settings)
        self.readiness = Readiness(runtime.ready)

        async def sees_sources(scope: Scope) -> bool:
            try:
                identity = await identity_of(self.hub.readers, scope)
            except HTTPProblem:  # who monitors a server wants to know whether it is ready
                return False
            return runtime.rights.policy.grants(identity).patterns(Action.READ) == EVERYTHING

        self.bridge = WsgiBridge(app, settings, warn)
        metrics = MetricsEndpoint(runtime, self.hub.readers)

        self.command_arrivals = CommandArrivals()
        self.broadcaster.on_command(self.command_arrivals.note)
        self.broadcaster.on_access(self.command_arrivals.on_access)
        self.hub.readers.on_rights_changed = self.command_arrivals.note_rights
        waits = CommandWaits(
            self.bridge,
            self.command_arrivals,
            heartbeat=settings.ping_interval,
            write_timeout=settings.write_timeout,
            at_once=settings.wsgi_threads,
        )
        self.takers = CommandTakers(
            self.command_arrivals,
            runtime.hand_out,
            runtime.clock,
            self.hub.find,
            runtime.rights.policy.refusal,
        )
        self.hub.answer(TAKE, self.takers.take)
        self.router = Router(
            *(waits, polling, self.readiness, events, metrics, warn, settings.allow_origins),
            sees_sources,
        )
        runtime.loop_routes = self.router.described_routes
        config = uvicorn.Config(
            self.router,
            http=cast(Any, functools.partial(LimitedHttpProtocol, limits)),  # uvicorn only calls it
            ws="none",  # ``limits.websockets`` takes them
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            backlog=sockets.BACKLOG,
            workers=1,
            headers=hsts_headers(settings),
        )
        super().__init__(config)
        self.server_state = DatedServerState()
        endpoint = WebSocketEndpoint(
            self.hub,
            settings,
            sessions,
            connections=self.server_state.connections,
            on_lost=limits.websocket_lost,
        )
        limits.websockets = endpoint
        self.link = link
        if link is not None:
            from statecast.server.adopted_connections import AdoptedConnections
            from statecast.server.connection_forwarder import ConnectionForwarder
            from statecast.server.forwarded_requests import ForwardedRequests

            limits.websockets = ConnectionForwarder(
                endpoint, link, limits.websocket_lost, self.server_state.connections
            )
            self._forwarded = ForwardedRequests(link, self.router, self.limiter)
            self._adopted = AdoptedConnections(link, limits)
        self._certificate = renewal(settings, runtime.problems)
        self._tls_listeners: list[TlsListener] = []
        logs.quiet_uvicorn()
        self._stop_requested = stop_requested
        self._following = False
        self._watchdog = watchdog
        self._feeding: asyncio.Task[None] | None = None

    async def main_loop(self) -> None:
        """uvicorn's own loop wakes up ten times a second to see a request to stop."""
        await self._stop_requested.wait()
        self.should_exit = True

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)  # without uvicorn's handlers of signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.hub.start(loop)
        self.broadcaster.start(loop)
        self.http_limits.start(loop, self.server_state.connections)
        if self.link is not None:
            self._adopted.start(loop)
            await self._forwarded.start()
        self._following = True
        self.runtime.start()
        self.server_state.default_headers = self.config.encoded_headers
        if self._certificate is None:
            await super().startup(accepting(sockets or [], loop))
        else:
            await super().startup([])
            self._listen_for_tls(loop, self._certificate, sockets or [])
        self.on_ready()
        if self._watchdog is not None:
            self._feeding = loop.create_task(self._feed(self._watchdog))

    def _listen_for_tls(
        self,
        loop: asyncio.AbstractEventLoop,
        certificate: CertificateRenewal,
        sockets: list[socket.socket],
    ) -> None:
        from statecast.server.tls_listener import TlsListener

        def make_protocol() -> LimitedHttpProtocol:
            return LimitedHttpProtocol(
                self.http_limits,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        certificate.start(loop)
        for listening in sockets:
            listener = TlsListener(listening, certificate, self.http_limits, make_protocol)
            listener.start(loop)
            self._tls_listeners.append(listener)

    async def _feed(self, watchdog: Watchdog) -> None:
        while True:
            if await self.readiness.answers():
                watchdog.feed()
            await asyncio.sleep(watchdog.interval)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.runtime.settings.shutdown_timeout
        self.router.draining = True
        if self.runtime.settings.workers > 1:
            # The others share the socket: what comes from now on is theirs.
            self.router.others_serve = True
            self._stop_listening(sockets or [])
        self.runtime.drain()
        self.command_arrivals.close()
        for connection in list(self.server_state.connections):
            if isinstance(connection, LimitedHttpProtocol):
                connection.shutdown()
        closing = loop.create_task(self.hub.close_all(max(MIN_SLICE, self.hub.viewers // SLICES)))
        await asyncio.sleep(POLL)  # even with no time left, viewers get their close frames
        while (self.server_state.connections or self.server_state.tasks) and loop.time() < deadline:
            await asyncio.sleep(POLL)
        closing.cancel()
        if self._feeding is not None:
            self._feeding.cancel()
        await self._cut(sockets or [])
        self.stop_following()

    def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Accept no further connection. Called again, it does nothing."""
        for server in self.servers:
            server.close()
        for listener in self._tls_listeners:
            listener.close()
        for one in sockets:
            one.close()

    async def _cut(self, sockets: list[socket.socket]) -> None:
        self._stop_listening(sockets)
        if self._certificate is not None:
            self._certificate.close()
        if self.link is not None:
            self._forwarded.close()
            self._adopted.close()
            self.link.close()
        left: list[Any] = list(self.server_state.connections)
        if left:
            log.warning("%d connections did not end in time and are cut", len(left))
        for connection in left:
            connection.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=1.0)

    def close_threads(self) -> None:
        """Let the threads of its pools end; those that are held up by a handler end with it."""
        self.bridge.close()
        self.readiness.close()
        self.hub.close_threads()
        self.takers.close()

    def stop_following(self) -> None:
        if self._following:
            self._following = False
            self.broadcaster.stop()


def names_tls(settings: Settings) -> bool:
    """Whether a setting is about TLS; whether they are complete is found out by who reads them."""
    return bool(settings.tls_cert or settings.tls_key or settings.hsts_days)


def renewal(settings: Settings, problems: Problems) -> CertificateRenewal | None:
    """The certificate in use; None without TLS. Raises BadSetting."""
    if not names_tls(settings):
        return None
    from statecast.server import certificate_renewal

    return certificate_renewal.from_settings(settings, problems)


def refuse_expired_certificate(settings: Settings) -> None:
    """Raises BadSetting for a certificate that no client accepts."""
    if names_tls(settings):
        from statecast.program import certificate

        certificate.refuse_expired(settings)


def hsts_headers(settings: Settings) -> list[tuple[str, str]]:
    """Browsers take the header from HTTPS only."""
    if not (settings.tls_cert and settings.hsts_days):
        return []
    return [("strict-transport-security", f"max-age={settings.hsts_days * 86_400}")]


def say(sentence: str) -> None:
    print(sentence, flush=True)


def serve(runtime: Runtime, app: WSGI, *, announce: Callable[[str], None] = say) -> int:
    """Serve until a signal; the exit status for it. Main thread only.

    ``announce`` gets one line with the address once connections are accepted. Raises BadSetting,
    StoreUnusable or another StatecastError with a sentence when it cannot start.
    """
    settings = runtime.settings
    refuse_patched()
    if threading.current_thread() is not threading.main_thread():
        raise BadSetting(
            "Signals reach only the main thread, so serve there; elsewhere use BackgroundServer."
        )
    limit_arenas()
    logs.begin(settings.log_level, settings.log_format)
    inherited = worker_sockets.from_environment()
    manager = service_manager.from_environment()
    if settings.workers > 1 and settings.store.startswith("memory:"):
        raise BadSetting(
            "Several processes cannot share a store in memory; name one in a file (--store)."
        )
    if inherited is None:
        refuse_unready(runtime)
        refuse_expired_certificate(settings)
        exposure.warn(settings)
        runtime.warn_of_reserved_names()
    if inherited is not None:
        return _serve_as_worker(runtime, app, inherited, manager)
    if settings.workers > 1:
        from statecast.server import supervisor

        check_config(runtime, app)
        return supervisor.supervise(settings, announce, manager)
    return _serve_alone(runtime, app, announce, manager)


def collect_rarely() -> None:
    """Let Python look for garbage less often, and not in what exists now.

    That lasts as long as the process anyway. A full collection visits all objects, and everything
    stands still meanwhile: with thousands of viewers most of them were those of the start. And with
    Python's thresholds the youngest objects are visited after every dozen messages or connects.
    """
    gc.collect()
    gc.freeze()
    youngest, *older = gc.get_threshold()
    if youngest in PYTHONS_THRESHOLDS:
        gc.set_threshold(YOUNGEST, *older)


def _serve_alone(
    runtime: Runtime, app: WSGI, announce: Callable[[str], None], manager: ServiceManager
) -> int:
    def on_ready() -> None:
        collect_rarely()
        address = sockets.address_of(listening, bool(runtime.settings.tls_cert))
        manager.ready(f"Serving at {address}")
        sockets.announce(listening, announce, runtime.settings)

    stop_requested = StopRequest()
    with _signals(runtime.settings, manager, stop_requested) as signals:
        server, listening = prepare(
            runtime, app, on_ready, stop_requested, watchdog=manager.watchdog
        )
        run(server, listening)
        log.info("stopped")
        return signals.status or 0


def _serve_as_worker(
    runtime: Runtime, app: WSGI, inherited: WorkerSockets, manager: ServiceManager
) -> int:
    def on_ready() -> None:
        collect_rarely()
        inherited.ready()

    stop_requested = StopRequest()
    with _signals(runtime.settings, manager, stop_requested) as signals:
        server, listening = prepare(
            runtime,
            app,
            on_ready,
            stop_requested,
            inherited.listening,
            inherited.watchdog,
            inherited.link,
        )
        inherited.stop_with_parent()
        run(server, listening)
        log.info("stopped")
        return signals.status or 0


def _signals(
    settings: Settings, manager: ServiceManager, stop_requested: StopRequest
) -> ShutdownSignals:
    def on_signal() -> None:
        manager.stopping()
        stop_requested.set()

    return ShutdownSignals(on_signal, settings.shutdown_timeout + AFTER_DRAIN)


def prepare(
    runtime: Runtime,
    app: WSGI,
    on_ready: Callable[[], None],
    stop_requested: StopRequest,
    listening: socket.socket | None = None,
    watchdog: Watchdog | None = None,
    link: WorkerLink | None = None,
) -> tuple[Server, socket.socket]:
    """The server and its socket. Raises a StatecastError for settings, store or port."""
    try:
        runtime.store  # noqa: B018 - opens it
        runtime.open_sources()
        server = Server(runtime, app, on_ready, stop_requested, watchdog, link)
        return server, listening or sockets.listen(runtime.settings)
    except BaseException:
        if listening is not None:
            listening.close()
        runtime.stop()
        raise


def check_config(runtime: Runtime, app: WSGI) -> None:
    """Find once, in the parent, what each of several processes would find wrong.

    Raises a StatecastError.
    """
    try:
        runtime.store  # noqa: B018 - opens it
        runtime.rights.policy  # noqa: B018 - checks its settings
        runtime.open_sources()
        Server(runtime, app, lambda: None, StopRequest())
    finally:
        runtime.stop()


def run(server: Server, listening: socket.socket) -> None:
    """Serve on a socket until the server is asked to stop."""
    try:
        server.run(sockets=[listening])
    finally:
        server.stop_following()
        server.close_threads()
        server.runtime.stop()
        listening.close()


class BackgroundServer:
    """The same server in a daemon thread, without signal handlers.

    For ``flask run``, tests, notebooks and programs that need the main thread for themselves.
    """

    def __init__(self, runtime: Runtime, app: WSGI) -> None:
        self.runtime = runtime
        self.app = app
        self.address = ""
        self._server: Server | None = None
        self._listening: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        """It accepts connections, or has failed."""
        self._stop_requested = StopRequest()
        self._failure: BaseException | None = None

    @property
    def server(self) -> Server:
        """The running server. Only after ``start``."""
        assert self._server is not None
        return self._server

    def start(self, listening: socket.socket | None = None) -> None:
        """Return when it accepts connections. Raises what ``serve`` raises."""
        refuse_patched()
        if listening is None:  # else its caller has chosen the address
            refuse_unready(self.runtime)
        refuse_expired_certificate(self.runtime.settings)
        exposure.warn(self.runtime.settings)
        self.runtime.warn_of_reserved_names()
        self._server, listening = prepare(
            self.runtime, self.app, self._ready.set, self._stop_requested, listening
        )
        self.address = sockets.address_of(listening, bool(self.runtime.settings.tls_cert))
        self._listening = listening
        self._thread = threading.Thread(
            target=self._run, args=(listening,), name="statecast", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def announce(self, print_line: Callable[[str], None]) -> None:
        """Say where it is live, to people here and on other machines. Only after ``start``."""
        assert self._listening is not None
        sockets.announce(self._listening, print_line, self.runtime.settings)

    def join(self) -> None:
        """Wait until it has stopped."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, listening: socket.socket) -> None:
        try:
            run(self.server, listening)
        except BaseException as failure:
            self._failure = failure
            if self._ready.is_set() or not isinstance(failure, StatecastError):
                log.exception("the server failed")
        finally:
            self._ready.set()

    def stop(self) -> None:
        """Stop as a signal would, and wait for it."""
        if self._server is None or self._thread is None:
            return
        self._stop_requested.set()
        self._thread.join(self.runtime.settings.shutdown_timeout + AFTER_DRAIN)
