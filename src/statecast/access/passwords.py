"""Passwords: which are taken, and what is kept of them.

werkzeug, which Flask brings, hashes them with scrypt: no further library is needed for a current
algorithm. The parameters are those that OWASP names for 32 MB of memory.
"""

from __future__ import annotations

import threading
import unicodedata
from functools import cache

from werkzeug.security import check_password_hash, generate_password_hash

from statecast.errors import Malformed

METHOD = "scrypt:32768:8:3"
"""N, r and p: 32 MB for each password that is checked."""
AT_ONCE = threading.BoundedSemaphore(2)
"""How many passwords are checked at once: more of them wait, and do not fill the memory."""
SHORTEST, LONGEST = 10, 1_000
"""Characters. Length protects; rules about digits and signs do not (NIST SP 800-63B)."""
COMMON = frozenset(
    {
        *("password12", "password123", "passwordpassword", "1234567890", "0123456789"),
        *("12345678910", "123456789012", "qwertyuiop", "qwerty12345", "1q2w3e4r5t"),
        *("iloveyou12", "iloveyou123", "administrator", "letmein123", "changeme123"),
        *("changemenow", "statecast1", "statecast123", "welcome123", "abcdefghij"),
    }
)
"""Long enough, and tried first by everybody who guesses."""


def normalized(password: str) -> str:
    """The same characters in the same form, whatever keyboard they come from."""
    return unicodedata.normalize("NFKC", password)


def check_new(password: str, name: str) -> None:
    """Whether somebody may take this password. Raises Malformed with a sentence."""
    given = normalized(password)
    if not SHORTEST <= len(given) <= LONGEST:
        raise Malformed(f"A password has {SHORTEST} to {LONGEST:,} characters; take a longer one.")
    plain = given.casefold()
    if plain in COMMON or len(set(plain)) < 4:
        raise Malformed("This password is among the first that are guessed; take another one.")
    if plain.strip("0123456789!.?-_ ") in ("", name.casefold()):
        raise Malformed("A password is more than the name, or digits; take another one.")


def hashed(password: str) -> str:
    """What is kept of a password."""
    with AT_ONCE:
        return generate_password_hash(normalized(password), METHOD)


def matches(known: str | None, password: str) -> bool:
    """Whether it is the password of which ``known`` was kept. None takes as long, and is False."""
    if len(password) > LONGEST:
        return False
    with AT_ONCE:
        same = check_password_hash(known or _of_no_one(), normalized(password))
    return same and known is not None


def is_outdated(known: str) -> bool:
    """Whether it was kept with other parameters than today's."""
    return not known.startswith(f"{METHOD}$")


@cache
def _of_no_one() -> str:
    return generate_password_hash("no password", METHOD)
