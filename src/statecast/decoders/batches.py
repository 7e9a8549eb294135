"""One event with many readings: devices collect them, and send an array where one state belongs.

Rule 1: each item of the array is an event of its own, with all members of the event around it.
Rule 2: the items have one time unless ``time=`` points into them; then their order decides.
"""

from __future__ import annotations

from typing import Any

from statecast.decoders import encodings
from statecast.decoders.items import MAX_ITEMS
from statecast.decoders.named_values import are_named_values
from statecast.decoders.pointers import Pointer, find
from statecast.errors import TooLarge


def split(payload: dict[str, Any], place: Pointer | None) -> list[dict[str, Any]]:
    """The event, or one event for each item of the array at ``place``. Raises TooLarge."""
    if not place:
        return [payload]
    readings = encodings.inner(find(payload, place))
    if type(readings) is not list or not readings or are_named_values(readings):
        return [payload]
    if len(readings) > MAX_ITEMS:
        raise TooLarge(f"It holds {len(readings)} readings; at most {MAX_ITEMS} are allowed.")
    events = [put(payload, place, reading) for reading in readings]
    if type(payload.get("id")) is str:  # each is an event, so each has an id of its own
        for number, event in enumerate(events):
            event["id"] = f"{payload['id']} {number}"
    return events


def put(value: Any, place: Pointer, reading: Any) -> Any:
    """A copy of the value with ``reading`` at a place that exists in it."""
    if not place:
        return reading
    first, rest = place[0], place[1:]
    value = encodings.inner(value)
    if type(value) is list:
        at = int(first)
        return [*value[:at], put(value[at], rest, reading), *value[at + 1 :]]
    return {**value, first: put(value[first], rest, reading)}
