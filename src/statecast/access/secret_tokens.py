"""Keys, share links and session cookies: an id, and a secret of which the store has the digest.

    key      sk_<id>_<secret>
    share    sh_<id>_<secret>
    session  <id>.<secret>

A secret has 256 random bits, so a plain SHA-256 is enough: no one can try them all. Passwords are
another matter (``users.py``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal, NamedTuple

from statecast.access.records import AccessRecord, RecordKind

SECRET_BYTES = 32
SECRET_CHARACTERS = 43
"""Of a secret in base64url, which has ``_`` and ``-`` in it: so it is found by its length."""
MAX_CHARACTERS = 300
"""Of a key, a share link or a session cookie. A longer one is none."""
PREFIXES: dict[str, Literal["key", "share"]] = {"sk_": "key", "sh_": "share"}
NO_DIGEST = "0" * 64
"""Compared for an id that does not exist, so that it takes as long as one that does."""


class SecretToken(NamedTuple):
    """A token, taken apart."""

    kind: RecordKind
    id: str
    secret: str


def new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str) -> str:
    """What the store keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def written(kind: RecordKind, id_: str, secret: str) -> str:
    """The token as it is given out, once."""
    if kind == "session":
        return f"{id_}.{secret}"
    prefix = next(prefix for prefix, one in PREFIXES.items() if one == kind)
    return f"{prefix}{id_}_{secret}"


def parse(token: str) -> SecretToken | None:
    """A key or a share link; None: it has not the form of one."""
    kind = PREFIXES.get(token[:3])
    id_, secret = token[3 : -SECRET_CHARACTERS - 1], token[-SECRET_CHARACTERS:]
    if kind is None or not _is_plain(token) or not id_:
        return None
    return SecretToken(kind, id_, secret) if token[:-SECRET_CHARACTERS].endswith("_") else None


def parse_session(cookie: str) -> SecretToken | None:
    """A session cookie; None: it has not the form of one.

    Where a share link was opened, the cookie is its token: so opening one writes nothing.
    """
    link = parse(cookie)
    if link is not None:  # a key is no cookie: browsers send those by themselves
        return link if link.kind == "share" else None
    id_, _, secret = cookie.partition(".")
    if not _is_plain(cookie) or not id_ or not secret:
        return None
    return SecretToken("session", id_, secret)


def _is_plain(token: str) -> bool:
    """Whether a token may be one of ours: a store need not cope with any other id."""
    return len(token) <= MAX_CHARACTERS and token.isascii() and token.isprintable()


def matches(token: SecretToken, record: AccessRecord | None) -> bool:
    """Whether a token is that of a record. A record that does not exist takes as long."""
    body = (record.body if record is not None else None) or {}
    known = body.get("digest")
    expected = known if isinstance(known, str) and len(known) == len(NO_DIGEST) else NO_DIGEST
    return hmac.compare_digest(digest(token.secret).encode(), expected.encode())
