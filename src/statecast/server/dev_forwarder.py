"""Passes viewers' requests to Flask's development server on to ours, in the same process.

WSGI cannot carry a WebSocket. Werkzeug's server gives an application the socket of the request for
this (``werkzeug.socket``, since 2.0), so bytes are copied between that socket and a connection to
our server. The page and its viewers then have one address, whatever host, port or certificate
``flask run`` was given. Each viewer holds a thread of Flask's server: enough for development.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from werkzeug.exceptions import Forbidden, HTTPException, ServiceUnavailable
from werkzeug.wsgi import get_input_stream

from statecast.http import locality
from statecast.http.addresses import is_loopback
from statecast.realtime import command_waits
from statecast.server.wsgi import WSGI
from statecast.settings import Settings

PATHS = frozenset({"/socket.io/", "/events", "/healthz", "/readyz", "/metrics"})
"""What only our server answers."""
START_TIMEOUT = 5.0
"""Seconds for which a viewer waits for our server to start."""
CHUNK = 65_536
SWITCHED = b"HTTP/1.1 101 "
"""How the response begins after which both sides speak as they like."""
NOT_PASSED = ("HTTP_CONNECTION", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_FORWARDED")
"""Header fields about this connection, and what only a proxy may say (see ``_is_passed``)."""

UNKNOWN = "unknown"
"""In place of an address (RFC 7239, section 6.2)."""


class DevForwarder:
    """WSGI middleware: what only our server answers goes there, all else to the application."""

    def __init__(self, app: WSGI, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._address: tuple[str, int] | None = None
        self._known = threading.Event()

    def begin(self, address: tuple[str, int] | None) -> None:
        """Our server listens at ``address``; None: it could not start."""
        self._address = address
        self._known.set()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        # Our server has passed this on to the app: a device that may not wait, or a wrong `wait`.
        if "asgi.scope" in environ or not is_ours(environ):
            return self._app(environ, start_response)
        try:
            status = self._forward(environ)
        except HTTPException as error:
            return error(environ, start_response)
        # The response has been sent. This one goes to a closed socket, and into the log.
        start_response(status, [])
        return []

    def _forward(self, environ: dict[str, Any]) -> str:
        """Copy until one side ends; returns the status of the response, for the log."""
        client: socket.socket | None = environ.get("werkzeug.socket")
        if client is None:
            raise ServiceUnavailable("Viewers are served here only under `flask run`.")
        if environ["PATH_INFO"] == "/metrics" and is_by_unknown(environ):
            raise Forbidden(
                "A proxy passes this request on, so it is not known who asks; wrap the app in "
                "werkzeug's ProxyFix, or ask the server itself."
            )
        self._known.wait(START_TIMEOUT)
        if self._address is None:
            raise ServiceUnavailable("Statecast is not live; the output of flask run says why.")
        stream = get_input_stream(environ, max_content_length=self._settings.body_bytes)
        head, body = request_head(environ), stream.read()
        timeout = self._settings.write_timeout
        try:
            with socket.create_connection(self._address, timeout) as server:
                client.settimeout(timeout)
                server.sendall(head % len(body) + body)
                return copy(client, server)
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


def is_ours(environ: dict[str, Any]) -> bool:
    """A viewer, a question about the server, or a device that waits for its next command."""
    path = environ.get("PATH_INFO", "")
    command = path.startswith(command_waits.PREFIX) and path.endswith(command_waits.SUFFIX)
    return path in PATHS or (command and waits(environ))


def is_by_unknown(environ: dict[str, Any]) -> bool:
    """Whether the address is that of a proxy, and nothing says whose request it passes on."""
    return locality.is_passed_on_environ(environ) and "werkzeug.proxy_fix.orig" not in environ


def request_head(environ: dict[str, Any]) -> bytes:
    """The head of the request for our server, with ``%d`` for the length of its body."""
    path, query = quote(environ["PATH_INFO"], encoding="latin-1"), environ.get("QUERY_STRING", "")
    target = f"{path}?{query}" if query else path
    lines = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1", *_fields(environ)]
    text = "\r\n".join([*lines, "Content-Length: "]).replace("%", "%%") + "%d\r\n\r\n"
    return text.encode("latin-1")


def _fields(environ: dict[str, Any]) -> Iterator[str]:
    for name, value in environ.items():
        if name == "CONTENT_TYPE" or _is_passed(name):
            field = name.removeprefix("HTTP_").replace("_", "-")
            yield f"{field}: {value}"
    upgrade = environ.get("HTTP_UPGRADE")
    yield f"Connection: {'Upgrade' if upgrade else 'close'}"
    yield f"X-Forwarded-Proto: {environ['wsgi.url_scheme']}"
    address = environ.get("REMOTE_ADDR", "")
    # The loopback address of a proxy that no setting names is not the client's.
    known = not is_loopback(address) or locality.is_local_environ(environ)
    yield f"X-Forwarded-For: {address if known else UNKNOWN}"


def _is_passed(name: str) -> bool:
    """No field that a client could use to name another client, scheme or path."""
    forwarded = name.startswith("HTTP_X_FORWARDED_")
    return name.startswith("HTTP_") and name not in NOT_PASSED and not forwarded


def copy(client: socket.socket, server: socket.socket) -> str:
    """Copy between two sockets until one ends; the status that the server sent first.

    A side that takes nothing for the timeout of its socket ends both. Before a WebSocket is open
    the client has nothing more to say: a further request would come past ``request_head``.
    """
    first = b""
    other = {client: server, server: client}
    with contextlib.suppress(OSError), selectors.DefaultSelector() as ready:
        for one in other:
            ready.register(one, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                source: Any = key.fileobj
                data = received(source)
                if data is None:
                    continue
                if not data:
                    return status_of(first)
                if source is server and len(first) < CHUNK and b"\r\n" not in first:
                    first += data
                if source is server or first.startswith(SWITCHED):
                    other[source].sendall(data)
    return status_of(first)


def received(source: socket.socket) -> bytes | None:
    """What has arrived: b"" at the end, None for a part of TLS that is no data.

    TLS may hold more data than the system shows, so all of it is taken.
    """
    if not isinstance(source, ssl.SSLSocket):
        return source.recv(CHUNK)
    timeout = source.gettimeout()
    source.setblocking(False)
    try:
        data = source.recv(CHUNK)
        while data and source.pending():
            data += source.recv(source.pending())
        return data
    except ssl.SSLWantReadError:
        return None
    finally:
        source.settimeout(timeout)


def status_of(response: bytes) -> str:
    """The status of a response by its first line, for WSGI."""
    line = response.partition(b"\r\n")[0].decode("latin-1")
    return line.partition(" ")[2] or "502 Bad Gateway"


def waits(environ: Mapping[str, Any]) -> bool:
    """Whether a request for commands waits for the next ones."""
    accepted = environ.get("HTTP_ACCEPT", "")
    return "wait=" in environ.get("QUERY_STRING", "") or "text/event-stream" in accepted
