"""The URL of a store in PostgreSQL: what libpq knows, and three parameters of ours.

Rule: a password stands in ``conninfo`` and nowhere else; ``shown`` is what sentences name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from statecast.errors import BadSetting

SCHEMA = "statecast"
POOL_SIZE = 10
MAX_POOL_SIZE = 1_000
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}").fullmatch
"""Of a schema: a name that needs no quotes."""

DEFAULTS: dict[str, str | int] = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "fallback_application_name": "statecast",
    # A host that vanishes is noticed within 10 s, also in the middle of a request.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""What libpq is given unless the URL says otherwise."""


class Password(NamedTuple):
    """A password that no sentence may name."""

    text: str

    def __repr__(self) -> str:
        return "Password(...)"

    def hide(self, sentence: str) -> str:
        """The sentence without it."""
        return sentence.replace(self.text, "***") if self.text else sentence


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is, and how this process uses it."""

    conninfo: dict[str, str | int] = field(repr=False)
    """For libpq."""
    schema: str = SCHEMA
    pool_size: int = POOL_SIZE
    """Connections of one process, besides those that hold leases or listen."""
    lease_url: str | None = field(default=None, repr=False)
    """A direct connection for leases, where the store's own goes through a pooler."""

    @property
    def direct_conninfo(self) -> dict[str, str | int]:
        """For libpq: of the connection that holds leases."""
        return self.conninfo if self.lease_url is None else parse(self.lease_url).conninfo

    @property
    def shown(self) -> str:
        """The address as sentences name it: without user and password."""
        host, port = (str(self.conninfo.get(name) or "") for name in ("host", "port"))
        place = ",".join(
            f"{one}:{number}" if number else one
            for one, number in zip(host.split(","), port.split(",") * (host.count(",") + 1))
        )
        if service := self.conninfo.get("service"):
            place = place or f"service {service}"
        return f"postgresql://{place}/{self.conninfo.get('dbname') or ''}"


def parse(url: str) -> StoreAddress:
    """Read a URL. Raises BadSetting with a sentence that names no password."""
    rest, _, query = url.partition("?")
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    own = {name: unquote(value) for name, value in pairs if name in OWN}
    others = "&".join(f"{name}={value}" for name, value in pairs if name not in OWN)
    return StoreAddress(
        conninfo=DEFAULTS | libpq(f"{rest}?{others}" if others else rest),
        schema=schema_of(own.get("schema", SCHEMA)),
        pool_size=pool_size_of(own.get("pool_size", str(POOL_SIZE))),
        lease_url=own.get("lease_url"),
    )


OWN = {"schema", "pool_size", "lease_url"}


def password_of(url: str) -> Password:
    """The password in a URL, as it stands there; an empty one if there is none."""
    authority = url.partition("//")[2].partition("/")[0].partition("?")[0]
    user = authority.rpartition("@")[0]
    found = user.partition(":")[2]
    if not found and (asked := re.search(r"[?&](?:ssl)?password=([^&]*)", url)):
        found = asked[1]
    return Password(found)


def libpq(url: str) -> dict[str, str | int]:
    """What libpq reads out of a URL. Raises BadSetting."""
    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        reason = password_of(url).hide(str(error)).strip()
        # Without `from error`: the driver's own text may have the password.
        raise BadSetting(f"The URL of the PostgreSQL store cannot be read: {reason}.") from None
    return {name: value for name, value in found.items() if value is not None}


def schema_of(name: str) -> str:
    if not NAME(name):
        raise BadSetting(
            f"schema={name} is no name for a schema; use small letters, digits and underscores."
        )
    return name


def pool_size_of(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 2 <= number <= MAX_POOL_SIZE:
        raise BadSetting(f"pool_size={text} is no number from 2 to {MAX_POOL_SIZE}.")
    return number
