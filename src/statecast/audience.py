"""Who watches what: viewers with the same watch set are one audience and share every frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from statecast import names
from statecast.errors import Malformed, TooLarge
from statecast.model import Place

PROTOCOL = 1


class Slice:
    """One event on its way to one or many viewers; transports keep their encoding of it here."""

    __slots__ = ("encodings", "name", "payload", "place")

    def __init__(self, name: str, payload: bytes, place: int = 0) -> None:
        self.name = name
        self.payload = payload
        self.place = place
        self.encodings: dict[str, bytes] = {}


class Watching(Protocol):
    """What a viewer shows to the broadcaster."""

    def deliver(self, piece: Slice) -> None:
        """Write it out now, without waiting."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A ``watch`` request after checking."""

    patterns: tuple[str, ...]
    since: Place | None
    health: bool

    @classmethod
    def parse(cls, request: Any, most_patterns: int) -> Wish:
        """Raises Refused with a sentence."""
        if not isinstance(request, Mapping):
            raise Malformed('“watch” takes an object like {"devices": ["pillow"], "protocol": 1}.')
        for member in request:
            if member not in ("devices", "since", "protocol", "health"):
                raise Malformed(
                    f"“watch” has no member {names.quoted(member)}; it takes devices, since, protocol and health."
                )
        if request.get("protocol", PROTOCOL) != PROTOCOL:
            raise Malformed("This server speaks protocol 1 only; reload the page or update the client.")
        if not isinstance(request.get("health", False), bool):
            raise Malformed("“health” must be true or false.")
        return cls(
            _patterns(request.get("devices"), most_patterns), _place(request.get("since")), request.get("health", False)
        )


def _patterns(devices: Any, most: int) -> tuple[str, ...]:
    if not isinstance(devices, list) or not devices or not all(isinstance(pattern, str) for pattern in devices):
        raise Malformed('“devices” must be a list of names or patterns, like ["pillow", "floor2/*"].')
    if len(devices) > most:
        raise TooLarge(f"At most {most} patterns can be watched; use a wider pattern like floor2/*.")
    return tuple(sorted({names.check_pattern(pattern) for pattern in devices}))


def _place(since: Any) -> Place | None:
    if since is None:
        return None
    epoch, offset = (since.get("epoch"), since.get("offset")) if isinstance(since, Mapping) else (None, None)
    if not isinstance(epoch, str) or not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise Malformed('“since” must be a place, like {"epoch": "…", "offset": 7}.')
    return Place(epoch, offset)


class Audience:
    """The viewers of one watch set. ``current`` are those who have everything up to the head."""

    __slots__ = (
        "answers",
        "answers_head",
        "current",
        "everything",
        "exact",
        "missed_seen",
        "patterns",
        "prefixes",
        "size",
    )

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self.everything = "*" in patterns
        self.prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("/*"))
        self.exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self.current: set[Watching] = set()
        self.size = 0
        self.answers: dict[tuple[int, bool, bool, bool], Slice] = {}
        self.answers_head = -1
        self.missed_seen: tuple[tuple[int, int, int], Slice | None] | None = None

    def matches(self, device: str) -> bool:
        return self.everything or device in self.exact or device.startswith(self.prefixes)

    @property
    def wide(self) -> bool:
        return self.everything or bool(self.prefixes)


class Audiences:
    """All audiences of a process, found by the device that changed."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, ...], Audience] = {}
        self._wide: set[Audience] = set()
        self._exact: dict[str, set[Audience]] = {}

    def join(self, patterns: tuple[str, ...]) -> Audience:
        audience = self._all.get(patterns)
        if audience is None:
            audience = self._all[patterns] = Audience(patterns)
            if audience.wide:
                self._wide.add(audience)
            else:
                for device in audience.exact:
                    self._exact.setdefault(device, set()).add(audience)
        audience.size += 1
        return audience

    def leave(self, audience: Audience, viewer: Watching) -> None:
        audience.current.discard(viewer)
        audience.size -= 1
        if audience.size:
            return
        del self._all[audience.patterns]
        self._wide.discard(audience)
        for device in audience.exact if not audience.wide else ():
            watching = self._exact[device]
            watching.discard(audience)
            if not watching:
                del self._exact[device]

    def touched(self, devices: Iterable[str]) -> set[Audience]:
        """Those that a change of ``devices`` may concern."""
        return self._wide.union(*(self._exact.get(device, ()) for device in devices))

    def forget_answers(self) -> None:
        for audience in self._all.values():
            audience.answers.clear()
            audience.missed_seen = None

    def __len__(self) -> int:
        return len(self._all)
