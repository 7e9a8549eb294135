"""Share links: they show some devices to who has the link, until they expire or are revoked."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from statecast import names
from statecast.access import secret_tokens
from statecast.access.grants import Grants
from statecast.access.records import AccessRecord, AuditEntry, RecordStore
from statecast.access.secret_tokens import SecretToken
from statecast.errors import Malformed, NotFound

DAY_SECONDS = 86_400.0
LONGEST = 3_660 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Share:
    """What others may know of a share link."""

    id: str
    pattern: str
    created_at: int
    expires_at: int
    """In ms."""
    by: str


class Shares:
    """The share links of a store. ``by`` is who asks, as it stands in the audit."""

    def __init__(self, store: RecordStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    def all(self) -> list[Share]:
        """The newest last."""
        found = map(_share, self._store.access_records("share"))
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def create(self, pattern: str, seconds: float, *, by: str) -> str:
        """The token of a new link, which is shown now and never again. Raises Malformed."""
        names.check_pattern(pattern)
        if not 0 < seconds <= LONGEST:
            raise Malformed("A share link holds for more than 0 seconds and at most ten years.")
        id_, secret, now = secrets.token_hex(8), secret_tokens.new_secret(), self._clock()
        body = {
            "digest": secret_tokens.digest(secret),
            "grants": {pattern: "read"},
            "created_at": now,
            "expires_at": now + int(seconds * 1000),
            "by": by,
        }
        audit = AuditEntry(by, "share created", id_, pattern)
        self._store.put_access("share", id_, body, expected=0, audit=audit)
        return secret_tokens.written("share", id_, secret)

    def verify(self, token: SecretToken) -> AccessRecord | None:
        """The link of a token; None if it is wrong, has expired or was revoked."""
        record = self._store.access_record("share", token.id)
        if not secret_tokens.matches(token, record) or record is None or record.body is None:
            return None
        expires_at = record.body.get("expires_at")
        return record if isinstance(expires_at, int) and self._clock() < expires_at else None

    def seconds_left(self, share: AccessRecord) -> int:
        """How long a link holds."""
        return max(0, int((share.body or {})["expires_at"]) - self._clock()) // 1000

    def revoke(self, id_: str, *, by: str) -> None:
        """It is refused from now on, and its connections end. Raises NotFound."""
        record = self._store.access_record("share", id_)
        if record is None or record.body is None:
            raise NotFound(f"There is no share link {names.quoted(id_)}.")
        self._store.put_access("share", id_, None, audit=AuditEntry(by, "share revoked", id_))

    def replace_creator(self, names: Mapping[str, str]) -> int:
        """Name the creators of links as ``names`` says; in how many links."""
        found = [one for one in self.all() if one.by in names]
        for one in found:
            record = self._store.access_record("share", one.id)
            if record is not None and record.body is not None:
                body = {**record.body, "by": names[one.by]}
                self._store.put_access("share", one.id, body, expected=record.change)
        return len(found)


def _share(record: AccessRecord) -> Share:
    body = record.body or {}
    (pattern, *_) = Grants.of(body.get("grants", {})).as_table() or ("",)
    return Share(
        record.id,
        pattern,
        int(body.get("created_at", 0)),
        int(body.get("expires_at", 0)),
        str(body.get("by", "")),
    )
