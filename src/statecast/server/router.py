"""The ASGI application of the whole server: routes a request to the endpoint for its path.

What must be answered while every thread is busy or Flask is broken runs on the loop: the live
endpoint, health, and the few static files, which are read once. All else goes to Flask.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from statecast import logs, strict_json
from statecast.http import cors
from statecast.http.asgi import App, Headers, Receive, Scope, Send, client_address
from statecast.http.content_coding import takes_gzip
from statecast.http.errors import HTTPProblem
from statecast.http.mount import inner_path
from statecast.server.readiness import Readiness
from statecast.server.static_files import static_files

if TYPE_CHECKING:
    from statecast.openapi.operation import DescribedRoute

READ_METHODS = ("GET", "HEAD")

log = logging.getLogger(__name__)


async def everyone(scope: Scope) -> bool:
    return True


class Router:
    """The endpoints by path. While ``draining`` only health is answered; the rest is refused.

    Where ``others_serve`` the same socket, requests that this process has accepted are answered.
    """

    def __init__(
        self,
        wsgi: App,
        polling: App,
        readiness: Readiness,
        events: App | None = None,
        metrics: App | None = None,
        warn: Callable[[str, str], None] = lambda address, sentence: None,
        origins: Sequence[str] = (),
        sees_sources: Callable[[Scope], Awaitable[bool]] = everyone,
    ) -> None:
        """``warn`` gets the address of a client that a setting refuses, and why.

        Pages of ``origins`` may read our scripts, and why a request was refused. ``sees_sources``
        says to whom ``/readyz`` names what is wrong: sources may bear the names of devices.
        """
        self._sees_sources = sees_sources
        self._origins = origins
        self.draining = self.others_serve = False
        self.files = static_files()
        self._warn = warn
        self._wsgi = wsgi
        self._readiness = readiness
        self._apps: dict[str, App] = {
            "/socket.io/": polling,
            "/healthz": self._health,
            "/readyz": self._ready,
        }
        if events is not None:
            self._apps["/events"] = events
        if metrics is not None:
            self._apps["/metrics"] = metrics

    @property
    def paths(self) -> list[str]:
        """Those of the endpoints on the loop, besides static files."""
        return list(self._apps)

    def described_routes(self) -> list[DescribedRoute]:
        """What is said about them in the document of REST, which few servers are asked for."""
        from statecast.server import loop_operations

        return loop_operations.described_routes(self.paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = inner_path(scope["path"], scope.get("root_path", ""))
        app = self._apps.get(path)
        if app is None:
            app = self._file if path in self.files else self._wsgi
        started = False

        async def sending(message: Scope) -> None:
            nonlocal started
            started = True
            await send(_closing(message) if self.draining else message)

        try:
            if self.draining and not self.others_serve and path not in ("/healthz", "/readyz"):
                raise HTTPProblem(
                    503,
                    "The server restarts; come back.",
                    [(b"retry-after", b"1"), (b"connection", b"close")],
                )
            await app(scope, receive, sending)
        except HTTPProblem as problem:
            if problem.setting:
                self._warn(client_address(scope), problem.reason)
            await problem.for_client(scope["headers"]).send(send, self._cors(scope))
        except Exception as error:
            number = logs.log_error(log, "a response failed", error)
            if not started:
                failed = HTTPProblem.failed(number).for_client(scope["headers"])
                await failed.send(send, [(b"connection", b"close"), *self._cors(scope)])
        # A response that broke off is not completed: its connection ends, so the client notices.

    def _cors(self, scope: Scope) -> Headers:
        return cors.scope_fields(scope, self._origins)

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The process lives."""
        await _json(scope, send, 200, {"status": "alive"})

    async def _ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whether the work goes on; with ``?only=store`` whether requests may be sent here.

        A queue that is away is no reason to take the pages away that say so. Another value of
        ``only`` is refused: a misspelt one would ask the other question.
        """
        query = scope.get("query_string", b"").decode("latin-1")
        asked = parse_qs(query, keep_blank_values=True).get("only")
        if asked not in (None, ["store"]):
            raise HTTPProblem(400, "“only” may be “store”, and nothing else.")
        if self.draining:
            await _json(scope, send, 503, {"status": "stopping"}, [(b"connection", b"close")])
            return
        ready, details = await self._readiness.ask()
        if asked:
            ready = details["store"] == "connected"
        if not await self._sees_sources(scope):
            details = {"store": details["store"]}
        await _json(
            scope,
            send,
            200 if ready else 503,
            {"status": "ready" if ready else "not ready", **details},
        )

    async def _file(self, scope: Scope, receive: Receive, send: Send) -> None:
        _check_read_only(scope)
        file = self.files[inner_path(scope["path"], scope.get("root_path", ""))]
        packed = takes_gzip(value for name, value in scope["headers"] if name == b"accept-encoding")
        body, tag = (file.packed, file.tag[:-1] + b'-gzip"') if packed else (file.body, file.tag)
        headers = [
            (b"etag", tag),
            (b"vary", b"accept-encoding"),
            (
                b"cache-control",
                b"no-cache",
            ),  # cached but revalidated: no old script after an update
            (b"x-content-type-options", b"nosniff"),
            *self._cors(scope),
        ]
        known = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
        if any(one.strip().removeprefix(b"W/") in (tag, b"*") for one in known.split(b",")):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        headers += [(b"content-type", file.kind), (b"content-length", b"%d" % len(body))]
        headers += [(b"content-encoding", b"gzip")] if packed else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _closing(message: Scope) -> Scope:
    """The same, for the last response on its connection."""
    if message["type"] != "http.response.start":
        return message
    headers = [field for field in message.get("headers", ()) if field[0].lower() != b"connection"]
    return {**message, "headers": [*headers, (b"connection", b"close")]}


def _check_read_only(scope: Scope) -> None:
    if scope["method"] not in READ_METHODS:
        raise HTTPProblem(405, "This is only read: GET or HEAD.", [(b"allow", b"GET, HEAD")])


async def _json(
    scope: Scope, send: Send, status: int, value: dict[str, object], more: Headers | None = None
) -> None:
    _check_read_only(scope)
    body = strict_json.encode(value)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *(more or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
