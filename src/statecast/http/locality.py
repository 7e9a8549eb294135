"""Whether a request is of this machine, by what contradicts it.

A request is of this machine only if nothing contradicts it:

* Its connection comes from a loopback address.
* No proxy passed it on; or a trusted proxy did, and names loopback addresses alone. A tunnel or a
  proxy beside us connects from loopback for clients of the whole Internet.
* Its Host is ``localhost`` or a loopback address: a proxy that adds no field passes on a name.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from statecast.http.addresses import bare, is_loopback, parse
from statecast.http.asgi import Scope
from statecast.http.head import LOCAL, HeaderFields
from statecast.http.hosts import CACHED_NAMES, name_of

EXTENSION = LOCAL
PROXY_FIELDS = frozenset(
    {
        *(b"via", b"forwarded", b"x-forwarded", b"x-forwarded-for", b"x-forwarded-host"),
        *(b"x-forwarded-proto", b"x-forwarded-server", b"x-forwarded-prefix"),
        *(b"x-forwarded-port", b"x-real-ip", b"x-client-ip", b"true-client-ip"),
        *(b"cf-connecting-ip", b"x-original-host"),
    }
)
"""Header fields by which proxies and tunnels say that they pass a request on."""
_IN_ENVIRON = frozenset(
    "HTTP_" + field.decode().upper().replace("-", "_") for field in PROXY_FIELDS
)


def is_local(scope: Scope) -> bool:
    """Whether an ASGI request is of this machine, as the server found it."""
    return bool(scope.get("extensions", {}).get(EXTENSION))


def is_local_head(peer: str, headers: HeaderFields, *, trusted: bool) -> bool:
    """Whether a request is of this machine; ``trusted``: its peer is a trusted proxy."""
    hosts = headers.get(b"host", ())
    return (
        is_loopback(peer)
        and len(hosts) == 1
        and _is_own_name(hosts[0].decode("latin-1"))
        and (
            PROXY_FIELDS.isdisjoint(headers)
            or (trusted and _all_loopback(headers.get(b"x-forwarded-for", ())))
        )
    )


def is_passed_on(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a proxy says that it passes an ASGI request on."""
    return any(name in PROXY_FIELDS for name, _ in headers)


def is_local_environ(environ: Mapping[str, Any]) -> bool:
    """Whether a WSGI request is of this machine, under whatever server.

    Another server than ours says nothing of proxies. Then werkzeug's ``ProxyFix``, if the app has
    it, says that its proxy is trusted. Without an address the server listens at a socket in the
    file system, as behind a proxy.
    """
    known = environ.get(EXTENSION)
    if known is not None:
        return bool(known)
    before: Mapping[str, Any] | None = environ.get("werkzeug.proxy_fix.orig")
    peer = (before or environ).get("REMOTE_ADDR")
    return (
        bool(peer)
        and is_loopback(str(peer))
        and _is_own_name(environ.get("HTTP_HOST", ""))
        and (not is_passed_on_environ(environ) or (before is not None and _names_loopback(environ)))
    )


def is_passed_on_environ(environ: Mapping[str, Any]) -> bool:
    """Whether a proxy says that it passes a WSGI request on."""
    return not _IN_ENVIRON.isdisjoint(environ)


def _names_loopback(environ: Mapping[str, Any]) -> bool:
    return _all_loopback([environ.get("HTTP_X_FORWARDED_FOR", "").encode("latin-1")])


def _all_loopback(forwarded: Iterable[bytes]) -> bool:
    """Whether X-Forwarded-For names addresses, and loopback addresses alone."""
    entries = [
        parse(bare(part.strip()))
        for line in forwarded
        for part in line.decode("latin-1").split(",")
    ]
    return bool(entries) and all(one is not None and one.is_loopback for one in entries)


@functools.lru_cache(CACHED_NAMES)
def _is_own_name(host: str) -> bool:
    name = name_of(host)
    address = None if name is None else parse(name)
    return name == "localhost" or (address is not None and address.is_loopback)
