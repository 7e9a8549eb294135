"""What pages ask of a runtime about rights, by the settings of a test."""

from __future__ import annotations

from typing import Any

from statecast.access.policy import AccessPolicy, Rules
from statecast.http.credentials import ProxyFields
from statecast.settings import Settings


def access(settings: Settings, now: int = 0) -> dict[str, Any]:
    """The members of a runtime whose store has no user, key or share link."""
    rules = Rules(
        table=settings.rights,
        public_read=settings.public_read,
        allow_public=settings.allow_public,
        others_may=settings.others_may,
    )
    policy = AccessPolicy(rules, lambda: NoRecords(), lambda: now)

    def holds(kind: str) -> bool:
        return False

    return {
        "policy": policy,
        "proxy_fields": ProxyFields(),
        "asks_application": False,
        "authorize": lambda request: None,
        "holds": holds,
        "note_stranger": lambda: None,
        "sign_in_helps": lambda identity: policy.sign_in_helps(identity, holds),
    }


class NoRecords:
    def access_record(self, kind: str, id_: str) -> None:
        return None
