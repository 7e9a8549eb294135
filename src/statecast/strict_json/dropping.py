"""JSON without the members that are refused: one bad field of forty need not cost the other 39.

Rule 1: a bad value takes its member with it. In an array it takes the member that holds the array,
because the other items would move to other places.
Rule 2: what is dropped is returned, with its place and the reason.
Rule 3: what makes the whole text doubtful is refused as always: a name twice, a text that does not
end, too many levels or members.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from statecast.errors import Malformed
from statecast.names import quoted
from statecast.strict_json import text as strict

MAX_SHOWN = 10
"""Dropped members that are named; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Bad:
    """Stands for a value that is refused."""

    reason: str


def decode_dropping(text: bytes | str) -> tuple[Any, tuple[str, ...]]:
    """The value without what is refused, and a sentence for each member that was dropped.

    Raises Malformed for a text that no dropped member makes right.
    """
    try:
        return strict.decode(text), ()
    except Malformed as error:
        refused = error
    dropped: list[tuple[str, str]] = []
    try:
        parsed = _lenient.decode(text if isinstance(text, str) else text.decode())
        value = _prune(parsed, "", dropped)
    except (ValueError, RecursionError):  # no JSON at all
        raise refused from None
    if isinstance(value, Bad) or not dropped:
        raise refused
    value = strict.decode(strict.encode(value))  # nothing else is wrong with it
    sentences = [f"The field {quoted(place)} was dropped. {why}" for place, why in dropped]
    if len(sentences) > MAX_SHOWN:
        more = len(sentences) - MAX_SHOWN
        sentences = [*sentences[:MAX_SHOWN], f"{more} more fields were dropped."]
    return value, tuple(sentences)


def _prune(value: Any, place: str, dropped: list[tuple[str, str]]) -> Any:
    """The value without bad members, or Bad."""
    if isinstance(value, list):
        items = [_prune(item, f"{place}/{index}", dropped) for index, item in enumerate(value)]
        return next((item for item in items if isinstance(item, Bad)), items)
    if isinstance(value, dict):
        members = {}
        for name, inner in value.items():
            kept = _bad_name(name) or _prune(inner, f"{place}/{name}", dropped)
            if isinstance(kept, Bad):
                dropped.append((f"{place}/{name}", kept.reason))
            else:
                members[name] = kept
        return members
    if isinstance(value, str) and not _is_text(value):
        return Bad(strict.HALF_CHARACTER)
    return value


def _bad_name(name: str) -> Bad | None:
    if not _is_text(name):
        return Bad(strict.HALF_CHARACTER)
    try:
        strict.check_names({name: None})
    except Malformed as error:
        return Bad(str(error))
    return None


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value)


def _constant(name: str) -> Bad:
    return Bad(strict.NO_NUMBER.format(name))


def _number(digits: str) -> Any:
    """A number, or Bad if readers disagree about it."""
    try:
        return strict.decode(digits)
    except Malformed as error:
        return Bad(str(error))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


_lenient = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_constant, parse_int=_number, parse_float=_number
)
