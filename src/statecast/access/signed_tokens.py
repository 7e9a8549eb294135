"""Signed tokens (JWT, RFC 7519) of an identity provider, checked as RFC 8725 asks.

Rule 1: the algorithm is that of the key, never the one that the token names.
Rule 2: keys come from the settings alone. What a token says of keys is not read, but for ``kid``.
Rule 3: the sentence of a refusal names no part of the token.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import jwt

from statecast import strict_json
from statecast.access.credentials import MAX_TOKEN, TOO_LONG
from statecast.access.identity import Identity
from statecast.access.key_set import KeySet, TokenKey
from statecast.access.token_rules import BY_SECRET, TokenRules
from statecast.errors import NotAuthenticated, Refused
from statecast.problems import Problems

MAX_KID = 256
MAX_NAME = 256
"""Characters of a user and of a group."""
MAX_GROUPS = 200
LATEST = 253_402_300_799
"""The last second of the year 9999: no token expires later."""
WRONG = "The token is forged or damaged; get a new one."
NO_KEY = "The token is signed with a key that the provider does not have."
SENTENCES: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "The token has expired; get a new one.",
    jwt.ImmatureSignatureError: "The token is not valid yet; compare the clocks.",
    jwt.InvalidAudienceError: "The token is meant for another program than this server.",
    jwt.InvalidIssuerError: "The token is of another issuer than the one that this server trusts.",
    jwt.MissingRequiredClaimError: "The token lacks a claim: exp, iss and aud are required.",
}
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class SignedTokens:
    """Says who a token is of. It may wait for the provider's keys: never on the loop."""

    def __init__(self, rules: TokenRules, problems: Problems) -> None:
        self._rules = rules
        self._secret = TokenKey(BY_SECRET, rules.secret.encode()) if rules.secret else None
        self._keys = KeySet(rules.jwks, rules.allowed, problems) if rules.jwks else None

    def verify(self, token: str) -> Identity:
        """Who the token is of. Raises NotAuthenticated, or Unavailable without any keys."""
        if len(token) > MAX_TOKEN:
            raise NotAuthenticated(TOO_LONG)
        claims = self._claims(token, self._key(kid_of(token)))
        rules = self._rules
        user = claims.get(rules.user_claim)
        if not is_name(user):
            raise NotAuthenticated(
                f"The token names no user: its claim {rules.user_claim} is no text of 1 to "
                f"{MAX_NAME} printable characters.",
                is_guess=False,
            )
        expires = min(float(claims["exp"]) + rules.leeway, LATEST)
        groups = groups_of(claim(claims, rules.groups_claim))
        return Identity("token", user, groups, expires_at=int(expires * 1000))

    def _key(self, kid: str | None) -> TokenKey:
        found = self._secret if self._keys is None else self._keys.find(kid)
        if found is None:
            raise NotAuthenticated(NO_KEY)
        return found

    def _claims(self, token: str, key: TokenKey) -> Mapping[str, Any]:
        rules = self._rules
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=rules.audience,
                issuer=[rules.issuer],
                leeway=rules.leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            known = (sentence for kind, sentence in SENTENCES.items() if isinstance(error, kind))
            if sentence := next(known, ""):  # the provider has signed it
                raise NotAuthenticated(sentence, is_guess=False) from None
            raise NotAuthenticated(WRONG) from None


def kid_of(token: str) -> str | None:
    """The id of the key by which a token says it is signed. Raises NotAuthenticated."""
    form = _FORM.fullmatch(token)
    try:
        if form is None:
            raise ValueError
        padded = form[1] + "=" * (-len(form[1]) % 4)
        header = strict_json.decode(base64.b64decode(padded, b"-_", validate=True))
    except (Refused, ValueError):
        raise NotAuthenticated(WRONG) from None
    kid = header.get("kid") if isinstance(header, dict) else ""
    if kid == "" or not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID)):
        raise NotAuthenticated(WRONG)
    if "crit" in header or "b64" in header:  # extensions that change what the rest means
        raise NotAuthenticated(WRONG)
    return kid


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name or, as ``realm_access.roles``, by its path."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def groups_of(value: Any) -> tuple[str, ...]:
    """The groups in a claim: a list, or one text with spaces. What is no name is left out."""
    parts = value.split() if isinstance(value, str) else value
    names = filter(is_name, parts) if isinstance(parts, list) else ()
    return tuple(sorted(set(names)))[:MAX_GROUPS]


def is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()
