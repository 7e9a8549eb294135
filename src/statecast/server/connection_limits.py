"""Who is connected: how many in all, how many per address, how fast they come. Decisions only, no I/O.

What counts as an address:

* The peer, or behind a ``trusted_proxy`` the client that its X-Forwarded-For names: the last one that is not itself a
  trusted proxy. The proxy's own connections are counted in all, never per address.
* An IPv6 peer is its /64, of which every customer has one whole.
* A loopback peer is not limited per address (in all it is): it is this machine's own user, who needs no network to do
  harm, or a proxy beside us that nobody named, behind which is everybody. Beyond the limit a sentence says so, once.
* The same holds for one private address as long as no other, loopback aside, was ever seen: a proxy on another host.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network

from statecast.errors import BadSetting
from statecast.http import rate_limit
from statecast.http.addresses import Address, is_loopback, key_of, parse
from statecast.http.errors import Problem
from statecast.settings import Settings

Network = IPv4Network | IPv6Network
MOST_REMEMBERED = 10_000
"""Addresses whose rate is remembered; beyond it the one that was quiet for longest is forgotten."""

log = logging.getLogger(__name__)


class Visitors:
    """The connections of one process."""

    def __init__(
        self,
        settings: Settings,
        *,
        most: int | None = None,
        spared: Callable[[str], bool] = is_loopback,
    ) -> None:
        """``most`` connections in all, if the process can hold fewer than the settings say. Raises BadSetting."""
        self.settings = settings
        self.most = min(settings.max_connections, most or settings.max_connections)
        self.here = 0
        self.open: Counter[str] = Counter()
        self._spared = spared
        self._proxies = networks(settings.trusted_proxy)
        self._balances: OrderedDict[str, float] = OrderedDict()
        self._only: str | None = None
        self._several = False
        self._said = False

    # In all

    def arrive(self) -> None:
        """Count a connection. Raises Problem when there are too many."""
        if self.here >= self.most:
            raise Problem.busy("The server holds as many connections as it may; come back.")
        self.here += 1

    def depart(self) -> None:
        self.here -= 1

    # Per address

    def enter(self, address: str, now: float, *, new: bool = True) -> str | None:
        """Count one for an address; what ``leave`` gets later. Raises Problem when it has or opens too many.

        ``new`` is a new connection; a request on one that exists costs nothing of the rate.
        """
        key = key_of(address)
        if self._only != key and not self._spared(address):
            self._several = self._several or self._only is not None
            self._only = self._only or key
        if self.open[key] >= self.settings.connections_per_address:
            self._refuse(address, "Too many open connections from this address.")
        elif new and not self._pay(key, now):
            self._refuse(address, "Too many new connections per second from this address.")
        self.open[key] += 1
        return key

    def leave(self, key: str | None) -> None:
        if key is None:
            return
        self.open[key] -= 1
        if self.open[key] <= 0:
            del self.open[key]

    def _pay(self, key: str, now: float) -> bool:
        rate, burst = self.settings.connect_rate_limit, self.settings.connections_per_address
        before = self._balances.pop(key, 0.0)
        after = rate_limit.spend(before, now, rate * 60, burst)
        self._balances[key] = before if after is None else after
        if len(self._balances) > MOST_REMEMBERED:
            self._balances.popitem(last=False)
        return after is not None

    def spares(self, address: str) -> bool:
        """Whether the limits per address do not hold for it; see the top of this file."""
        if self._spared(address):
            return True
        parsed = parse(address)
        return (
            not self._several
            and not self._proxies
            and parsed is not None
            and _within(parsed, PRIVATE)
        )

    def _refuse(self, address: str, sentence: str) -> None:
        if not self.spares(address):
            raise Problem(429, sentence, [(b"retry-after", b"1")])
        if not self._said and not self._proxies:
            self._said = True
            log.warning(
                "More connections come from %s than one address may open; if a proxy sends them, name it in the "
                "setting trusted_proxy, so that the limits count for its clients. Until then nobody is cut.",
                address,
            )

    # Behind a proxy

    def is_proxy(self, peer: str) -> bool:
        if not self._proxies:
            return False
        parsed = parse(peer)
        return parsed is not None and _within(parsed, self._proxies)

    def client_behind(self, peer: str, forwarded: Iterable[str]) -> str:
        """The client's address: from the end of X-Forwarded-For the first that is not a proxy of ours.

        What stands before it is the client's own word and believed by nobody.
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


def bare(entry: str) -> str:
    """An entry without brackets and port."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
