"""Builds the WSGI environment of a request (PEP 3333) from its ASGI scope.

A WSGI string holds bytes: each character is one byte, decoded as Latin-1. Paths are UTF-8, so they
are encoded and decoded again ("ü" becomes "Ã¼"); the application's framework does the reverse.

Header names with an underscore are dropped. In the environment they are the same as the names with
a hyphen, so a client could send ``X_Forwarded_For`` past a proxy that sets ``X-Forwarded-For``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

from statecast.http import locality
from statecast.http.asgi import Scope
from statecast.http.head import BY_PROXY, RequestHead

WITH_BODY = ("POST", "PUT", "PATCH")
"""Methods whose requests have a length even when the body is empty."""
NOT_COPIED = (b"content-length", b"transfer-encoding")
"""Header fields about how the body came: the application gets a whole body of known length."""
UNPREFIXED = {"CONTENT_TYPE", "CONTENT_LENGTH"}


def build_environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """The environment of a request whose whole body has been read."""
    script_name, path = scope.get("root_path", ""), scope["path"]
    if script_name and (path == script_name or path.startswith(script_name + "/")):
        path = path[len(script_name) :]
    host, port = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": _tunnelled(script_name),
        "PATH_INFO": _tunnelled(path),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
        locality.EXTENSION: locality.is_local(scope),
        BY_PROXY: bool(scope.get("extensions", {}).get(BY_PROXY)),
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = scope["client"][0], str(scope["client"][1])
    if body or scope["method"] in WITH_BODY:
        environ["CONTENT_LENGTH"] = str(len(body))
    _add_headers(environ, scope["headers"])
    return environ


def environ_of(head: RequestHead, address: str) -> dict[str, Any]:
    """The environment of a viewer's request, of which only the head and the client are known."""
    return build_environ(
        {
            "method": head.method,
            "path": head.path,
            "query_string": head.query_string,
            "http_version": "1.1",
            "scheme": "https" if head.secure else "http",
            "client": (address, 0) if address else None,
            "headers": [(name, value) for name in head.headers for value in head.headers[name]],
            "extensions": {locality.EXTENSION: head.local, BY_PROXY: head.by_proxy},
        },
        b"",
    )


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Fields of the same name are joined: by a comma, and cookies by a semicolon (RFC 6265)."""
    for name, value in headers:
        if b"_" in name or name in NOT_COPIED:
            continue
        variable = name.decode("latin-1").upper().replace("-", "_")
        if variable not in UNPREFIXED:
            variable = f"HTTP_{variable}"
        text = value.decode("latin-1")
        if variable in environ:
            separator = "; " if variable == "HTTP_COOKIE" else ","
            text = f"{environ[variable]}{separator}{text}"
        environ[variable] = text


def _tunnelled(text: str) -> str:
    return text.encode().decode("latin-1")
