"""What is to become of a user, key, share link or session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statecast.access.records import AccessRecord, RecordKind
from statecast.errors import Conflict
from statecast.model import value_class
from statecast.stores.retention import REMOVED_ACCESS_MS


@value_class
class AccessChange:
    """See ``Store.put_access``."""

    kind: RecordKind
    id: str
    body: Mapping[str, Any] | None
    expected: int | None

    def check(self, before: AccessRecord | None) -> None:
        """Raises Conflict if the record is not the expected one."""
        exists = before is not None and before.body is not None
        change = before.change if before is not None and exists else 0
        if self.expected is not None and change != self.expected:
            raise Conflict(
                f"The {self.kind} was changed meanwhile; look at it again, and repeat."
                if exists
                else f"The {self.kind} does not exist any more."
            )

    def expires_at(self, before: AccessRecord | None, now: int) -> int | None:
        """From when on the record may be forgotten, in ms; a removed session, too, not before."""
        if self.body is None and self.kind != "session":
            return now + REMOVED_ACCESS_MS
        body = before.body if self.body is None and before is not None else self.body
        found = None if body is None else body.get("expires_at")
        return found if isinstance(found, int) else None
