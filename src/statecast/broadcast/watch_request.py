"""The ``watch`` request of a viewer, and what is checked about it."""

from __future__ import annotations

from typing import Any

from statecast import names
from statecast.errors import Malformed, TooLarge
from statecast.model import Position, value_class

FULL_STATES, PATCHES = 1, 2
"""The protocols of our events: each change as the whole state, or as a patch where one fits."""
PROTOCOLS = (FULL_STATES, PATCHES)
MEMBERS = ("devices", "since", "protocol", "health", "presence", "reset")


@value_class
class WatchRequest:
    """A valid ``watch`` request."""

    patterns: tuple[str, ...]
    """Names and patterns of devices, sorted and without repetition."""
    since: Position | None
    """What the viewer has already; None: nothing."""
    health: bool
    """Whether to send it ``health`` events."""
    presence: bool = False
    """Whether to tell it who watches the devices that it names."""
    scope: str | None = None
    """For which devices ``since`` holds; None: the viewer does not say."""
    protocol: int = FULL_STATES
    reset: bool = False
    """Whether the viewer has lost what it had, so that everything is sent again."""

    @classmethod
    def parse(cls, request: Any, max_patterns: int) -> WatchRequest:
        """Check a request. Raises Malformed or TooLarge with a sentence for the viewer."""
        if not isinstance(request, dict):
            raise Malformed('“watch” takes an object like {"devices": ["pillow"], "protocol": 1}.')
        for member in request:
            if member not in MEMBERS:
                raise Malformed(
                    f"“watch” has no member {names.quoted(member)}; "
                    "it takes devices, since, protocol, health, presence and reset."
                )
        protocol = request.get("protocol", FULL_STATES)
        if protocol not in PROTOCOLS:
            raise Malformed(
                "This server speaks the protocols 1 and 2; reload the page or update the client."
            )
        for member in ("health", "presence", "reset"):
            if not isinstance(request.get(member, False), bool):
                raise Malformed(f"“{member}” must be true or false.")
        return cls(
            _patterns(request.get("devices"), max_patterns),
            _position(request.get("since")),
            request.get("health", False),
            request.get("presence", False),
            _scope(request.get("since")),
            int(protocol),
            request.get("reset", False),
        )


def _patterns(devices: Any, limit: int) -> tuple[str, ...]:
    if (
        not isinstance(devices, list)
        or not devices
        or not all(isinstance(pattern, str) for pattern in devices)
    ):
        raise Malformed(
            '“devices” must be a list of names or patterns, like ["pillow", "floor2/*"].'
        )
    if len(devices) > limit:
        raise TooLarge(
            f"At most {limit} patterns can be watched; use a wider pattern like floor2/*."
        )
    return tuple(sorted({names.check_pattern(pattern) for pattern in devices}))


def _position(since: Any) -> Position | None:
    if since is None:
        return None
    members = since if isinstance(since, dict) else {}
    epoch, offset = members.get("epoch"), members.get("offset")
    # ``True`` is an int in Python, and no offset.
    if isinstance(epoch, str) and type(offset) is int and offset >= 0:
        return Position(epoch, offset)
    raise Malformed('“since” must be a position, like {"epoch": "…", "offset": 7, "scope": "…"}.')


def _scope(since: Any) -> str | None:
    scope = since.get("scope") if isinstance(since, dict) else None
    if scope is None or isinstance(scope, str):
        return scope
    raise Malformed("The “scope” of a position is a text, as the server sent it.")
