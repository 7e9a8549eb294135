"""The one decision: who a request is of, and what that one may do.

Rule 1: every way in asks ``allow``, or takes the patterns of ``grants``. No other code decides.
Rule 2: what names somebody and is wrong is refused; it does not become an anonymous request.
Rule 3: what is damaged or cannot be read allows nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from statecast.access import rights_table, secret_tokens
from statecast.access.actions import Action
from statecast.access.credentials import MAX_TOKEN, TOO_LONG, Credentials, GuessKind
from statecast.access.grants import EVERYTHING, NOTHING, Grants
from statecast.access.identity import ANONYMOUS, LOCAL, Identity
from statecast.access.records import AccessRecord, RecordKind, Records
from statecast.access.roles import ROLES
from statecast.access.secret_tokens import SecretToken
from statecast.access.token_verifier import TokenVerifier
from statecast.errors import Malformed, NotAuthenticated, TooManyGuesses

DEEDS: dict[Action, str] = {
    Action.READ: "see states",
    Action.COMMAND: "ask something of a device",
    Action.SEND: "send messages for devices and take their commands",
    Action.WRITE: "set and remove states",
    Action.OPERATE: "see the operator's page and the quarantine",
}
WRONG_TOKEN = "The token is wrong, has expired or was revoked; send a valid one."  # noqa: S105
EXPIRED = "The key or the link has expired; ask for a new one."
Authorize = Callable[[], Any]
"""Asks the application for the rights of the current request; see ``from_application``."""


def deeds_of(actions: Collection[str]) -> str:
    """What everybody may do with ``allow_public`` and these actions, as the end of a sentence."""
    *first, last = ["read every state", *(DEEDS[one] for one in Action if one in actions)]
    return f"may {', '.join(first)} and {last}" if first else f"may {last}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of rights."""

    table: Mapping[str, Grants] = dataclasses.field(default_factory=dict)
    public_read: tuple[str, ...] = ()
    trust_local: bool = True
    allow_public: bool = False
    others_may: tuple[str, ...] = ()
    names_people: bool = False
    """An identity provider or a proxy says who people are."""

    def of_anonymous(self) -> Grants:
        """What everybody may do."""
        read = Grants.from_patterns({Action.READ: self.public_read})
        if not self.allow_public:
            return read
        return read | Grants.of({"*": [Action.READ.value, *self.others_may]})


