"""Signing in and out: the page, its form, and the cookie of the session.

Rule 1: the cookie is made new at each sign-in, so that no one can prepare it before.
Rule 2: a form is taken only from a page of ours: the browser says so by headers, and a token that
the page got with a cookie says it again.
Rule 3: who has signed in is led to a page of ours, never to another address.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit

import flask

from statecast.access import credentials

SESSION_COOKIE = credentials.SESSION_COOKIE
FORM_COOKIE = "statecast_form"
"""Random, for people without a session: what the token of a form is made from."""
SIGN_IN = "/statecast/sign-in"
SIGN_OUT = "/statecast/sign-out"
_TARGET = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
MAX_TARGET = 2_000


def safe_target(given: str, root: str) -> str:
    """The address of ours to which a sign-in leads; ``root`` for one that is not ours.

    Browsers read ``//host`` and ``/\\host`` as another site, and drop line ends within an address.
    """
    if len(given) > MAX_TARGET or not _TARGET.fullmatch(given):
        return root
    try:
        parts = urlsplit(given)
    except ValueError:
        return root
    if parts.scheme or parts.netloc or not parts.path.startswith(root):
        return root
    if parts.path.endswith((SIGN_IN, SIGN_OUT)):
        return root
    return given


def form_token(cookie: str) -> str:
    """What a form of ours carries, for a browser with this session or form cookie."""
    return hmac.new(cookie.encode(), b"form of Statecast", hashlib.sha256).hexdigest()


def own_cookie(request: flask.Request) -> str:
    """From which the tokens of a browser's forms are made; "" if it has neither cookie."""
    return request.cookies.get(SESSION_COOKIE) or request.cookies.get(FORM_COOKIE) or ""


def has_token(request: flask.Request) -> bool:
    """Whether a form carries the token that a page of ours gave to this browser."""
    cookie = own_cookie(request)
    given = request.form.get("token", "")
    return bool(cookie) and hmac.compare_digest(form_token(cookie).encode(), given.encode())


def has_session_token(request: flask.Request) -> bool:
    """The same for a form that needs no cookie: one that comes with a session has its token."""
    return not request.cookies.get(SESSION_COOKIE) or has_token(request)


def new_form_cookie() -> str:
    return secrets.token_urlsafe(24)


def set_cookie(
    response: flask.Response, request: flask.Request, name: str, value: str, seconds: int | None
) -> None:
    """Set a cookie that no script reads and that no page of another site sends with a form.

    ``seconds`` None: until the browser is closed.
    """
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=_path(request),
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def drop_cookie(response: flask.Response, request: flask.Request, name: str) -> None:
    """Take back what ``set_cookie`` has set."""
    response.delete_cookie(name, path=_path(request))


def _path(request: flask.Request) -> str:
    return request.script_root or "/"
