"""People who sign in here, with a name, a password and a role."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from statecast import names
from statecast.access import passwords
from statecast.access.records import AccessRecord, AuditEntry, RecordStore
from statecast.access.roles import OPERATOR, ROLES
from statecast.errors import Conflict, Malformed, NotFound

NO_ROLE = "none"
"""Of a user who may do what the table of rights says, and nothing else."""
MAX_NAME = 64
ASKED_AT_MOST = 16
"""Groups of one user."""


@dataclass(frozen=True, slots=True)
class User:
    """What others may know of a user."""

    name: str
    role: str
    groups: tuple[str, ...]
    created_at: int
    """In ms."""
    password_set_at: int


class Users:
    """The users of a store. ``by`` is who asks, as it stands in the audit."""

    def __init__(self, store: RecordStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    def all(self) -> list[User]:
        """By name."""
        return [_user(record) for record in self._store.access_records("user")]

    def add(
        self, name: str, password: str, role: str, groups: Sequence[str] = (), *, by: str
    ) -> User:
        """Raises Malformed, or Conflict if there is such a user."""
        id_ = user_name(name)
        check_role(role)
        passwords.check_new(password, id_)
        now = self._clock()
        body = {
            "password": passwords.hashed(password),
            "password_set_at": now,
            "role": role,
            "groups": checked_groups(groups),
            "created_at": now,
        }
        audit = AuditEntry(by, "user added", id_, role)
        try:
            return _user(self._store.put_access("user", id_, body, expected=0, audit=audit))
        except Conflict:
            raise Conflict(f"There is a user {names.quoted(id_)} already.") from None

    def set_password(self, name: str, password: str, *, by: str) -> None:
        """Sessions that began with the old password end. Raises Malformed or NotFound."""
        record = self._record(name)
        passwords.check_new(password, record.id)
        # The sessions are known by this time, so it must be another one.
        at = max(self._clock(), int(_body(record)["password_set_at"]) + 1)
        kept = {"password": passwords.hashed(password), "password_set_at": at}
        self._change(record, kept, AuditEntry(by, "password set", record.id))

    def set_role(
        self, name: str, role: str, groups: Sequence[str] | None = None, *, by: str
    ) -> None:
        """It holds for open sessions too. Raises Malformed, NotFound, or Conflict."""
        check_role(role)
        record = self._record(name)
        more = {} if groups is None else {"groups": checked_groups(groups)}
        audit = AuditEntry(by, "role set", record.id, role)
        self._change(record, {"role": role, **more}, audit, keep_operator=role != OPERATOR)

    def remove(self, name: str, *, by: str) -> None:
        """The sessions of the user end. Raises NotFound, or Conflict for the last operator."""
        record = self._record(name)
        audit = AuditEntry(by, "user removed", record.id)
        guard = _other_operator(record.id)
        self._store.put_access(
            "user", record.id, None, expected=record.change, guard=guard, audit=audit
        )

    def verify(self, name: str, password: str) -> AccessRecord | None:
        """The user of this name and password; None if either is wrong, after the same time."""
        try:
            record = self._store.access_record("user", user_name(name))
        except Malformed:
            record = None
        known = None if record is None or record.body is None else str(record.body["password"])
        if not passwords.matches(known, password) or record is None or known is None:
            return None
        if passwords.is_outdated(known):
            return self._hash_again(record, password)
        return record

    def _hash_again(self, record: AccessRecord, password: str) -> AccessRecord:
        """Keep the password with today's parameters, now that it is known for a moment."""
        body = {**_body(record), "password": passwords.hashed(password)}
        try:
            return self._store.put_access("user", record.id, body, expected=record.change)
        except Conflict:  # somebody changed the user just now, so the next sign-in does it
            return record

    def _record(self, name: str) -> AccessRecord:
        record = self._store.access_record("user", user_name(name))
        if record is None or record.body is None:
            raise NotFound(f"There is no user {names.quoted(name)}.")
        return record

    def _change(
        self,
        record: AccessRecord,
        change: dict[str, Any],
        audit: AuditEntry,
        *,
        keep_operator: bool = False,
    ) -> None:
        guard = _other_operator(record.id) if keep_operator else None
        body = {**_body(record), **change}
        self._store.put_access(
            "user", record.id, body, expected=record.change, guard=guard, audit=audit
        )


def user_name(given: str) -> str:
    """The name as it is kept: ``Ada`` and ``ada`` are one user. Raises Malformed."""
    name = unicodedata.normalize("NFKC", given).casefold()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or " " in name:
        raise Malformed(
            f"The name of a user has 1 to {MAX_NAME} printable characters without blanks; "
            f"it is {names.quoted(given[: 2 * MAX_NAME])}."
        )
    return name


def check_role(role: str) -> None:
    """Raises Malformed."""
    if role not in ROLES and role != NO_ROLE:
        known = ", ".join((*ROLES, NO_ROLE))
        raise Malformed(f"There is no role {names.quoted(role)}; there are {known}.")


def checked_groups(groups: Sequence[str]) -> list[str]:
    """Sorted, each once. Raises Malformed."""
    if len(groups) > ASKED_AT_MOST:
        raise Malformed(f"A user is in at most {ASKED_AT_MOST} groups.")
    for group in groups:
        if not 0 < len(group) <= MAX_NAME or not group.isprintable():
            raise Malformed(f"The name of a group has 1 to {MAX_NAME} printable characters.")
    return sorted(set(groups))


def _other_operator(name: str) -> Callable[[Sequence[AccessRecord]], None]:
    """Refuses to leave a store with users without an operator."""

    def check(users: Sequence[AccessRecord]) -> None:
        roles = {one.id: _body(one).get("role") for one in users}
        others = [role for one, role in roles.items() if one != name]
        if roles.get(name) == OPERATOR and OPERATOR not in others:
            raise Conflict(
                f"{names.quoted(name)} is the last operator; make another user an operator first: "
                "`statecast user role NAME operator`."
            )

    return check


def _body(record: AccessRecord) -> dict[str, Any]:
    return dict(record.body or {})


def _user(record: AccessRecord) -> User:
    body = _body(record)
    return User(
        record.id,
        str(body.get("role", "")),
        tuple(body.get("groups", ())),
        int(body.get("created_at", 0)),
        int(body.get("password_set_at", 0)),
    )
