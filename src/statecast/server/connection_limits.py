"""Limits the connections of one process: how many in all, how many per address, how fast they open.

Decisions only, no I/O. What counts as an address:

* The peer. Behind a ``trusted_proxy`` it is the client that X-Forwarded-For names: the last address
  that is not a trusted proxy itself. The proxy's own connections count in all, never per address.
* An IPv6 peer is its /64 network, because every customer has a whole one.
* A loopback peer is not limited per address (in all it is). It is a user of this machine, who needs
  no network to do harm, or a proxy beside us that no setting names, which carries all clients. The
  log says so once when the limit would apply.
* The same holds for one private address as long as no other address was ever seen, loopback aside:
  it may be a proxy on another host.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network

from statecast.errors import BadSetting
from statecast.http.addresses import Address, bare, is_loopback, key_of, parse
from statecast.http.errors import HTTPProblem
from statecast.rate_limit import RateByKey, TokenBucket
from statecast.settings import Settings

Network = IPv4Network | IPv6Network

log = logging.getLogger(__name__)


class ConnectionLimiter:
    """The connections of one process."""

    def __init__(
        self,
        settings: Settings,
        *,
        max_total: int | None = None,
        exempt: Callable[[str], bool] = is_loopback,
    ) -> None:
        """``max_total`` connections, if the process can hold fewer than the settings allow.

        Raises BadSetting.
        """
        self.settings = settings
        self.max_total = min(settings.max_connections, max_total or settings.max_connections)
        self.total = 0
        """Open connections."""
        self.per_address: Counter[str] = Counter()
        """Open connections, and behind a proxy requests under way, by the key of their address."""
        self._exempt = exempt
        self._proxies = networks(settings.trusted_proxy)
        self._rate = RateByKey(
            TokenBucket(settings.connect_rate_limit * 60, settings.connections_per_address)
        )
        self._first: str | None = None
        """The key of the first address that is not exempt."""
        self._several = False
        """A second one came: the first is not a proxy that carries all clients."""
        self._warned = False

    # In all

    def acquire(self) -> None:
        """Count a connection. Raises HTTPProblem when there are too many."""
        if self.total >= self.max_total:
            raise HTTPProblem.busy("The server holds as many connections as it may; come back.")
        self.total += 1

    def release(self) -> None:
        self.total -= 1

    # Per address

    def acquire_address(self, address: str, now: float, *, new: bool = True) -> str | None:
        """Count one for an address; the key for ``release_address``.

        ``new`` is a new connection; a request on an existing one takes nothing of the rate.
        Raises HTTPProblem when the address has or opens too many.
        """
        key = key_of(address)
        if self._first != key and not self._exempt(address):
            self._several = self._several or self._first is not None
            self._first = self._first or key
        if self.per_address[key] >= self.settings.connections_per_address:
            sentence = "Too many open connections from this address."
            self._refuse(address, sentence, "connections_per_address")
        elif new and not self._rate.try_acquire(key, now):
            sentence = "Too many new connections per second from this address."
            self._refuse(address, sentence, "connect_rate_limit")
        self.per_address[key] += 1
        return key

    def release_address(self, key: str | None) -> None:
        """None is the key of a connection that was not counted."""
        if key is None:
            return
        self.per_address[key] -= 1
        if self.per_address[key] <= 0:
            del self.per_address[key]

    def is_exempt(self, address: str) -> bool:
        """Whether the limits per address do not apply to it; see the top of this file."""
        if self._exempt(address):
            return True
        parsed = parse(address)
        return (
            not self._several
            and not self._proxies
            and parsed is not None
            and _within(parsed, PRIVATE)
        )

    def _refuse(self, address: str, sentence: str, setting: str) -> None:
        """Returns, after one warning, when the address is exempt. Else raises HTTPProblem."""
        if not self.is_exempt(address):
            raise HTTPProblem(429, sentence, [(b"retry-after", b"1")], setting=setting)
        if not self._warned and not self._proxies:
            self._warned = True
            log.warning(
                "More connections come from %s than one address may open; if a proxy sends them, "
                "name it in the setting trusted_proxy, so that the limits count for its clients. "
                "Until then none is refused.",
                address,
            )

    # Behind a proxy

    def is_proxy(self, peer: str) -> bool:
        if not self._proxies:
            return False
        parsed = parse(peer)
        return parsed is not None and _within(parsed, self._proxies)

    def client_behind(self, peer: str, forwarded: Iterable[str]) -> str:
        """The client's address: the last of X-Forwarded-For that is not a trusted proxy.

        Entries before it were sent by the client itself, so they are ignored.
        """
        client = peer
        for entry in reversed([part for line in forwarded for part in line.split(",")]):
            address = bare(entry.strip())
            if parse(address) is None:
                break
            client = address
            if not self.is_proxy(address):
                break
        return client


def networks(entries: Iterable[str]) -> list[Network]:
    try:
        return [ipaddress.ip_network(entry, strict=False) for entry in entries]
    except ValueError as error:
        raise BadSetting(
            f"The setting trusted_proxy holds addresses or networks like 10.0.0.0/8; {error}."
        ) from None


def _within(address: Address, among: Iterable[Network]) -> bool:
    return any(address in network for network in among)


PRIVATE = networks(
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    ]
)
"""Addresses that no host of the Internet has; Python's ``is_private`` holds more."""
