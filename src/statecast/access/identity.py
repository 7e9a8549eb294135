"""Who a request is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from statecast.access.grants import NOTHING, Grants

IdentityKind = Literal["local", "anonymous", "user", "key", "token", "proxy", "share", "app"]
"""How it was found: this machine, no known person, a user who signed in, a key, a signed token, the
header of a trusted proxy, a share link, or the application's own ``@live.authorize``."""
PERSONS = ("user", "token", "proxy", "app")
"""The kinds of people who have a name."""
RecordKey = tuple[str, str]
"""Kind and id of a record in the store."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request is of, and what it brings. What it may do is for ``AccessPolicy`` to say."""

    kind: IdentityKind
    name: str = ""
    groups: tuple[str, ...] = ()
    role: str = ""
    own: Grants = NOTHING
    """What its key, its share link or the application gives to it."""
    expires_at: int | None = None
    """In ms; None: it does not expire."""
    records: tuple[RecordKey, ...] = ()
    """On which it rests: if one of them changes, it is judged again."""

    @property
    def sender(self) -> str:
        """As it stands in causes and in the audit: ``user ada``, ``key pillow-1``, ``local``."""
        return f"{self.kind} {self.name}" if self.name else self.kind

    def sender_at(self, address: str) -> str | None:
        """For counting what each one does: who has no name is an address, this machine no one."""
        if self.kind == "local":
            return None
        return self.sender if self.name else f"{self.kind} {address}"

    @property
    def is_person(self) -> bool:
        """Whether it is a person whose name is known."""
        return self.kind in PERSONS and bool(self.name)

    @property
    def is_signed_in(self) -> bool:
        """Whether it is somebody who has a name here."""
        return self.kind not in ("local", "anonymous", "share")


ANONYMOUS = Identity("anonymous")
LOCAL = Identity("local")
