"""Who the current request is of, and what it may do: found once, and asked by every view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import flask

from statecast.access.actions import Action
from statecast.access.grants import NOTHING, Grants
from statecast.access.identity import ANONYMOUS, Identity
from statecast.access.patterns import EVERYTHING, any_covers
from statecast.errors import BadSetting, NotAuthenticated, StatecastError, Unavailable
from statecast.http import credentials
from statecast.http.app_rights import AppRights
from statecast.model import value_class
from statecast.settings import Settings
from statecast.stores.contract import Store

_KEPT = "_statecast_rights"


class RightsRuntime(Protocol):
    """The parts of ``Runtime`` that decide."""

    @property
    def settings(self) -> Settings: ...
    @property
    def rights(self) -> AppRights: ...


class RequestRights:
    """What one request may do."""

    def __init__(self, identity: Identity, grants: Grants) -> None:
        self.identity = identity
        self._grants = grants
        self.readable = grants.patterns(Action.READ)
        """The devices that it may see."""
        self.reads_everything = self.readable == EVERYTHING
        self._readable = frozenset(self.readable)

    def may_read(self, device: str) -> bool:
        return self.reads_everything or any_covers(self._readable, device)

    def damaged(self, store: Store) -> list[str]:
        """The readable devices whose rows cannot be read."""
        names = (one.device for one in store.damaged())
        return sorted(name for name in names if name and self.may_read(name))

    def allows(self, action: Action, device: str | None = None) -> bool:
        """Whether it may do this to a device; without one: to any device at all."""
        return self._grants.allows(action, device)


NO_RIGHTS = RequestRights(ANONYMOUS, NOTHING)


@value_class
class _Kept:
    """An application context may outlive a request, so what is kept names the request."""

    request: flask.Request
    rights: RequestRights | None = None
    error: StatecastError | None = None


def current(live: RightsRuntime) -> RequestRights:
    """What the current request may do.

    Raises NotAuthenticated if it names somebody wrongly; Unavailable if who it is of cannot be
    found just now; BadSetting outside of a request.
    """
    asked = current_request()
    if asked is None:
        raise BadSetting("There is no request here, so no one asks; ask in a view.")
    kept: _Kept | None = flask.g.get(_KEPT)
    if kept is None or kept.request is not asked:
        setattr(flask.g, _KEPT, _Kept(asked, error=BadSetting(IN_AUTHORIZE)))
        kept = _found(live, asked)
        setattr(flask.g, _KEPT, kept)
    if kept.rights is None:
        _raise(kept.error)
    return kept.rights


IN_AUTHORIZE = (
    "@live.authorize decides what this request may do, so it cannot ask for it; look at the "
    "request, at flask.session, or at flask_login.current_user."
)


def _found(live: RightsRuntime, asked: flask.Request) -> _Kept:
    rights, origins = live.rights, live.settings.allow_origins
    given = credentials.of_environ(asked.environ, rights.proxy_fields, origins)
    authorize: Callable[[], Any] | None = None
    if rights.asks_application:
        authorize = lambda: rights.authorize(asked)  # noqa: E731
    try:
        identity = rights.policy.identify(given, authorize)
    except (NotAuthenticated, Unavailable) as error:
        return _Kept(asked, error=error)
    return _Kept(asked, RequestRights(identity, rights.policy.grants(identity)))


def _raise(error: StatecastError | None) -> NoReturn:
    assert error is not None, "there are rights, or there is a reason"
    raise error


def current_request() -> flask.Request | None:
    """The request itself, of which there is one object; None outside of a request."""
    if not flask.has_request_context():
        return None
    found: flask.Request = flask.request._get_current_object()  # type: ignore[attr-defined]
    return found


def allows(live: RightsRuntime, action: str, device: str | None = None) -> bool:
    """Whether the current request may do this; see ``Statecast.allows``."""
    try:
        wanted = Action(action)
    except ValueError:
        known = ", ".join(Action)
        raise BadSetting(f"There is no action {action!r}; there are {known}.") from None
    try:
        return current(live).allows(wanted, device)
    except NotAuthenticated:
        return False


def or_none(live: RightsRuntime) -> RequestRights:
    """As ``current``; where no one is found, it may do nothing: for pages that say so."""
    try:
        return current(live)
    except (NotAuthenticated, Unavailable):
        return NO_RIGHTS