class AccessPolicy:
    """Decides for one app. ``identify`` may block; the rest answers from memory, in any thread."""

    def __init__(
        self,
        rules: Rules,
        records: Callable[[], Records],
        clock: Callable[[], int],
        *,
        verifier: TokenVerifier | None = None,
        attempt: Callable[[GuessKind, str, str], None] = lambda kind, address, name: None,
        note: Callable[[str, str], None] = lambda address, sentence: None,
    ) -> None:
        """``clock`` gives the time in ms. ``attempt`` counts a wrong token, by its kind, address
        and name; it raises TooManyGuesses. ``note`` logs a refusal, by address and sentence.
        """
        self._rules = rules
        self._records = records
        self._clock = clock
        self._verifier = verifier
        self._attempt = attempt
        self._note = note
        self._anonymous = rules.of_anonymous()
        self._of_users = rights_table.of_users(rules.table)

    # Who it is

    def identify(self, credentials: Credentials, authorize: Authorize | None = None) -> Identity:
        """Who a request is of. May block: never on the loop.

        ``authorize`` asks the application, if it has an opinion. Raises NotAuthenticated if the
        token is wrong, and TooManyGuesses after many wrong ones; the refusal is in the log then. A
        session that has ended is no error: the browser still has its cookie. Raises Unavailable if
        the store or the identity provider does not answer.
        """
        try:
            return self._identify(credentials, authorize)
        except NotAuthenticated as error:
            refused = self._counted(error, credentials)
            self._note(credentials.address, str(refused))
            raise refused from None

    def _counted(self, error: NotAuthenticated, given: Credentials) -> NotAuthenticated:
        """The refusal, after the attempt has been counted if it may be one of many."""
        token = secret_tokens.parse(given.bearer)
        kind: GuessKind = "token" if token is None else secret_tokens.PREFIXES[given.bearer[:3]]
        try:
            if error.is_guess:
                self._attempt(kind, given.address, "" if token is None else token.id)
        except TooManyGuesses as slowed:
            return slowed
        return error

    def _identify(self, given: Credentials, authorize: Authorize | None) -> Identity:
        if given.problem:
            raise NotAuthenticated(given.problem)
        if given.bearer:
            return self._of_bearer(given.bearer)
        if given.session and (found := self._of_session(given.session)) is not None:
            return found
        if given.proxy_user:
            return Identity("proxy", given.proxy_user, tuple(sorted(set(given.proxy_groups))))
        asked = None if given.foreign else authorize
        if asked is not None and (found := from_application(asked())) is not None:
            return found
        return LOCAL if given.local and self._rules.trust_local else ANONYMOUS

    def with_auth(self, given: Credentials, auth: Any) -> Credentials:
        """The credentials of a viewer with ``{"token": ...}`` of its Socket.IO connect packet.

        What has not the form of a token of ours is the application's own, for its handler of
        ``connect``: there, and in the headers with which the viewer began.
        """
        if given.bearer and not self._is_ours(given.bearer):
            given = dataclasses.replace(given, bearer="")
        token = auth.get("token") if isinstance(auth, Mapping) else None
        if not isinstance(token, str) or not self._is_ours(token):
            return given
        if len(token) > MAX_TOKEN:
            return dataclasses.replace(given, problem=TOO_LONG)
        return dataclasses.replace(given, bearer=token)

    def _is_ours(self, token: str) -> bool:
        signed = token.count(".") == 2 and self._verifier is not None
        return signed or token[:3] in secret_tokens.PREFIXES

    def _of_bearer(self, bearer: str) -> Identity:
        token = secret_tokens.parse(bearer)
        if token is None:
            if bearer.count(".") != 2 or self._verifier is None:
                raise NotAuthenticated(WRONG_TOKEN)
            return self._verifier.verify(bearer)
        if not self._matches(token):
            raise NotAuthenticated(WRONG_TOKEN)
        found = self._from_record(token.kind, token.id, self._records())
        if found is None:
            raise NotAuthenticated(EXPIRED, is_guess=False)
        return found

    def _of_session(self, cookie: str) -> Identity | None:
        token = secret_tokens.parse_session(cookie)
        if token is None or not self._matches(token):
            return None
        return self._from_record(token.kind, token.id, self._records())

    def _matches(self, token: SecretToken) -> bool:
        record = self._records().access_record(token.kind, token.id)
        return secret_tokens.matches(token, record)

    # What it is worth now

    def judge(self, identity: Identity, records: Records) -> Identity | None:
        """The same one by what is known now; None: it has expired, or was revoked.

        It asks only ``records``, so it waits for nothing if those are in memory.
        """
        if not identity.records:
            return None if self._has_passed(identity.expires_at) else identity
        kind, id_ = identity.records[0]
        return self._from_record(kind, id_, records)

    def grants_of_sender(self, sender: str) -> Grants | None:
        """What a key may do now, by the ``sender`` of its message; None: it has ended.

        Raises StoreUnavailable. Messages of other senders are not taken.
        """
        kind, _, name = sender.partition(" ")
        found = self._from_record("key", name, self._records()) if kind == "key" else None
        return None if found is None else self.grants(found)

    def _from_record(self, kind: str, id_: str, records: Records) -> Identity | None:
        """Who a key, share link or session is of; None: it, or what it rests on, has ended."""
        build = {"key": self._of_key, "share": self._of_share, "session": self._of_user}[kind]
        body = _body(records.access_record(kind, id_))  # type: ignore[arg-type]
        if body is None or self._has_passed(body.get("expires_at")):
            return None
        try:
            return build(id_, body, records)
        except (Malformed, TypeError, ValueError):  # rule 3
            return None

    def _of_key(self, id_: str, body: Mapping[str, Any], records: Records) -> Identity:
        return Identity(
            "key",
            id_,
            own=Grants.of(body.get("grants", {})),
            expires_at=body.get("expires_at"),
            records=(("key", id_),),
        )

    def _of_share(self, id_: str, body: Mapping[str, Any], records: Records) -> Identity:
        shown = Grants.of(body.get("grants", {})).patterns(Action.READ)
        return Identity(
            "share",
            id_,
            own=Grants.from_patterns({Action.READ: shown}),
            expires_at=body.get("expires_at"),
            records=(("share", id_),),
        )

    def _of_user(self, id_: str, body: Mapping[str, Any], records: Records) -> Identity | None:
        name = str(body["user"]) if "user" in body else ""
        user, begun = _body(records.access_record("user", name)), body.get("password_set_at")
        if user is None or begun is None or user.get("password_set_at") != begun:
            return None
        return Identity(
            "user",
            name,
            groups=tuple(sorted(set(map(str, user.get("groups", ()))))),
            role=str(user.get("role", "")),
            own=Grants.of(user.get("grants", {})),
            expires_at=body.get("expires_at"),
            records=(("session", id_), ("user", name)),
        )

    def _has_passed(self, expires_at: Any) -> bool:
        return expires_at is not None and not (
            isinstance(expires_at, int) and self._clock() < expires_at
        )

    # What it may do

    def grants(self, identity: Identity) -> Grants:
        """All that somebody may do: by its key, its role, the table, and as everybody may."""
        if identity.kind == "local":
            return EVERYTHING
        found = self._anonymous | identity.own | ROLES.get(identity.role, NOTHING)
        for entry in rights_table.entries_of(identity):
            found |= self._rules.table.get(entry, NOTHING)
        if identity.kind == "user":
            found |= self._of_users.get(identity.name, NOTHING)
        return found

    def allow(self, identity: Identity, action: Action, device: str | None = None) -> bool:
        """The decision. Without a device: whether the action is allowed on any device at all."""
        return self.grants(identity).allows(action, device)

    def refusal(self, identity: Identity, action: Action, *, sign_in_helps: bool = False) -> str:
        """The sentence for somebody who may not do this. It names no device."""
        deed = DEEDS[action]
        if identity.kind == "anonymous" and self._rules.allow_public and not sign_in_helps:
            wanted = [
                one.value
                for one in Action
                if one is not Action.READ and (one in self._rules.others_may or one is action)
            ]
            return (
                f"Only the server's own machine may {deed}: do it there, at 127.0.0.1 or "
                f"localhost, or start the server with --others-may {','.join(wanted)}."
            )
        if identity.kind in ("anonymous", "local"):
            return (
                f"No one is signed in, so this request may not {deed}: sign in, or send a key "
                "(Authorization: Bearer)."
            )
        if identity.kind == "share":
            return f"A share link shows its devices and nothing else: it may not {deed}."
        who = f"“{identity.name}”" if identity.name else "This request"
        if identity.kind == "key":
            return f"The key {who} may not {deed} here; an operator can make one that may."
        return (
            f"{who} may not {deed} here; an operator can allow it, with a role or in the table of "
            "rights."
        )

    def sign_in_helps(self, identity: Identity, holds: Callable[[RecordKind], bool]) -> bool:
        """Whether somebody may do more by saying who it is. ``holds`` as in ``is_set_up``."""
        if identity.kind != "anonymous":
            return False
        return not self._rules.allow_public or self.is_set_up(holds)

    def is_set_up(self, holds: Callable[[RecordKind], bool]) -> bool:
        """Whether anything says who may do what. ``holds``: are there records of a kind?"""
        rules = self._rules
        if rules.table or rules.public_read or rules.names_people:
            return True
        return holds("user") or holds("key") or holds("share")


def from_application(answer: Any) -> Identity | None:
    """Who a request is of by ``@live.authorize``; None: it has no opinion.

    The answer is a table of pattern and actions, or Grants; or a name and one of these. What is
    none of these allows nothing.
    """
    if answer is None:
        return None
    name, table = answer if isinstance(answer, tuple) and len(answer) == 2 else ("", answer)
    try:
        own = table if isinstance(table, Grants) else Grants.of(table)
    except Malformed:
        own = NOTHING
    return Identity("app", str(name), own=own)


def _body(record: AccessRecord | None) -> Mapping[str, Any] | None:
    return None if record is None else record.body
