"""The address that a server listens on: who may reach it, the socket, and its name."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable

from statecast.errors import BadSetting
from statecast.program import output
from statecast.program.unix import resource
from statecast.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 2_048
RESERVE = 256
"""Descriptors kept for files, pipes, connections to queues, and connections that are refused."""


def refuse_public(settings: Settings) -> None:
    """Raises BadSetting when other machines could reach us and no setting allows it."""
    if not is_loopback(settings.host) and not settings.allow_public:
        raise BadSetting(
            f"Everyone who reaches {settings.host or 'this address'} may read and write every "
            "state; if that is what you want, set `allow_public` (--allow-public). Otherwise "
            "listen on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(settings: Settings) -> socket.socket:
    """A listening socket. Raises BadSetting, which says what to do."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadSetting(f"There is no address {host!r} to listen on: {error.strerror}.") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise BadSetting(_unbound(host, port, error)) from None
    listening.setblocking(False)
    return listening


def _unbound(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is taken by another program; "
            "choose another (--port), or 0 for a free one."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"This user may not listen on port {port}; choose one above 1023 (--port)."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose one of its own (--host)."
    return f"{host}, port {port}, cannot be listened on: {error.strerror}."


def address_of(listening: socket.socket) -> str:
    """The URL for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(listening: socket.socket, print_line: Callable[[str], None]) -> None:
    """Print the address. When the output cannot be written, the server serves all the same."""
    try:
        print_line(f"Statecast is live at {address_of(listening)}")
    except BrokenPipeError:  # the reader of our output closed it
        output.discard(sys.stdout)
    except OSError as error:
        output.discard(sys.stdout)
        log.warning("the address cannot be printed: %s", error.strerror or error)


def raise_descriptors() -> int:
    """Allow this process as many open files as it may have; how many connections that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # some systems name a limit that they do not allow
            pass
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(soft - RESERVE, 16)
