"""Names of devices, and patterns of names: an exact name, ``prefix/*`` (any depth below) or ``*``.

Names of commands too.

Also how a client's text is shown: in one line, and without control characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from statecast.errors import Malformed

MAX_CHARACTERS = 128
RESERVED_ENDINGS = ("/commands", "/history", "/viewers")
"""``/api/devices/pillow/commands`` are the commands of ``pillow``: no new device is called so."""
MAX_COMMAND = 64
"""Characters of the name of a command."""
MAX_COMMANDS = 32
"""Commands that a device may say it takes."""
EVERYTHING = "*"

PATTERN = r"^(?!\.\.?(?:/|$))[A-Za-z0-9._:-]+(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._:-]+)*$"
"""What a name of a device matches, in words that Python and JavaScript read alike."""

WATCHED = rf"^(\*|{PATTERN[1:-1]}(/\*)?)$"
"""What a name or a pattern of names matches."""

_NAME = re.compile(PATTERN)
_SHOWN = 40


def check(name: Any) -> str:
    """The name itself. Raises Malformed with a sentence that describes valid names."""
    if not isinstance(name, str):
        raise Malformed("The name of a device must be text.")
    if not name:
        raise Malformed("The name of a device must not be empty.")
    if len(name) > MAX_CHARACTERS:
        raise Malformed(
            f"The name of a device has at most {MAX_CHARACTERS} characters; "
            f"this one has {len(name)}."
        )
    if _NAME.fullmatch(name) is None:
        raise Malformed(
            f"{quoted(name)} is not a name of a device: letters, digits and . _ : - are allowed, "
            "with single / between parts, and no part is . or .."
        )
    return name


def is_reserved(name: str) -> bool:
    """Whether REST would read the name as an address below another device."""
    return name.endswith(RESERVED_ENDINGS)


def check_pattern(pattern: Any) -> str:
    """The pattern itself. Raises Malformed."""
    if pattern == EVERYTHING:
        return EVERYTHING
    if isinstance(pattern, str) and "*" in pattern:
        if not pattern.endswith("/*") or "*" in pattern[:-1]:
            raise Malformed(
                f"{quoted(pattern)} is not a pattern; "
                "a * stands alone or at the end after a /, like floor2/*."
            )
        check(pattern[:-2])
        return pattern
    return check(pattern)


def check_command(name: Any, what: str = "“name”") -> str:
    """The name of a command itself. Raises Malformed; ``what`` is the subject of the sentence."""
    if isinstance(name, str) and 0 < len(name) <= MAX_COMMAND and name.isprintable():
        return name
    raise Malformed(f"{what} must be a text of 1 to {MAX_COMMAND} printable characters.")


def check_commands(found: Sequence[Any]) -> tuple[str, ...]:
    """The names of the commands that a device takes, each once. Raises Malformed."""
    if len(found) > MAX_COMMANDS:
        raise Malformed(
            f"A device takes at most {MAX_COMMANDS} commands; this list has {len(found)}."
        )
    return tuple(dict.fromkeys(check_command(name, "The name of a command") for name in found))


def match(pattern: str, device: str) -> bool:
    """Whether a checked pattern matches a device; ``floor2/*`` does not match ``floor2`` itself."""
    if pattern == EVERYTHING:
        return True
    if pattern.endswith("/*"):
        return device.startswith(pattern[:-1])
    return device == pattern


def match_any(patterns: Iterable[str], device: str) -> bool:
    """Whether any of these checked patterns matches a device."""
    return any(match(pattern, device) for pattern in patterns)


def _python_escape(character: str) -> str:
    return ascii(character)[1:-1]


def escaped(text: str, escape: Callable[[str], str] = _python_escape) -> str:
    """The text without characters that end a line or control a terminal.

    ``escape`` says what stands for one of them; by default what Python writes, such as ``\\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else escape(one) for one in text)


def quoted(text: Any) -> str:
    """A text of a client as part of a sentence: short and printable."""
    text = str(text)
    start = escaped(text[: _SHOWN + 1])
    return f"“{start[:_SHOWN]}…”" if len(start) > _SHOWN else f"“{start}”"


def without_password(url: str) -> str:
    """A URL as sentences name it."""
    hidden = re.sub(r"(?<=//)([^/?@]*?):[^/?]*@", r"\1:***@", url)
    return re.sub(r"(?<=[?&])((?:ssl)?password|lease_url)=[^&]*", r"\1=***", hidden)


def has_password(url: str) -> bool:
    """Whether a URL has a password, or the one of a direct connection for leases in it has."""
    others = [unquote(one) for one in re.findall(r"[?&]lease_url=([^&]*)", url)]
    own = re.sub(r"(?<=[?&])lease_url=[^&]*", "", url)
    return without_password(own) != own or any(map(has_password, others))
