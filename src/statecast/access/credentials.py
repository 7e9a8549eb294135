"""What a request brought to say who it is of. ``http/credentials.py`` reads it from a request."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Literal

from statecast.model import value_class

GuessKind = Literal["key", "share", "token", "password"]
"""What is tried. Each has limits of its own: a device whose key was revoked keeps no person out."""
SESSION_COOKIE = "statecast_session"
"""The cookie of who signed in here."""
MAX_TOKEN = 8_192
"""Bytes of a bearer token."""
TOO_LONG = f"A token has at most {MAX_TOKEN:,} bytes."


@value_class
class Credentials:
    """Nothing in it was checked, except that the proxy's names come from a trusted proxy."""

    local: bool = False
    """The request is of this machine; see ``http/locality.py``."""
    bearer: str = ""
    """The token of ``Authorization: Bearer``, or of ``auth`` in a Socket.IO connect packet."""
    session: str = ""
    """The cookie of who signed in here."""
    proxy_user: str = ""
    proxy_groups: tuple[str, ...] = ()
    address: str = ""
    """Of the client. Guesses are counted by it, and the log names it."""
    foreign: bool = False
    """A page sent the request that is neither ours nor named in ``allow_origins``: what its browser
    adds by itself, the application's own cookie too, does not count."""
    problem: str = ""
    """Why they cannot be read, as a sentence: for example, there are two tokens."""

    def names_same(self, first: Credentials, *, may_lack_bearer: bool = False) -> bool:
        """Whether a later request says that it is of who sent the first one, from wherever.

        ``may_lack_bearer``: a browser cannot add the token to the request of a WebSocket.
        """
        lacks = may_lack_bearer and not self.bearer and not self.problem
        given = replace(self, bearer=first.bearer) if lacks else self
        return hmac.compare_digest(given._who(), first._who())

    def _who(self) -> bytes:
        named = (self.bearer, self.session, self.proxy_user, *self.proxy_groups, self.problem)
        return "\0".join(named).encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        """Without the secrets: a credential in a traceback would be in the log."""
        given = [
            name
            for name in ("local", "bearer", "session", "proxy_user", "problem")
            if getattr(self, name)
        ]
        return f"<Credentials {' '.join(given) or 'none'} from {self.address or 'nowhere'}>"
