"""All of a value, where its usual text names only its kind or its size.

``static/whole-value.js`` writes the same.
"""

from __future__ import annotations

from typing import Any

from statecast.web import formatting

LONGEST_HINT = 500
LONGEST = 120
LEAD = 20
"""Characters that are kept before the first difference of two long texts."""


def whole_value(of: Any) -> str:
    """Lists and objects are written out, texts are quoted."""
    if isinstance(of, dict):
        return "{" + ", ".join(f"{name}: {whole_value(part)}" for name, part in of.items()) + "}"
    if isinstance(of, list):
        return "[" + ", ".join(whole_value(part) for part in of) + "]"
    if isinstance(of, str):
        return f"“{of}”"
    return "nothing" if of is None else formatting.value("", of)


def hint(of: Any) -> str | None:
    """The ``title`` of a value whose text says it in other words: an exact time, all of a list."""
    if isinstance(of, str):
        return of if formatting.time_of(of) is not None else None
    if isinstance(of, (dict, list)):
        return formatting.cut(whole_value(of), LONGEST_HINT)
    return None


def tell_apart(name: str, was: Any, now: Any) -> tuple[str, str]:
    """What a field was and became. Two different values never have the same text.

    Values that are equally named (two lists of five items, ``"yes"`` and true) are written out.
    """
    old, new = formatting.value(name, was), formatting.value(name, now)
    if old == new:
        old, new = whole_value(was), whole_value(now)
    return _window(old, new), _window(new, old)


def _window(text: str, other: str) -> str:
    """A part of a long text that begins shortly before it differs from another one."""
    if len(text) <= LONGEST:
        return text
    shorter = min(len(text), len(other))
    same = next((at for at in range(shorter) if text[at] != other[at]), shorter)
    start = same - LEAD if same > LONGEST - LEAD else 0
    return ("…" if start > 0 else "") + formatting.cut(text[start:], LONGEST)
