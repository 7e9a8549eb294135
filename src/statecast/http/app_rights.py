"""Who may do what in one app: the decision, the records behind it, and its limits.

``AccessPolicy`` decides. Here it is made of the settings, the store and the application's function
of ``@live.authorize``, for every way in alike.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from statecast.access.desk import Desk
from statecast.access.grants import NOTHING
from statecast.access.identity import Identity
from statecast.access.keys import Keys
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.records import RecordKind, RecordStore
from statecast.access.sessions import Sessions
from statecast.access.shares import Shares
from statecast.access.token_rules import TokenRules
from statecast.access.token_verifier import open_verifier
from statecast.access.users import Users
from statecast.errors import BadSetting
from statecast.http import first_rights
from statecast.http.credentials import ProxyFields
from statecast.http.guess_limiter import GuessLimiter
from statecast.http.head import RequestHead
from statecast.http.throttled_log import ThrottledLog
from statecast.http.write_limit import WriteLimiter
from statecast.problems import Problems
from statecast.settings import Settings

log = logging.getLogger(__name__)
Authorize = Callable[[Any], Any]


class AppRights:
    """Of one app. Every method may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        store: Callable[[], RecordStore],
        clock: Callable[[], int],
        problems: Problems,
    ) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self._problems = problems
        self.guesses = GuessLimiter()
        self._noted_stranger = False
        self._authorize: Authorize | None = None
        self._request_of: Callable[[RequestHead, str], Any] = lambda head, address: None

    @cached_property
    def policy(self) -> AccessPolicy:
        """The one decision, by the settings as they are at its first use. Raises BadSetting."""
        refusals, given = ThrottledLog(), self.settings
        self.proxy_fields.check(bool(given.trusted_proxy))
        token_rules = TokenRules(
            issuer=given.jwt_issuer,
            audience=given.jwt_audience,
            jwks=given.jwt_jwks,
            secret=given.jwt_secret,
            algorithms=given.jwt_algorithms,
            user_claim=given.jwt_user_claim,
            groups_claim=given.jwt_groups_claim,
            leeway=given.jwt_leeway,
        )
        return AccessPolicy(
            Rules(
                table=given.rights,
                public_read=given.public_read,
                trust_local=given.trust_local,
                allow_public=given.allow_public,
                others_may=given.others_may,
                names_people=token_rules.are_set
                or bool(given.trusted_proxy and given.proxy_user_header),
            ),
            self._store,
            self._clock,
            verifier=open_verifier(token_rules, self._problems),
            attempt=self.guesses.attempt,
            note=lambda address, sentence: refusals.warning(address, sentence, time.monotonic()),
        )

    @property
    def users(self) -> Users:
        """The people who sign in here."""
        return Users(self._store(), self._clock)

    @property
    def keys(self) -> Keys:
        """The keys of devices and programs."""
        return Keys(self._store(), self._clock)

    @property
    def shares(self) -> Shares:
        """The share links."""
        return Shares(self._store(), self._clock)

    @property
    def desk(self) -> Desk:
        """Where people sign in and out."""
        sessions = Sessions(self._store(), self._clock, self.settings.session_hours)
        return Desk(self.users, sessions, self.shares, self.guesses)

    @cached_property
    def writes(self) -> WriteLimiter:
        """How often one user or key may send, edit and command."""
        return WriteLimiter(self.settings.write_rate_limit)

    @property
    def proxy_fields(self) -> ProxyFields:
        """In which fields a trusted proxy names the user."""
        return ProxyFields(self.settings.proxy_user_header, self.settings.proxy_groups_header)

    def holds(self, kind: RecordKind) -> bool:
        """Whether the store has any record of a kind. Raises Unavailable."""
        return bool(self._store().access_records(kind))

    def has_rules(self) -> bool:
        """Whether somebody who may read may read less than everything. Raises Unavailable."""
        return self.asks_application or self.policy.is_set_up(self.holds)

    def says_who_may(self) -> bool:
        """Whether anything says what other machines may do. Raises Unavailable."""
        return self.settings.allow_public or self.has_rules()

    def note_stranger(self) -> None:
        """Another machine was refused; once, the log says what to do if nothing says who may."""
        if not self._noted_stranger and not self.says_who_may():
            self._noted_stranger = True
            log.warning("%s", first_rights.noted(self.settings))

    def sign_in_helps(self, identity: Identity) -> bool:
        """Whether somebody may do more by saying who it is. Raises Unavailable."""
        return self.policy.sign_in_helps(identity, self.holds)

    @property
    def asks_application(self) -> bool:
        """Whether the application has a function of ``@live.authorize``."""
        return self._authorize is not None

    def authorize_by(
        self,
        function: Callable[[Any], Any],
        request_of: Callable[[RequestHead, str], Any],
    ) -> None:
        """Ask this function what a request may do. Raises BadSetting for a second one.

        ``request_of`` makes a request of the head and the address of a viewer's.
        """
        if self._authorize is not None:
            raise BadSetting("There is one function of @live.authorize; this is a second one.")
        self._authorize, self._request_of = function, request_of

    def authorize(self, request: Any) -> Any:
        """What the application allows to a Flask request; None: it has no opinion.

        It runs the application's code, so it may block. An error allows nothing, and is logged.
        """
        if self._authorize is None:
            return None
        try:
            return self._authorize(request)
        except Exception:
            log.exception("@live.authorize failed, so the request may do nothing by it")
            return NOTHING

    def authorize_viewer(self, head: RequestHead, address: str) -> Any:
        """The same for a viewer, by the head of its request and its address."""
        return self.authorize(self._request_of(head, address))

    def ask_as(self, other: AppRights) -> None:
        """Ask the application's function that the other has."""
        self._authorize, self._request_of = other._authorize, other._request_of
