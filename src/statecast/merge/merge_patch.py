"""Merge patches (RFC 7396) between two states. Pure.

Rule 1: a patch is the difference of two states, never made of other patches. After ``{"a": 5}`` and
``{"a": {"y": 2}}`` the object ``a`` has nothing but ``y``; their composition ``{"a": {"y": 2}}``
would keep what ``a`` had before both.
Rule 2: a patch can say neither that a member is null nor that one item of an array changed. A
changed array stands in the patch as a whole; a state with a null in an object has no patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statecast import strict_json


def patch_between(before: bytes, after: bytes) -> bytes | None:
    """The patch from one encoded state to another; None if there is none that is shorter.

    The states are the store's, so they are not checked again.
    """
    new = strict_json.decode_checked(after)
    if b"null" in after and has_null(new):
        return None
    old = strict_json.decode_checked(before)
    patch = strict_json.encode_checked(difference(old, new))
    return patch if len(patch) < len(after) else None


def has_null(value: Any) -> bool:
    """Whether an object holds a null. Arrays may: they stand in a patch as they are."""
    if type(value) is dict:
        return any(map(has_null, value.values()))
    return value is None


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes ``new`` of ``old``; empty if they are the same."""
    patch: dict[str, Any] = {}
    for name in old:
        if name not in new:
            patch[name] = None
    for name, value in new.items():
        before = old.get(name)
        if before is value:
            continue
        if type(before) is dict and type(value) is dict:
            inner = difference(before, value)
            if inner:
                patch[name] = inner
        elif not same(before, value):
            patch[name] = value
    return patch


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: in Python ``true`` equals 1, in a browser not."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return {kind, type(other)} == {int, float} and bool(one == other)
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        return one.keys() == other.keys() and all(
            same(value, other[name]) for name, value in one.items()
        )
    return bool(one == other)
