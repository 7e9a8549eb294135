"""A state as a list of names and values: ``[{"name": "fan", "value": "on"}]``.

IoT Central, Sparkplug and decoders of LoRaWAN write states like that. It is no batch of readings:
each item has a name and a value, and otherwise only members that describe the value.
"""

from __future__ import annotations

from typing import Any

DESCRIBE = frozenset(
    ("name", "value", "component", "module", "channel", "type", "dataType", "unit", "timestamp")
)


def are_named_values(items: Any) -> bool:
    """Whether this is such a list, and not an array of readings."""
    return type(items) is list and bool(items) and all(map(_is_named_value, items))


def state_of(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields, those of a ``component`` in an object of its name. The last of a name counts."""
    state: dict[str, Any] = {}
    for item in items:
        component = item.get("component")
        fields = state
        if type(component) is str:
            fields = state[component] = {**_object(state.get(component))}
        fields[item["name"]] = item["value"]
    return state


def _is_named_value(item: Any) -> bool:
    return (
        type(item) is dict
        and type(item.get("name")) is str
        and "value" in item
        and item.keys() <= DESCRIBE
    )


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}
