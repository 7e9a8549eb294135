"""The public keys of an identity provider (JWKS, RFC 7517), from an address or a file.

Keys are read again when they are old, and when a token names one that is not among them: then at
most every 30 seconds, for anybody can send such tokens. If reading fails, the last ones that were
read stay for a day.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt

from statecast import strict_json
from statecast.errors import Malformed, StatecastError, Unavailable
from statecast.problems import Problems

TIME_LIMIT = 5.0
"""Seconds that reading the keys may take; and that a request waits for them."""
WAITING = 4
"""Requests that wait for a reading at once. More are answered by what is known: anybody can send
tokens with unknown keys, and a provider that hangs must not take every thread."""
MAX_BYTES = 262_144
MAX_KEYS = 100
AGAIN_AFTER = 30.0
"""Seconds between two readings for keys that are not there."""
FIRST_AGAIN_AFTER = 2.0
"""The same as long as there are no keys: the provider may start after us."""
OLD_AFTER = 600.0
"""Seconds after which keys are read again, while the old ones count."""
DAY = 86_400.0
RSA_BITS = 2_048
KINDS = {"RSA": "RS256", "EC": "ES256"}
"""The algorithm of each kind of key. No kind is of HS256: a public key is no secret."""
PROBLEM, SUBJECT = "no-token-keys", "identity provider"


class TokenKey(NamedTuple):
    """A key, and the one algorithm that it is for."""

    algorithm: str
    key: Any


class _Loaded(NamedTuple):
    at: float
    by_kid: Mapping[str | None, TokenKey]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address than the one in the settings is not trusted."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


class KeySet:
    """Finds keys by id. Every method may be called from any thread, but not from the loop."""

    def __init__(
        self,
        location: str,
        algorithms: Iterable[str],
        problems: Problems,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        time_limit: float = TIME_LIMIT,
        waiting: int = WAITING,
    ) -> None:
        self._location = location
        self._algorithms = frozenset(algorithms)
        self._problems = problems
        self._monotonic = monotonic
        self._time_limit = time_limit
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()
        """For the two below: one thread reads at a time."""
        self._read_at = float("-inf")
        self._waiting = threading.Semaphore(waiting)
        self._reading: threading.Event | None = None
        """Set when the reading that is under way has ended."""

    def find(self, kid: str | None) -> TokenKey | None:
        """The key with this id; without an id, the only key. Raises Unavailable without keys."""
        loaded = self._usable()
        if loaded is None:
            self._read(FIRST_AGAIN_AFTER)
        elif kid not in loaded.by_kid:
            self._read(AGAIN_AFTER)
        elif self._monotonic() - loaded.at > OLD_AFTER:
            self._read(AGAIN_AFTER, wait=False)
        loaded = self._usable()
        if loaded is None:
            raise Unavailable(
                "The keys of the identity provider cannot be read just now, so no signed token can "
                "be checked; the server's log says why."
            )
        return loaded.by_kid.get(kid)

    def _usable(self) -> _Loaded | None:
        loaded = self._loaded
        return loaded if loaded and self._monotonic() - loaded.at <= DAY else None

    def _read(self, again_after: float, wait: bool = True) -> None:
        """Read the keys in a thread of its own: neither a slow name server nor a provider that
        sends byte by byte holds a request for longer than the limit.
        """
        with self._lock:
            ended, now = self._reading, self._monotonic()
            if ended is None:
                if now - self._read_at < again_after:
                    return
                self._read_at, self._reading = now, (ended := threading.Event())
                threading.Thread(
                    target=self._run, args=(ended,), name="statecast-token-keys", daemon=True
                ).start()
        if wait and self._waiting.acquire(blocking=False):
            try:
                ended.wait(self._time_limit)
            finally:
                self._waiting.release()

    def _run(self, ended: threading.Event) -> None:
        try:
            found = parse(read(self._location, self._time_limit), self._algorithms)
            self._loaded = _Loaded(self._monotonic(), found)
            self._problems.clear(PROBLEM, SUBJECT)
        except (StatecastError, OSError, ValueError) as error:
            self._problems.report(
                PROBLEM,
                SUBJECT,
                "The keys of the identity provider cannot be read; signed tokens may be refused.",
                detail=f"{self._location}: {error}",
            )
        finally:
            with self._lock:
                self._reading = None
            ended.set()


def read(location: str, time_limit: float) -> bytes:
    """The document with the keys. Raises OSError or ValueError."""
    if "://" not in location:
        with Path(location).open("rb") as file:
            return _bounded(file.read(MAX_BYTES + 1))
    handlers: list[Any] = [_NoRedirect]
    if location.startswith("http://"):  # of this machine: no proxy of the network reaches it
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(  # noqa: S310 - the settings allow https and loopback alone
        location, headers={"Accept": "application/json", "User-Agent": "statecast"}
    )
    until, body = time.monotonic() + time_limit, bytearray()
    with opener.open(request, timeout=time_limit) as response:
        while part := response.read1(65_536):
            body += _bounded(part)
            _bounded(body)
            if time.monotonic() > until:
                raise TimeoutError(f"the answer did not come within {time_limit:g} seconds")
    return bytes(body)


def _bounded(body: bytes | bytearray) -> bytes:
    if len(body) > MAX_BYTES:
        raise ValueError(f"a set of keys has at most {MAX_BYTES:,} bytes")
    return bytes(body)


def parse(document: bytes, algorithms: Iterable[str]) -> Mapping[str | None, TokenKey]:
    """The keys that count, by their ids. Raises Malformed.

    A key of another kind is left out: providers publish such for other uses. The only key is also
    that of tokens without a key id.
    """
    decoded = strict_json.decode(document)
    keys = decoded.get("keys") if isinstance(decoded, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise Malformed(f"It is no set of 1 to {MAX_KEYS} keys (JWKS).")
    found: dict[str | None, TokenKey] = {}
    usable = [(one, key) for one in keys if (key := _key_of(one, frozenset(algorithms)))]
    for one, key in usable:
        kid = one.get("kid")
        if isinstance(kid, str) and kid in found:
            raise Malformed("Two of the keys have the same id.")
        if isinstance(kid, str) and kid:
            found[kid] = key
    if len(usable) == 1:
        found[None] = usable[0][1]
    if not found:
        raise Malformed("None of the keys is one for RS256 or ES256 that jwt_algorithms allows.")
    return found


def _key_of(one: Any, algorithms: frozenset[str]) -> TokenKey | None:
    """The key in one entry; None: it is not for signatures of tokens, or not safe."""
    algorithm = KINDS.get(one.get("kty", "")) if isinstance(one, dict) else None
    if algorithm not in algorithms or algorithm is None:
        return None
    if one.get("use", "sig") != "sig" or one.get("alg", algorithm) != algorithm or "d" in one:
        return None
    if algorithm == "ES256" and one.get("crv") != "P-256":
        return None
    try:
        key = jwt.PyJWK(one, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if algorithm == "RS256" and key.key_size < RSA_BITS else TokenKey(algorithm, key)
