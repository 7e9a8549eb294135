"""The table of rights in the settings: who -> device pattern -> actions.

[rights."group:family"]
"smith/*" = "read command"
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from statecast.access.grants import NOTHING, Grants
from statecast.access.identity import Identity
from statecast.access.roles import ROLES
from statecast.errors import Malformed

EVERYONE = "everyone"
PEOPLE = ("user", "token", "proxy", "app")
"""The kinds of identities that ``everyone`` means. A key has its own grants, and no person's."""
KINDS = ("user", "group", "role", "key")


def parse(value: Any) -> Mapping[str, Grants]:
    """The table by entry. Raises Malformed with a sentence that names the wrong entry."""
    if not isinstance(value, Mapping):
        raise Malformed('It is a table like {"user:ada": {"pillow": "read command"}}.')
    return {who: _grants_of(_check_entry(who), given) for who, given in value.items()}


def entries_of(identity: Identity) -> Iterator[str]:
    """The entries that mean somebody, by names as they are written."""
    if identity.kind == "key":
        yield f"key:{identity.name}"
    if identity.kind in PEOPLE:
        yield EVERYONE
        yield from (f"group:{group}" for group in identity.groups)
        if identity.name:
            yield f"user:{identity.name}"
        if identity.role:
            yield f"role:{identity.role}"


def folded(name: str) -> str:
    """The name of a user of the store as it is kept: ``Ada`` and ``ada`` are one user."""
    return unicodedata.normalize("NFKC", name).casefold()


def of_users(table: Mapping[str, Grants]) -> Mapping[str, Grants]:
    """The entries ``user:NAME`` by folded names."""
    found: dict[str, Grants] = {}
    for who, grants in table.items():
        kind, _, name = who.partition(":")
        if kind == "user":
            found[folded(name)] = found.get(folded(name), NOTHING) | grants
    return found


def _check_entry(who: Any) -> str:
    kind, colon, name = who.partition(":") if isinstance(who, str) else ("", "", "")
    if who != EVERYONE and not (kind in KINDS and colon and name.strip() == name != ""):
        raise Malformed(
            f"{who!r} names no one: an entry is user:NAME, group:NAME, role:NAME, key:NAME or "
            f"{EVERYONE}."
        )
    if kind == "role" and name not in ROLES:
        raise Malformed(f"There is no role {name!r}; there are {', '.join(ROLES)}.")
    return str(who)


def _grants_of(who: str, given: Any) -> Grants:
    if isinstance(given, Grants):  # settings that are made of settings
        return given
    if not isinstance(given, Mapping):
        raise Malformed(f"{who} has no table of device pattern and actions, but {given!r}.")
    try:
        return Grants.of(given)
    except Malformed as error:
        raise Malformed(f"{who}: {error}") from None
