"""Where people sign in and out."""

from __future__ import annotations

import threading
from typing import Protocol

from statecast.access import secret_tokens
from statecast.access.credentials import GuessKind
from statecast.access.records import AccessRecord
from statecast.access.sessions import Sessions
from statecast.access.shares import Shares
from statecast.access.users import MAX_NAME, Users, user_name
from statecast.errors import Malformed, NotAuthenticated, TooManyGuesses

WRONG = "The name or the password is wrong."
ROOM = threading.BoundedSemaphore(4)
"""For sign-ins of this process: each holds a thread that answers requests until its password is
checked. More are refused at once, so that a flood of them leaves threads for other requests."""
ROOM_OF_KNOWN = threading.BoundedSemaphore(2)
"""The same for users at the places where they signed in before: a flood does not take it."""
BUSY = "Too many sign-ins came at once; wait some seconds and try again."
BUSY_SECONDS = 2
ENDED = "This link has expired, was revoked, or is not whole. Ask for a new one."


class Guesses(Protocol):
    """Slows down who tries passwords; see ``http/guess_limiter.py``."""

    def attempt(self, kind: GuessKind, address: str, name: str) -> None: ...
    def succeeded(self, kind: GuessKind, address: str, name: str) -> None: ...
    def was_right(self, kind: GuessKind, address: str, name: str) -> bool: ...


class Desk:
    """Takes names and passwords, and gives out sessions."""

    def __init__(self, users: Users, sessions: Sessions, shares: Shares, guesses: Guesses) -> None:
        self._users = users
        self._sessions = sessions
        self._shares = shares
        self._guesses = guesses

    @property
    def session_seconds(self) -> int:
        """How long a session lasts."""
        return self._sessions.seconds

    def sign_in(self, name: str, password: str, address: str, old: str = "") -> str:
        """Begin a session; the value of its cookie. The session of the cookie ``old`` ends.

        It takes a moment, as guessing must. Raises NotAuthenticated, with the same sentence whether
        there is such a user or not, or TooManyGuesses, also if too many sign in at once.
        """
        counted = _counted(name)
        is_known = self._guesses.was_right("password", address, counted)
        room = ROOM_OF_KNOWN if is_known else ROOM
        if not room.acquire(blocking=False):
            raise TooManyGuesses(BUSY, BUSY_SECONDS)
        try:
            user = self._user_of(name, password, address, counted)
        finally:
            room.release()
        self._sessions.end(old)
        return self._sessions.begin(user)

    def _user_of(self, name: str, password: str, address: str, counted: str) -> AccessRecord:
        """``counted`` is the name for which it counts. Raises NotAuthenticated, TooManyGuesses."""
        self._guesses.attempt("password", address, counted)
        user = self._users.verify(name, password)
        if user is None:
            raise NotAuthenticated(WRONG)
        self._guesses.succeeded("password", address, counted)
        return user

    def share_of(self, token: str, address: str) -> AccessRecord:
        """The share link of a token. Raises NotAuthenticated, or TooManyGuesses."""
        found = secret_tokens.parse(token)
        record = None
        if found is not None and found.kind == "share":
            record = self._shares.verify(found)
        if record is None:
            self._guesses.attempt("share", address, "" if found is None else found.id)
            raise NotAuthenticated(ENDED)
        return record

    def share_seconds(self, share: AccessRecord) -> int:
        """How long a browser keeps a share link that it opened: as a session, or until its end."""
        return min(self.session_seconds, self._shares.seconds_left(share))

    def sign_out(self, cookie: str) -> None:
        """End the session of a cookie, in every process. A wrong one ends nothing."""
        self._sessions.end(cookie)


def _counted(name: str) -> str:
    """The name for which an attempt counts: however it is written, it is one user's."""
    try:
        return user_name(name)
    except Malformed:
        return name[:MAX_NAME]
