"""Which devices two sets of patterns have in common.

A pattern is ``*``, a prefix like ``floor2/*``, or the name of a device (``names.check_pattern``).
Of two patterns one is inside the other, or they have no device in common.
"""

from __future__ import annotations

from collections.abc import Iterable

Patterns = tuple[str, ...]


def covers(pattern: str, other: str) -> bool:
    """Whether each device of ``other``, a name or a pattern, is one of ``pattern``."""
    if pattern == "*" or pattern == other:
        return True
    return pattern.endswith("/*") and other.startswith(pattern[:-1])


def any_covers(patterns: Iterable[str], device: str) -> bool:
    """Whether a device, by its name, is one of any of these patterns."""
    return any(covers(pattern, device) for pattern in patterns)


def reduced(patterns: Iterable[str]) -> Patterns:
    """The same devices in the fewest patterns, sorted: equal sets of devices are equal values."""
    every = set(patterns)
    return tuple(
        sorted(one for one in every if not any(one != by and covers(by, one) for by in every))
    )


def narrowed(wanted: Iterable[str], allowed: Iterable[str]) -> Patterns:
    """The devices that are in both, as patterns."""
    wanted, allowed = tuple(wanted), tuple(allowed)
    return reduced(
        one if covers(by, one) else by
        for one in wanted
        for by in allowed
        if covers(by, one) or covers(one, by)
    )
