"""Keys of devices and programs: shown once, of which the store has the digest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from statecast import names
from statecast.access import secret_tokens
from statecast.access.grants import Grants
from statecast.access.records import AccessRecord, AuditEntry, RecordStore
from statecast.errors import Conflict, Malformed, NotFound

MAX_NAME = 64
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")


@dataclass(frozen=True, slots=True)
class Key:
    """What others may know of a key."""

    name: str
    grants: Grants
    created_at: int
    expires_at: int | None
    """In ms; None: it does not expire."""


class Keys:
    """The keys of a store. ``by`` is who asks, as it stands in the audit."""

    def __init__(self, store: RecordStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    def all(self) -> list[Key]:
        """By name, expired ones too."""
        return [_key(record) for record in self._store.access_records("key")]

    def create(self, name: str, grants: Grants, seconds: float | None = None, *, by: str) -> str:
        """A new key, which is shown now and never again. ``seconds``: how long it holds.

        Raises Malformed, or Conflict if there is a key of that name.
        """
        if not _NAME.fullmatch(name):
            raise Malformed(
                f"The name of a key has 1 to {MAX_NAME} of A-Z a-z 0-9 . _ - and begins with a "
                f"letter or a digit; it is {names.quoted(name[: 2 * MAX_NAME])}."
            )
        if not grants:
            raise Malformed("A key that may do nothing is none; say what it may do, and where.")
        secret, now = secret_tokens.new_secret(), self._clock()
        body = {
            "digest": secret_tokens.digest(secret),
            "grants": grants.as_table(),
            "created_at": now,
            "expires_at": None if seconds is None else now + int(seconds * 1000),
        }
        may = ", ".join(f"{what} {where}" for where, what in grants.as_table().items())
        try:
            self._store.put_access(
                "key", name, body, expected=0, audit=AuditEntry(by, "key created", name, may)
            )
        except Conflict:
            raise Conflict(
                f"There is a key {names.quoted(name)} already; revoke it, or take another name."
            ) from None
        return secret_tokens.written("key", name, secret)

    def revoke(self, name: str, *, by: str) -> None:
        """It is refused from now on, and its connections end. Raises NotFound."""
        record = self._store.access_record("key", name)
        if record is None or record.body is None:
            raise NotFound(f"There is no key {names.quoted(name)}.")
        self._store.put_access("key", name, None, audit=AuditEntry(by, "key revoked", name))


def _key(record: AccessRecord) -> Key:
    body = record.body or {}
    return Key(
        record.id,
        Grants.of(body.get("grants", {})),
        int(body.get("created_at", 0)),
        body.get("expires_at"),
    )
