"""Which Host a request may name.

Foreign ones are refused, because a page could point its own name to our address (DNS rebinding) and
read the answers as its own.
"""

from __future__ import annotations

import functools
import re
import socket

from statecast.http.addresses import parse
from statecast.settings import Settings

_AUTHORITY = re.compile(
    r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?)(?::[0-9]{0,5})?", re.IGNORECASE
)
CACHED_NAMES = 64
"""Host headers remembered as read: nearly all requests name the same host."""
EVERY = "*"
WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not bound


class Hosts:
    """``localhost``, loopback, the host that we listen on, ``allow_hosts`` (``*`` allows all).

    A server that listens on every address may be called by any address: rebinding needs a name. It
    is also called by the machine's own name, and by that name in the local network
    (``raspberrypi.local``): a page of elsewhere has no such name to point to us.
    """

    def __init__(self, settings: Settings) -> None:
        self._names = {"localhost", name_of(settings.host) or settings.host.lower()}
        self._names |= {name_of(entry) or entry.lower() for entry in settings.allow_hosts}
        if settings.host in WILDCARDS:
            self._names |= own_names(socket.gethostname())
        self._every = EVERY in settings.allow_hosts
        self._addresses = settings.host in WILDCARDS

    def allows(self, host: str, own: str | None = None) -> bool:
        """``own`` is the address at which the connection arrived."""
        name = name_of(host)
        if name is None:
            return False
        if self._every or name in self._names or name == own:
            return True
        address = parse(name)
        return address is not None and (self._addresses or address.is_loopback)


def own_names(hostname: str) -> set[str]:
    """The names under which others find a machine of this name; mDNS (RFC 6762) adds ``.local``."""
    name = name_of(hostname)
    if name is None:
        return set()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"}


@functools.lru_cache(CACHED_NAMES)
def name_of(host: str) -> str | None:
    """The name in a Host header without port, brackets and final dot; None if it is none."""
    match = _AUTHORITY.fullmatch(host)
    return match[1].strip("[]").rstrip(".").lower() if match else None
