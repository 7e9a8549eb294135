"""The examples of the page ``/pictures``: every picture, every face, and both answers of each icon.

A page also fetches from it the pictures that it did not need at first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from statecast.model import value_class
from statecast.web import formatting, picture_rules, pictures

MOODS = ("happy", "calm", "sleepy", "sad", "angry", "any other word")
CLOUDS: tuple[Mapping[str, Any], ...] = (
    *({"mood": mood, "battery": 82} for mood in MOODS),
    {"mood": "calm", "asleep": True},
    {"mood": "sad", "hugged": True, "color": "#ff8fb0"},
    {"mood": "happy", "battery": 9},
    {"kind": "cloud"},
)
VALUES: Mapping[str, Mapping[str, Any]] = {
    "gauge": {"fill_percent": 40},
    "tank": {"level": 62},
    "humidity": {"humidity": 58},
    "battery": {"battery": 82},
    "number": {"wind_speed": 3.4},
    "counter": {"count": 1204},
    "temperature": {"temperature_c": 21.4, "humidity": 58},
    "power": {"power_kw": 1.28},
    "meter": {"energy_kwh": 12345.678},
    "icon": {"weather": "rain"},
}
"""A state of each kind that has no icon of its own, by the first name of the kind."""
PAST = (3, 4, 3.5, 5, 4, 6, 5.5, 7)
"""Of the sparkline, in parts of the value."""


@value_class
class Example:
    """A picture and the state that gives it."""

    scene: pictures.Scene
    caption: str
    kinds: str = ""
    """The values of ``kind`` for it."""

    @property
    def picture(self) -> str:
        return self.scene.choice.picture.name


def sections() -> list[tuple[str, Sequence[Example]]]:
    """The examples under their headings."""
    return [
        ("Clouds", [_example(state) for state in CLOUDS]),
        ("Kinds", list(_kinds())),
    ]


def _kinds() -> Iterator[Example]:
    for kind in picture_rules.KINDS:
        if kind.picture.name == "cloud":
            continue
        names = ", ".join(kind.names)
        if kind.icon is picture_rules.BOX:
            yield _example({"kind": kind.names[0], **VALUES.get(kind.names[0], {})}, names)
            continue
        for answer in (True, False, None):
            state = {"kind": kind.names[0], kind.fields[0]: answer}
            yield _example({name: of for name, of in state.items() if of is not None}, names)


def _example(state: Mapping[str, Any], kinds: str = "") -> Example:
    choice = picture_rules.choose(state)
    value: Any = state[choice.field] if choice.field else None
    past = [value * part / PAST[-1] for part in PAST] if formatting.is_number(value) else []
    words = " ".join(f"{name}={_argument(of)}" for name, of in state.items())
    return Example(pictures.Scene(state, choice, past), words, kinds)


def _argument(value: Any) -> str:
    """A value as ``statecast send`` takes it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text}'" if " " in text else text
