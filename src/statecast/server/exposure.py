"""Whom a server is open to: what is refused or said of it at the start."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from statecast.errors import BadSetting
from statecast.http import first_rights
from statecast.runtime import Runtime
from statecast.server import sockets
from statecast.settings import Settings

log = logging.getLogger(__name__)

WIDE = {4: 7, 6: 15}
"""By version of IP, the longest prefix of a network that no one owns alone."""


def refuse_unready(runtime: Runtime) -> None:
    """Raises BadSetting if other machines would reach us and nothing says what they may do."""
    settings = runtime.settings
    if sockets.is_loopback(settings.host) or settings.allow_public:
        return
    was_open = runtime.store_opened
    try:
        if runtime.rights.says_who_may():
            return
    finally:
        if not was_open:  # each serving process opens a store of its own
            runtime.close_store()
    raise BadSetting(first_rights.refused(settings))


def warn(settings: Settings) -> None:
    """Log what these settings allow, at the start of a server."""
    for sentence in warnings(settings):
        log.warning("%s", sentence)


def warnings(settings: Settings) -> Iterator[str]:
    """What these settings allow."""
    wide = [entry for entry in settings.trusted_proxy if is_wide(entry)]
    if wide:
        yield (
            f"trusted_proxy {', '.join(wide)} believes everyone's X-Forwarded-For, so no limit per "
            "address holds and every client can name another address; name the proxy's own address."
        )
    if wide and settings.proxy_user_header:
        yield (
            f"With trusted_proxy {', '.join(wide)} each client that reaches this server can be any "
            f"user, by its field {settings.proxy_user_header}; name the proxy's own address."
        )
    if "*" in settings.allow_hosts:
        yield (
            "allow_hosts * answers to every name, so a page of another site can point its own name "
            "here and read every state (DNS rebinding); name the hosts that you use."
        )
    if "*" in settings.allow_origins:
        yield (
            "allow_origins * lets the pages of every site connect and read, in the browsers of "
            "their readers, what these may see here; name the origins that you use."
        )
    if settings.tls_key and is_readable_by_others(Path(settings.tls_key)):
        yield (
            f"Other users of this machine may read the TLS key, and pass for this server; "
            f"`chmod 600 {settings.tls_key}` leaves it to its owner."
        )


def is_readable_by_others(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & 0o077)
    except OSError:  # reading it says so
        return False


def is_wide(entry: str) -> bool:
    """Whether a network holds addresses of many owners. A wrong entry is refused elsewhere."""
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return False
    return network.prefixlen <= WIDE[network.version]
