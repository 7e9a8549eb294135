"""What checks signed tokens, loaded only where a setting asks for it."""

from __future__ import annotations

from typing import Protocol

from statecast.access.identity import Identity
from statecast.access.token_rules import TokenRules, check
from statecast.errors import BadSetting
from statecast.problems import Problems
from statecast.program.distribution import install_hint


class TokenVerifier(Protocol):
    """Checks signed tokens. It may wait for the identity provider."""

    def verify(self, token: str) -> Identity:
        """Who the token is of. Raises NotAuthenticated, or Unavailable."""


def open_verifier(rules: TokenRules, problems: Problems) -> TokenVerifier | None:
    """What checks signed tokens; None if no setting asks for it. Raises BadSetting."""
    if not rules.are_set:
        return None
    check(rules)
    try:
        from statecast.access.signed_tokens import SignedTokens
    except ImportError:
        raise BadSetting(f"Signed tokens need PyJWT: {install_hint('tokens')}.") from None
    return SignedTokens(rules, problems)
