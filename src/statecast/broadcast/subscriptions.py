"""Which viewers watch which devices.

Viewers of the same devices and protocol are one audience and share every message. These are the
devices that a viewer asks for, as far as it may read them: rights cost nothing where viewers have
the same ones.
Audiences are found by the device that changed: a tick costs one lookup per changed device and none
per audience.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from statecast.access import patterns as sets
from statecast.broadcast.outgoing_message import OutgoingMessage, Recipient
from statecast.broadcast.recipients import UpToDate
from statecast.broadcast.watch_request import FULL_STATES

EVERYTHING = "*"
FEW_PREFIXES = 8
"""Up to so many prefixes it is faster to try each of them than to look up those of a device."""


class Audience:
    """The viewers of one set of devices."""

    __slots__ = (
        "current",
        "everything",
        "exact",
        "few_prefixes",
        "missed_commands",
        "missed_seen",
        "named_epoch",
        "outdated",
        "patterns",
        "prefixes",
        "protocol",
        "scope",
        "size",
        "sources",
    )

    def __init__(self, patterns: tuple[str, ...], protocol: int = FULL_STATES) -> None:
        self.patterns = patterns
        self.protocol = protocol
        self.scope = sets.scope(patterns)
        """For which devices a position of its viewers holds."""
        self.sources: set[str | None] | None = None
        """Through which its devices report, from when a viewer asks that may not know the others.
        """
        self.everything = "*" in patterns
        self.prefixes = frozenset(pattern[:-1] for pattern in patterns if pattern.endswith("/*"))
        self.few_prefixes = tuple(self.prefixes)[:FEW_PREFIXES]
        self.exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self.current = UpToDate()
        self.size = 0
        """How many viewers watch this set, up to date or not."""
        self.named_epoch = ""
        """That of the last message to all viewers at the head which named the position whole."""
        self.outdated = 0
        """How often ``CatchUpMessages`` of the audience became out of date."""
        self.missed_seen: tuple[tuple[int, int, int], OutgoingMessage | None] | None = None
        """The newest ``seen`` message for viewers that were away, and for which of them it is."""
        self.missed_commands: (
            tuple[tuple[int, int], Sequence[tuple[int, OutgoingMessage]]] | None
        ) = None
        """The same for ``commands``, each with the newest change in it."""

    def matches(self, device: str) -> bool:
        if self.everything or device in self.exact:
            return True
        if len(self.prefixes) <= FEW_PREFIXES:
            return device.startswith(self.few_prefixes)
        return any(prefix in self.prefixes for prefix in prefixes_of(device))

    def within(self, other: Audience) -> Audience:
        """The devices of both, of which nothing is sent."""
        return Audience(sets.within(self.patterns, other.patterns))

    def exceeds(self, other: Audience) -> bool:
        """Whether the set has devices that another one lacks."""
        return self.within(other).scope != self.scope

    def has_one_pattern_for(self, devices: Iterable[str]) -> bool:
        """Whether one pattern of the set matches all of these devices, which it watches."""
        if self.everything:
            return True
        common: set[str] | None = None
        for device in devices:
            keys = {key for key in prefixes_of(device) if key in self.prefixes}
            if device in self.exact:
                keys.add(device)
            common = keys if common is None else common & keys
            if not common:
                return False
        return True

    def disjoint_keys(self) -> Iterator[str]:
        """The fewest names and prefixes that match each device of the set exactly once.

        A prefix ends with ``/``; ``*`` is everything.
        """
        if self.everything:
            yield EVERYTHING
            return
        if not self.prefixes:  # the usual case, and with many names the expensive one
            yield from self.exact
            return
        for prefix in self.prefixes:
            if not any(wider in self.prefixes for wider in prefixes_of(prefix[:-1])):
                yield prefix
        for device in self.exact:
            if not any(prefix in self.prefixes for prefix in prefixes_of(device)):
                yield device

    @property
    def wide(self) -> bool:
        """Whether the set has patterns, so that its devices cannot be enumerated."""
        return self.everything or bool(self.prefixes)

    def forget_messages(self) -> None:
        """Make no more use of messages for viewers that lag: they are out of date."""
        self.outdated += 1
        self.missed_seen = self.missed_commands = None


def keys_of(device: str) -> Iterator[str]:
    """The keys of the watch sets that match a device; see ``Audience.disjoint_keys``."""
    yield EVERYTHING
    yield from prefixes_of(device)
    yield device


def prefixes_of(device: str) -> Iterator[str]:
    """``a/`` and ``a/b/`` for ``a/b/c``."""
    end = device.find("/") + 1
    while end:
        yield device[:end]
        end = device.find("/", end) + 1


class Audiences:
    """All audiences of a process, found by the device that changed."""

    def __init__(self) -> None:
        self._all: dict[tuple[tuple[str, ...], int], Audience] = {}
        self._everything: dict[str, set[Audience]] = {}
        self._by_prefix: dict[str, set[Audience]] = {}
        self._by_device: dict[str, set[Audience]] = {}

    def join(self, patterns: tuple[str, ...], protocol: int = FULL_STATES) -> Audience:
        """Count one more viewer of a watch set; its audience."""
        audience = self._all.get((patterns, protocol))
        if audience is None:
            audience = self._all[patterns, protocol] = Audience(patterns, protocol)
            for key in audience.disjoint_keys():
                self._index(key).setdefault(key, set()).add(audience)
        audience.size += 1
        return audience

    def leave(self, audience: Audience, viewer: Recipient, *, stays: bool = False) -> None:
        """Count one viewer less; an audience without viewers is forgotten.

        ``stays``: the viewer was counted twice.
        """
        if not stays:
            audience.current.discard(viewer)
        audience.size -= 1
        if audience.size:
            return
        del self._all[audience.patterns, audience.protocol]
        for key in audience.disjoint_keys():
            index = self._index(key)
            index[key].discard(audience)
            if not index[key]:
                del index[key]

    def _index(self, key: str) -> dict[str, set[Audience]]:
        """Where the audiences of a key are: each device finds an audience at most once."""
        if key == EVERYTHING:
            return self._everything
        return self._by_prefix if key.endswith("/") else self._by_device

    def watching(self, devices: list[str]) -> dict[Audience, list[str]]:
        """The audiences that watch any of these devices, each with its devices in this order."""
        found: defaultdict[Audience, list[str]] = defaultdict(list)
        by_device, by_prefix = self._by_device, self._by_prefix
        for device in devices:
            for audience in by_device.get(device, ()):
                found[audience].append(device)
            for prefix in prefixes_of(device) if by_prefix else ():
                for audience in by_prefix.get(prefix, ()):
                    found[audience].append(device)
        if devices and self._everything:
            found.update(dict.fromkeys(self._everything[EVERYTHING], devices))
        return found

    def forget_messages(self) -> None:
        for audience in self._all.values():
            audience.forget_messages()

    def forget_sources(self) -> None:
        for audience in self._all.values():
            audience.sources = None

    @property
    def up_to_date(self) -> int:
        """Viewers that have everything. Any thread: the list is taken in one step."""
        return sum(audience.current.size for audience in list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)
