"""Reads what somebody asks of a device, from Python, REST or a command line."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from statecast import names, strict_json
from statecast.commands.life import NewCommand
from statecast.errors import Malformed, TooLarge

MAX_ARGUMENTS = 16_384
"""Bytes of the arguments as JSON."""
MAX_KEY = 256
"""Characters of the sender's own id, and of the name of a person."""
EXPIRES = 60.0
LONGEST = 86_400.0
"""Seconds that a command may wait."""
LONGEST_WAIT = 60.0
"""Seconds that a device may wait for a command with one request: proxies cut what is silent for
longer."""


def new_command(
    device: str,
    name: Any,
    arguments: Any = None,
    *,
    expires: Any = EXPIRES,
    by: Any = None,
    key: Any = None,
    asker: str | None = None,
) -> NewCommand:
    """A valid command with an id of its own. ``expires`` is in seconds. Raises Refused."""
    encoded = strict_json.encode(checked_arguments(arguments))
    if len(encoded) > MAX_ARGUMENTS:
        raise TooLarge(
            f"The arguments have {len(encoded)} bytes; a command has at most {MAX_ARGUMENTS}."
        )
    return NewCommand(
        secrets.token_urlsafe(16),
        names.check(device),
        names.check_command(name),
        encoded,
        milliseconds(expires),
        None if by is None else text("by", by, MAX_KEY),
        None if key is None else text("key", key, MAX_KEY),
        asker,
    )


def checked_arguments(arguments: Any) -> dict[str, Any]:
    found = strict_json.check({} if arguments is None else arguments)
    if isinstance(found, dict):
        return found
    raise Malformed('The arguments of a command are a JSON object, like {"strength": 2}.')


def text(what: str, value: Any, most: int) -> str:
    if isinstance(value, str) and 0 < len(value) <= most and value.isprintable():
        return value
    raise Malformed(f"“{what}” must be a text of 1 to {most} printable characters.")


def milliseconds(expires: Any) -> int:
    is_number = isinstance(expires, (int, float)) and not isinstance(expires, bool)
    if is_number and 0 < expires <= LONGEST:
        return max(1, round(float(expires) * 1000))
    raise Malformed(f"“expires” must be a number of seconds above 0, at most {LONGEST:.0f}.")


def from_members(
    device: str, members: Mapping[str, Any], key: str | None, asker: str | None = None
) -> NewCommand:
    """The command that a JSON object describes. Raises Refused."""
    known = ("name", "arguments", "expires", "by")
    for member in members:
        if member not in known:
            raise Malformed(
                f"{names.quoted(member)} is not a member of a command; "
                f"these are: {', '.join(known)}."
            )
    if "name" not in members:
        raise Malformed('A command has a name, like {"name": "hug"}.')
    given = {name: value for name, value in members.items() if value is not None}
    return new_command(
        device,
        given.get("name"),
        given.get("arguments"),
        expires=given.get("expires", EXPIRES),
        by=given.get("by"),
        key=key,
        asker=asker,
    )


def wait_seconds(text: str) -> float:
    """For how long a device waits with one request. Raises Malformed."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise Malformed(f"“wait” must be a number of seconds from 0 to {LONGEST_WAIT:.0f}.")
    return seconds
