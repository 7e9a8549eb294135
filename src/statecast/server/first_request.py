"""A viewer's request for a WebSocket, where it is the first of its connection and comes whole.

Nearly all viewers connect like that. Their request is read here by the same parser and the same
rules as any other, without what is needed to answer HTTP: that makes a connect a third cheaper.
Every other request, and each one that would be refused, is left to ``http_protocol``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import httptools

from statecast.http import locality
from statecast.http.head import RequestHead
from statecast.http.hosts import Hosts
from statecast.server import head_rules
from statecast.settings import Settings

BODY = frozenset({b"content-length", b"transfer-encoding"})
"""Fields of a request with a body."""


class WebSocketRequest(NamedTuple):
    """The head of a request, and what came after it in the same read."""

    head: RequestHead
    rest: bytes


class ParsedHead:
    """What the parser calls."""

    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: dict[bytes, Sequence[bytes]] = {}

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, fields = name.lower(), self.fields
        fields[name] = (*fields[name], value) if name in fields else (value,)


def read_websocket_request(
    data: bytes, path: str, settings: Settings, hosts: Hosts, peer: str, secure: bool = False
) -> WebSocketRequest | None:
    """Read the first bytes of a connection; None if they are for ``http_protocol``.

    ``path`` is where WebSockets are served; ``peer`` is the address that they came from, and no
    proxy; ``secure`` says that they came by TLS.
    """
    if not (data.startswith(b"GET " + path.encode()) and b"websocket" in data):
        return None
    parsed = ParsedHead()
    parser = httptools.HttpRequestParser(parsed)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        end = upgrade.args[0]
    except httptools.HttpParserError:
        return None
    else:
        return None  # it asks for no upgrade, or is incomplete
    target, fields = parsed.target, parsed.fields
    host = fields.get(b"host", ())
    if (
        parser.get_http_version() != "1.1"
        or end > settings.header_bytes
        or len(target) > settings.url_bytes
        or data.count(b"\n", 0, end) > settings.header_count
        or not head_rules.asks_for_websocket(fields)
        or not BODY.isdisjoint(fields)
        or len(host) != 1
        or not hosts.allows(host[0].decode("latin-1"))
    ):
        return None
    local = locality.is_local_head(peer, fields, trusted=False)
    head = RequestHead.of_target("GET", target, fields, secure, local=local)
    return WebSocketRequest(head, data[end:])
