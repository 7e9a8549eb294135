"""Users, keys, share links and sessions, as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

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
