"""Which pages may connect: the rule of the Origin header, as a pure decision."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HOST = r"(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)"
_AUTHORITY = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?", re.IGNORECASE)
_ORIGIN = re.compile(rf"(https?)://({_HOST})(?::([0-9]{{1,5}}))?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(
    origin: str | None, host: str, allowed: Iterable[str] = (), scheme: str | None = None
) -> bool:
    """Whether a page of ``origin`` may connect to us; ``host`` is the Host header.

    Host and port must be equal, and the scheme where it is known (TLS may end in a proxy). Without
    an origin the client is no browser. ``allowed`` names further origins; ``*`` there allows all
    but ``null``.
    """
    if origin is None:
        return True
    asked = _ORIGIN.fullmatch(origin)
    if asked is None:
        return False
    asked_scheme, asked_host, asked_port = (
        asked[1].lower(),
        asked[2].lower(),
        _port(asked[3], asked[1].lower()),
    )
    if any(_is_entry(entry, asked_scheme, asked_host, asked_port) for entry in allowed):
        return True
    own = _AUTHORITY.fullmatch(host)
    if own is None or (scheme is not None and asked_scheme != scheme):
        return False
    return asked_host == own[1].lower() and asked_port == _port(own[2], asked_scheme)


def _is_entry(entry: str, scheme: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    match = _ORIGIN.fullmatch(entry.rstrip("/"))
    return match is not None and (
        match[1].lower(),
        match[2].lower(),
        _port(match[3], match[1].lower()),
    ) == (
        scheme,
        host,
        port,
    )


def _port(digits: str | None, scheme: str) -> int:
    return int(digits) if digits else _DEFAULT_PORTS[scheme]
