"""The address that a server listens on: who may reach it, the socket, and its name."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator

from statecast.access import policy
from statecast.errors import BadSetting
from statecast.program import output
from statecast.program.unix import resource
from statecast.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 2_048
RESERVE = 256
"""Descriptors kept for files, pipes, connections to queues, and connections that are refused."""
ACCEPTED_AT_ONCE = 8
"""Connections that one turn of uvloop's loop takes: in a burst they share what a turn costs."""


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
    # As bytes where that will do: for a string Python loads tables of Unicode, 0.1 MB.
    name = host.encode() if host.isascii() else host
    try:
        found = socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadSetting(f"There is no address {host!r} to listen on: {error.strerror}.") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        limit_unacknowledged(listening, settings)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise BadSetting(_unbound(host, port, error)) from None
    listening.setblocking(False)
    return listening


def limit_unacknowledged(listening: socket.socket, settings: Settings) -> None:
    """End connections whose client acknowledges nothing any more; on Linux.

    Every reader of events gets something each ``ping_interval``, but answers nothing. When it has
    vanished without a word, TCP repeats that for a quarter of an hour. The time is that in which a
    client answers a ping; a slow client has ``write_timeout`` to take anything. Connections have
    the option of the socket that accepts them.
    """
    seconds = max(settings.ping_timeout, settings.write_timeout)
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1000))


def accepting(
    listening: Iterable[socket.socket], loop: asyncio.AbstractEventLoop
) -> list[socket.socket]:
    """The sockets that a loop is to accept from, which closes them.

    uvloop takes one connection from each of them in a turn, so it gets each several times. The
    loops of asyncio take all that wait.
    """
    if isinstance(loop, asyncio.BaseEventLoop):
        return list(listening)
    further = range(ACCEPTED_AT_ONCE - 1)
    return [each for one in listening for each in (one, *(one.dup() for _ in further))]


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


def address_of(listening: socket.socket, secure: bool = False) -> str:
    """The URL for a browser on this machine; ``secure`` with HTTPS."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1" if socket.AF_INET in _families(listening) else "::1"
    return url_of(host, port, secure)


def lan_addresses(listening: socket.socket, secure: bool = False) -> list[str]:
    """The URLs for browsers on other machines; none for a socket that only this machine reaches."""
    host, port = listening.getsockname()[:2]
    if is_loopback(host):
        return []
    if not ipaddress.ip_address(host).is_unspecified:
        return [address_of(listening, secure)]
    # A server that only its own machine reaches needs neither this nor the package below it.
    from statecast.server.network_addresses import network_addresses

    found = network_addresses(_families(listening))
    return [url_of(address, port, secure) for address in found]


def _families(listening: socket.socket) -> tuple[int, ...]:
    """The families whose clients a socket accepts: one for IPv6 may take IPv4 as well."""
    if listening.family == socket.AF_INET:
        return (socket.AF_INET,)
    alone = listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return (socket.AF_INET6,) if alone else (socket.AF_INET, socket.AF_INET6)


def url_of(host: str, port: int, secure: bool) -> str:
    """The URL of a server at this address; ``secure`` with HTTPS."""
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def announce(
    listening: socket.socket, print_line: Callable[[str], None], settings: Settings
) -> None:
    """Print the address, and below it those for other machines, with a QR code in a terminal.

    When the output cannot be written, the server serves all the same.
    """
    try:
        address = address_of(listening, bool(settings.tls_cert))
        lines = [f"Statecast is live at {address}", *_elsewhere(listening, settings)]
        print_line("\n".join(lines))
    except BrokenPipeError:  # the reader of our output closed it
        output.discard(sys.stdout)
    except OSError as error:
        output.discard(sys.stdout)
        log.warning("the address cannot be printed: %s", error.strerror or error)


def _elsewhere(listening: socket.socket, settings: Settings) -> Iterator[str]:
    """The lines for other machines: where, what they may do, and a code for a phone."""
    others = lan_addresses(listening, bool(settings.tls_cert))
    if not others:
        return
    yield f"Other machines open it at {' or '.join(others)}"
    yield of_others(settings)
    from statecast.program.qr_code import qr_code

    code = qr_code(others[0], sys.stdout) if settings.qr_code else ""
    if code:
        yield code


def of_others(settings: Settings) -> str:
    """What other machines may do, as a sentence."""
    if settings.allow_public:
        return f"They {policy.deeds_of(settings.others_may)} (setting others_may)."
    more = "for people who sign in there, and for keys, tokens and share links."
    if not settings.public_read:
        return f"It is {more}"
    shown = ", ".join(settings.public_read)
    return f"They may see {shown} (setting public_read); more is {more}"


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
