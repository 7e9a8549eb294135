"""Sessions of people who signed in: a cookie, of which the store has the digest."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from statecast.access import secret_tokens
from statecast.access.records import AccessRecord, AuditEntry, RecordStore

MOST_SESSIONS = 20
"""Of one user; a further sign-in ends the oldest."""


class Sessions:
    """The sessions of a store. A session ends with its time, or when its user is changed."""

    def __init__(self, store: RecordStore, clock: Callable[[], int], hours: float) -> None:
        self._store = store
        self._clock = clock
        self.seconds = int(hours * 3600)
        """How long a session lasts."""

    def begin(self, user: AccessRecord) -> str:
        """A session of a user whose password was right; the value of its cookie."""
        body = user.body or {}
        self._end_oldest(user.id)
        id_, secret = secrets.token_urlsafe(12), secret_tokens.new_secret()
        session = {
            "digest": secret_tokens.digest(secret),
            "user": user.id,
            "password_set_at": body.get("password_set_at"),
            "expires_at": self._clock() + self.seconds * 1000,
        }
        audit = AuditEntry(f"user {user.id}", "signed in", user.id)
        self._store.put_access("session", id_, session, expected=0, audit=audit)
        return secret_tokens.written("session", id_, secret)

    def _end_oldest(self, name: str) -> None:
        """Leave room for a session more: who signs in without end must not fill the store."""
        own = sorted(self._of(name), key=lambda one: one.change)
        for one in own[: max(0, len(own) + 1 - MOST_SESSIONS)]:
            self._store.put_access("session", one.id, None)

    def end(self, cookie: str) -> None:
        """End the session of a cookie. A cookie that is wrong ends nothing."""
        token = secret_tokens.parse_session(cookie)
        if token is None or token.kind != "session":  # a share link goes on for others
            return
        record = self._store.access_record("session", token.id)
        if not secret_tokens.matches(token, record) or record is None or record.body is None:
            return
        name = str(record.body.get("user", ""))
        audit = AuditEntry(f"user {name}", "signed out", name)
        self._store.put_access("session", token.id, None, audit=audit)

    def end_all(self, user: str) -> None:
        """End all sessions of a user. What stays of each has no name."""
        for record in self._of(user):
            self._store.put_access("session", record.id, None)

    def _of(self, user: str) -> list[AccessRecord]:
        return [
            one
            for one in self._store.access_records("session")
            if one.body is not None and one.body.get("user") == user
        ]
