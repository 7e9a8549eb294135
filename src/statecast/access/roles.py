"""Grants that need no table: what a user with a role may do with every device."""

from __future__ import annotations

from statecast.access.grants import EVERYTHING, Grants

OPERATOR = "operator"
ROLES: dict[str, Grants] = {
    "viewer": Grants.of({"*": "read"}),
    "editor": Grants.of({"*": "read command write"}),
    OPERATOR: EVERYTHING,
}
