"""Which devices two sets of patterns have in common.

A pattern is ``*``, a prefix like ``floor2/*``, or the name of a device (``names.check_pattern``).
Of two patterns one is inside the other, or they have no device in common. Both sets may have a
thousand patterns, so none of these functions compares each with each.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator

Patterns = tuple[str, ...]
EVERYTHING = ("*",)
SCOPE_CHARACTERS = 16


def covers(pattern: str, other: str) -> bool:
    """Whether each device of ``other``, a name or a pattern, is one of ``pattern``."""
    if pattern == "*" or pattern == other:
        return True
    return pattern.endswith("/*") and other.startswith(pattern[:-1])


def any_covers(patterns: Collection[str], device: str) -> bool:
    """Whether a device, by its name, is one of any of these patterns: of a set at once."""
    return device in patterns or any(one in patterns for one in wider(device))


def wider(pattern: str) -> Iterator[str]:
    """The patterns that cover a name or a pattern, other than itself."""
    inner = pattern.removesuffix("*").removesuffix("/")
    while "/" in inner:
        inner = inner.rpartition("/")[0]
        yield f"{inner}/*"
    if pattern != "*":
        yield "*"


def reduced(patterns: Iterable[str]) -> Patterns:
    """The same devices in the fewest patterns, sorted: equal sets of devices are equal values."""
    every = set(patterns)
    return tuple(sorted(one for one in every if every.isdisjoint(wider(one))))


def within(wanted: Iterable[str], allowed: Iterable[str]) -> Patterns:
    """The devices that are in both; what is allowed as a whole stands as it was wanted, sorted."""
    every = set(allowed)
    if "*" in every:
        return tuple(sorted(set(wanted)))
    ordered, found = sorted(every), set[str]()
    for one in wanted:
        if one in every or not every.isdisjoint(wider(one)):
            found.add(one)
        elif one.endswith("*"):
            found.update(_beginning(ordered, one[:-1]))
    return tuple(sorted(found))


def _beginning(ordered: list[str], prefix: str) -> Iterator[str]:
    """Those of a sorted list that begin with a prefix."""
    for place in range(bisect_left(ordered, prefix), len(ordered)):
        if not ordered[place].startswith(prefix):
            return
        yield ordered[place]


def narrowed(wanted: Iterable[str], allowed: Iterable[str]) -> Patterns:
    """The devices that are in both, as the fewest patterns."""
    return reduced(within(wanted, allowed))


def name_ranges(patterns: Iterable[str]) -> list[tuple[str, str]]:
    """The names that match any of the patterns: from each first one up to each second, sorted.

    The second one is not in the range. Names have no character after ``~`` (``names.check``).
    """
    found = []
    for one in reduced(patterns):
        if one == "*":
            found.append(("", "\x7f"))
        elif one.endswith("/*"):
            found.append((one[:-1], f"{one[:-2]}0"))  # 0 comes after /
        else:
            found.append((one, following(one)))
    return sorted(found)


def following(name: str) -> str:
    """The text that comes right after a name, in the order of names."""
    return f"{name}\0"


def scope(patterns: Iterable[str]) -> str:
    """A short name of a set of devices. Two lists that mean the same devices have the same one.

    A position says "I have everything up to here", which is true of one set of devices.
    """
    text = "\n".join(reduced(patterns))
    return hashlib.sha256(text.encode()).hexdigest()[:SCOPE_CHARACTERS]
