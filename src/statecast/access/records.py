"""Users, keys, share links and sessions, as the store keeps them.

What the policy reads of their bodies. Further members are free.

    user     password (its hash), password_set_at (ms), role, groups (a list), grants
    key      digest, grants (pattern -> actions), expires_at (ms or null)
    share    digest, grants (of which reading counts), expires_at
    session  digest, expires_at, and user, password_set_at (as it was at the sign-in), or share

The id of a user and of a key is the name; the ids of sessions and share links are random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

RecordKind = Literal["user", "key", "share", "session"]
KINDS: tuple[RecordKind, ...] = get_args(RecordKind)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One user, key, share link or session. It holds digests, never a secret."""

    kind: RecordKind
    id: str
    body: Mapping[str, Any] | None
    """None: it was removed; its row stays as a mark, so that every process learns of it."""
    change: int
    """Rises with every change of any record of the store."""


class Records(Protocol):
    """Where records are: the store, or what a process has of them in memory."""

    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        """One of them; None if there never was one, or its row is damaged.

        A removed one is returned without a body for as long as its row is kept.
        """


Guard = Callable[[Sequence[AccessRecord]], None]
"""Gets the records of a kind as they are in the transaction, and raises what forbids the change."""


EVERYDAY = ("command", "drop", "edit", "replay", "signed in", "signed out")
"""Actions of the audit that come in any number. Those about rights have a bound of their own."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what. It never holds a secret or a state."""

    by: str
    """``Identity.sender``, or ``machine`` for the command line."""
    action: str
    """``edit``, ``command``, ``replay``, ``drop``, ``key created``, ``user removed`` and so on."""
    target: str
    """The device, user, key or number of a row."""
    detail: str = ""
    at: int = 0
    """In ms; the store sets it."""
    number: int = 0
    """Of the row; the store sets it."""


class RecordStore(Records, Protocol):
    """A store, as far as it keeps records."""

    def access_records(self, kind: RecordKind | None = None) -> list[AccessRecord]:
        """All that exist, of one kind or of every kind, by kind and id."""

    def put_access(
        self,
        kind: RecordKind,
        id_: str,
        body: Mapping[str, Any] | None,
        *,
        expected: int | None = None,
        guard: Guard | None = None,
        audit: AuditEntry | None = None,
    ) -> AccessRecord:
        """Write or, without a body, remove a record; durable on return.

        Its member ``expires_at``, in ms, lets a session be forgotten. ``expected`` is the change
        that the record must have, 0 for one that must not exist. ``guard`` sees all records of the
        kind in the same transaction. Raises Conflict, or what the guard raises.
        """
