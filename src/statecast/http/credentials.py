"""Reads from a request what says who it is of. Never from its address: addresses are logged.

The proxy's fields count only if a trusted proxy sent them. Only our server knows that, so under
another WSGI server they never count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from statecast.access.credentials import MAX_TOKEN, SESSION_COOKIE, TOO_LONG, Credentials
from statecast.errors import BadSetting
from statecast.http import cors, locality
from statecast.http.asgi import Scope, client_address
from statecast.http.head import BY_PROXY, HeaderFields, RequestHead, by_name

MAX_NAME = 256
"""Characters of a name that a proxy gives."""
MAX_GROUPS = 200
TWICE = "The request has two Authorization fields; send one."
MALFORMED = "Authorization: Bearer is followed by one token, without spaces and commas."
AMBIGUOUS = "The proxy's field with the user comes twice; the proxy must replace what clients send."
UNREADABLE = "The proxy's field with the user or the groups is no text of printable characters."
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1


class ProxyFields(NamedTuple):
    """The names of the fields in which a trusted proxy says who a user is; "": no such field."""

    user: str = ""
    groups: str = ""

    def check(self, has_trusted_proxy: bool) -> None:
        """Raises BadSetting for fields that would never count."""
        if self.user and not has_trusted_proxy:
            raise BadSetting(
                "proxy_user_header is believed of a trusted_proxy alone, and none is set; name the "
                "address of the proxy."
            )
        if self.groups and not self.user:
            raise BadSetting(
                "proxy_groups_header says nothing without proxy_user_header; set that one too."
            )


NO_PROXY = ProxyFields()


class _Unusable(ValueError):
    """What names somebody cannot be read; the text is the sentence."""


def of_head(
    head: RequestHead,
    address: str,
    proxy: ProxyFields = NO_PROXY,
    origins: Sequence[str] = (),
) -> Credentials:
    """Of a request to our server. ``origins`` are those of the setting ``allow_origins``."""
    trusted = cors.trusts_page(head.headers, head.secure, origins)
    local, named_by = head.local, proxy if head.by_proxy else None
    return _of_fields(head.headers, local, address, named_by, foreign=not trusted)


def of_scope(
    scope: Scope, proxy: ProxyFields = NO_PROXY, origins: Sequence[str] = ()
) -> Credentials:
    """Of an ASGI request."""
    return of_head(RequestHead.of_scope(scope), client_address(scope), proxy, origins)


def of_environ(
    environ: Mapping[str, Any], proxy: ProxyFields = NO_PROXY, origins: Sequence[str] = ()
) -> Credentials:
    """Of a WSGI request, under whatever server.

    Ours keeps the fields as they came. Others join those of the same name.
    """
    scope, by_proxy = environ.get("asgi.scope"), bool(environ.get(BY_PROXY))
    names = {
        b"authorization": "HTTP_AUTHORIZATION",
        b"cookie": "HTTP_COOKIE",
        b"host": "HTTP_HOST",
        b"origin": "HTTP_ORIGIN",
    }
    fields: HeaderFields = (
        by_name(scope["headers"])
        if isinstance(scope, Mapping)
        else {
            field: (environ[name].encode("latin-1", "replace"),)
            for field, name in names.items()
            if name in environ
        }
    )
    local = locality.is_local_environ(environ)
    address = str(environ.get("REMOTE_ADDR") or "local")
    trusted = cors.trusts_page(fields, environ.get("wsgi.url_scheme") == "https", origins)
    named_by = proxy if by_proxy else None
    return _of_fields(fields, local, address, named_by, foreign=not trusted)


def _of_fields(
    fields: HeaderFields, local: bool, address: str, proxy: ProxyFields | None, *, foreign: bool
) -> Credentials:
    try:
        bearer = _bearer_in(fields.get(b"authorization", ()))
        if foreign:
            return Credentials(bearer=bearer, address=address, foreign=True)
        user, groups = ("", ()) if proxy is None else _of_proxy(fields, proxy)
        return Credentials(
            local=local,
            bearer=bearer,
            session=_session_in(fields.get(b"cookie", ())),
            proxy_user=user,
            proxy_groups=groups,
            address=address,
        )
    except _Unusable as error:
        local = local and not foreign
        return Credentials(local=local, address=address, foreign=foreign, problem=str(error))


def _bearer_in(values: Sequence[bytes]) -> str:
    """The token; "" without one. Another scheme is a proxy's own: it is no token of ours."""
    if not values:
        return ""
    if len(values) > 1:
        raise _Unusable(TWICE)
    scheme, _, token = values[0].strip().partition(b" ")
    if scheme.lower() != b"bearer":
        return ""
    token = token.strip(b" ")
    if len(token) > MAX_TOKEN:
        raise _Unusable(TOO_LONG)
    if _TOKEN.fullmatch(token) is None:
        raise _Unusable(MALFORMED)
    return token.decode("ascii")


def _session_in(lines: Sequence[bytes]) -> str:
    """The session cookie. Two of them are as none: another site of the domain may have set one."""
    if not lines:
        return ""
    found = []
    for pair in b";".join(lines).split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == SESSION_COOKIE.encode():
            found.append(value)
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _of_proxy(fields: HeaderFields, proxy: ProxyFields) -> tuple[str, tuple[str, ...]]:
    user = _one(fields, proxy.user)
    groups = tuple(filter(None, (one.strip() for one in _one(fields, proxy.groups).split(","))))
    if not user:
        return "", ()
    if len(user) > MAX_NAME or len(groups) > MAX_GROUPS:
        raise _Unusable(f"The proxy's user has {MAX_NAME} characters and {MAX_GROUPS} groups.")
    return user, groups


def _one(fields: HeaderFields, name: str) -> str:
    values = fields.get(name.lower().encode("latin-1"), ()) if name else ()
    if len(values) > 1:
        raise _Unusable(AMBIGUOUS)
    try:
        text = values[0].decode("utf-8").strip() if values else ""
    except UnicodeDecodeError:
        raise _Unusable(UNREADABLE) from None
    if not text.isprintable():
        raise _Unusable(UNREADABLE)
    return text
