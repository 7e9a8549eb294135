"""Who watches what: viewers with the same watch set are one audience and share every frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from statecast import names
from statecast.errors import Malformed, TooLarge
from statecast.model import Position

PROTOCOL = 1
FEW = 8
"""Up to so many prefixes it is faster to try each than to look up those of a device."""


class OutgoingMessage:
    """One event on its way to one or many viewers; transports keep their encoding of it here."""

    __slots__ = ("encodings", "name", "payload", "position")

    def __init__(self, name: str, payload: bytes, position: int = 0) -> None:
        self.name = name
        self.payload = payload
        self.position = position
        self.encodings: dict[str, bytes] = {}


class Recipient(Protocol):
    """What a viewer shows to the broadcaster."""

    def deliver(self, message: OutgoingMessage) -> None:
        """Write it out now, without waiting."""


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """A ``watch`` request after checking."""

    patterns: tuple[str, ...]
    since: Position | None
    health: bool

    @classmethod
    def parse(cls, request: Any, most_patterns: int) -> WatchRequest:
        """Raises Refused with a sentence."""
        if not isinstance(request, Mapping):
            raise Malformed('“watch” takes an object like {"devices": ["pillow"], "protocol": 1}.')
        for member in request:
            if member not in ("devices", "since", "protocol", "health"):
                raise Malformed(
                    f"“watch” has no member {names.quoted(member)}; it takes devices, since, protocol and health."
                )
        if request.get("protocol", PROTOCOL) != PROTOCOL:
            raise Malformed(
                "This server speaks protocol 1 only; reload the page or update the client."
            )
        if not isinstance(request.get("health", False), bool):
            raise Malformed("“health” must be true or false.")
        return cls(
            _patterns(request.get("devices"), most_patterns),
            _position(request.get("since")),
            request.get("health", False),
        )


def _patterns(devices: Any, most: int) -> tuple[str, ...]:
    if (
        not isinstance(devices, list)
        or not devices
        or not all(isinstance(pattern, str) for pattern in devices)
    ):
        raise Malformed(
            '“devices” must be a list of names or patterns, like ["pillow", "floor2/*"].'
        )
    if len(devices) > most:
        raise TooLarge(
            f"At most {most} patterns can be watched; use a wider pattern like floor2/*."
        )
    return tuple(sorted({names.check_pattern(pattern) for pattern in devices}))


def _position(since: Any) -> Position | None:
    if since is None:
        return None
    epoch, offset = (
        (since.get("epoch"), since.get("offset")) if isinstance(since, Mapping) else (None, None)
    )
    if (
        not isinstance(epoch, str)
        or not isinstance(offset, int)
        or isinstance(offset, bool)
        or offset < 0
    ):
        raise Malformed('“since” must be a place, like {"epoch": "…", "offset": 7}.')
    return Position(epoch, offset)


class Audience:
    """The viewers of one watch set. ``current`` are those who have everything up to the head."""

    __slots__ = (
        "answers",
        "answers_head",
        "current",
        "everything",
        "exact",
        "few",
        "missed_seen",
        "patterns",
        "prefixes",
        "size",
    )

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self.everything = "*" in patterns
        self.prefixes = frozenset(pattern[:-1] for pattern in patterns if pattern.endswith("/*"))
        self.few = tuple(self.prefixes)[:FEW]
        self.exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self.current: set[Recipient] = set()
        self.size = 0
        self.answers: dict[tuple[int, bool, bool, bool], OutgoingMessage] = {}
        self.answers_head = -1
        self.missed_seen: tuple[tuple[int, int, int], OutgoingMessage | None] | None = None

    def matches(self, device: str) -> bool:
        if self.everything or device in self.exact:
            return True
        if len(self.prefixes) <= FEW:
            return device.startswith(self.few)
        return any(prefix in self.prefixes for prefix in above(device))

    @property
    def wide(self) -> bool:
        return self.everything or bool(self.prefixes)


def above(device: str) -> Iterator[str]:
    """The prefixes under which a device lies: ``a/`` and ``a/b/`` for ``a/b/c``. A lookup for each, however many
    patterns there are."""
    at = device.find("/") + 1
    while at:
        yield device[:at]
        at = device.find("/", at) + 1


class Audiences:
    """All audiences of a process, found by the device that changed."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, ...], Audience] = {}
        self._everything: set[Audience] = set()
        self._below: dict[str, set[Audience]] = {}
        self._exact: dict[str, set[Audience]] = {}

    def join(self, patterns: tuple[str, ...]) -> Audience:
        audience = self._all.get(patterns)
        if audience is None:
            audience = self._all[patterns] = Audience(patterns)
            if audience.everything:
                self._everything.add(audience)
            else:
                for index, name in self._entries(audience):
                    index.setdefault(name, set()).add(audience)
        audience.size += 1
        return audience

    def leave(self, audience: Audience, viewer: Recipient) -> None:
        audience.current.discard(viewer)
        audience.size -= 1
        if audience.size:
            return
        del self._all[audience.patterns]
        if audience.everything:
            self._everything.discard(audience)
            return
        for index, name in self._entries(audience):
            index[name].discard(audience)
            if not index[name]:
                del index[name]

    def _entries(self, audience: Audience) -> Iterator[tuple[dict[str, set[Audience]], str]]:
        """Where an audience stands, so that each device finds it once at most."""
        for prefix in audience.prefixes:
            if not any(wider in audience.prefixes for wider in above(prefix[:-1])):
                yield self._below, prefix
        for device in audience.exact:
            if not any(prefix in audience.prefixes for prefix in above(device)):
                yield self._exact, device

    def concerned(self, devices: Sequence[str]) -> dict[Audience, Sequence[str]]:
        """Who watches which of these, in their order: one pass over the devices, and none over the audiences."""
        found: dict[Audience, list[str]] = {}
        for device in devices:
            for audience in self._exact.get(device, ()):
                found.setdefault(audience, []).append(device)
            for prefix in above(device) if self._below else ():
                for audience in self._below.get(prefix, ()):
                    found.setdefault(audience, []).append(device)
        return found | dict.fromkeys(self._everything, devices) if devices else {}

    def forget_answers(self) -> None:
        for audience in self._all.values():
            audience.answers.clear()
            audience.missed_seen = None

    def __len__(self) -> int:
        return len(self._all)
