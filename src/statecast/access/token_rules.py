"""What the settings say of signed tokens, and the check that it is enough to trust them."""

from __future__ import annotations

from dataclasses import dataclass

from statecast.errors import BadSetting

BY_SECRET = "HS256"  # noqa: S105 - the name of an algorithm
BY_KEY = ("RS256", "ES256")
ALGORITHMS = (BY_SECRET, *BY_KEY)
SECRET_BYTES = 32
"""A shorter secret of HS256 could be guessed from one token (RFC 7518, 3.2)."""
DISTINCT = 10
"""Different characters that a secret has at least: 32 times the same letter is none."""


@dataclass(frozen=True, slots=True, repr=False)  # it holds a secret
class TokenRules:
    """Which signed tokens count, and which claims name the user."""

    issuer: str = ""
    audience: tuple[str, ...] = ()
    jwks: str = ""
    """Where the provider's public keys are: an address or a file."""
    secret: str = ""
    algorithms: tuple[str, ...] = ()
    """Empty: those that the kind of key allows."""
    user_claim: str = "sub"
    groups_claim: str = "groups"
    leeway: float = 30.0
    """Seconds by which the clocks may differ."""

    @property
    def are_set(self) -> bool:
        return bool(self.issuer or self.audience or self.jwks or self.secret)

    @property
    def allowed(self) -> tuple[str, ...]:
        return self.algorithms or ((BY_SECRET,) if self.secret else BY_KEY)


def check(rules: TokenRules) -> None:
    """Raises BadSetting if these settings would trust too much, or nothing."""
    if bool(rules.jwks) == bool(rules.secret):
        raise BadSetting(
            "Signed tokens are checked by the provider's public keys (jwt_jwks) or by a shared "
            "secret (jwt_secret); set one of the two."
        )
    if not rules.issuer or not rules.audience:
        raise BadSetting(
            "Signed tokens need jwt_issuer and jwt_audience: without them the tokens that the "
            "provider gives to other programs would count here."
        )
    wrong = set(rules.allowed) - ({BY_SECRET} if rules.secret else set(BY_KEY))
    if wrong:
        raise BadSetting(
            f"jwt_algorithms {', '.join(sorted(wrong))} does not fit: {BY_SECRET} goes with "
            f"jwt_secret, {' and '.join(BY_KEY)} with jwt_jwks."
        )
    if rules.secret:
        check_secret(rules.secret)


def check_secret(secret: str) -> None:
    """Raises BadSetting for a secret that others could know. The sentence does not have it."""
    if "-----BEGIN" in secret or secret.startswith("ssh-"):
        raise BadSetting(
            "jwt_secret is a key with a public half, and who knows that could sign; use jwt_jwks."
        )
    if len(secret.encode()) < SECRET_BYTES or len(set(secret)) < DISTINCT:
        raise BadSetting(
            f"jwt_secret must have at least {SECRET_BYTES} random bytes, as of "
            "`openssl rand -base64 32`."
        )
