"""Which picture a state gets, and what is bound to its parts.

The rules are a table that the script shares (``tables.js``; ``picture-rules.js`` applies it alike).
What is bound to a part stands in the template, for the server and, as ``data-set``, for the script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from statecast.web import figures, formatting
from statecast.web.tables import TABLES

State = Mapping[str, Any]
Values = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A field, or the end of its name, whose value must meet a predicate."""

    is_: str
    field: str | None = None
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and the states it is for."""

    name: str
    when: tuple[Rule, ...]
    """The first rule that matches names the deciding field."""
    kinds: tuple[str, ...]
    """Values of the field ``kind`` that choose this picture."""
    alt: tuple[tuple[str, ...], ...]
    """What it says to screen readers: of each group of bindings the first that is true."""


@dataclass(frozen=True, slots=True)
class Icon:
    """A line icon of the sprite, and the words of a yes/no that it stands for."""

    name: str
    kinds: tuple[str, ...]
    fields: tuple[str, ...]
    yes: str
    no: str


def _picture(row: Mapping[str, Any]) -> Picture:
    rules = tuple(
        Rule(rule["is"], rule.get("field"), rule.get("suffix", "")) for rule in row["when"]
    )
    alt = tuple(tuple(choices) for choices in row["alt"])
    return Picture(row["name"], rules, tuple(row["kinds"]), alt)


def _icon(row: Mapping[str, Any]) -> Icon:
    return Icon(row["name"], tuple(row["kinds"]), tuple(row["fields"]), row["yes"], row["no"])


PICTURES = tuple(_picture(row) for row in TABLES["pictures"])
ICONS = tuple(_icon(row) for row in TABLES["icons"])
IGNORED: list[str] = TABLES["picture_ignored_fields"]
"""Fields that never decide on a picture by the end of their name."""


def choose(state: State) -> tuple[Picture, str | None]:
    """The picture of a state and its deciding field.

    The image wins, then the kind, then the first picture with a rule that matches.
    """
    image = PICTURES[0]
    if (field := _decides(image, state)) is not None:
        return image, field
    kind = state.get("kind")
    if isinstance(kind, str):
        for picture in PICTURES:
            if kind in picture.kinds:
                return picture, kind if state.get(kind) is not None else _decides(picture, state)
    for picture in PICTURES[1:]:
        field = _decides(picture, state)
        if field is not None or not picture.when:
            return picture, field
    raise AssertionError("the box matches always")


def _decides(picture: Picture, state: State) -> str | None:
    for rule in picture.when:
        for field in _named(rule, state):
            if PREDICATES[rule.is_](state[field]):
                return field
    return None


def _named(rule: Rule, state: State) -> list[str]:
    if rule.field is not None:
        return [rule.field] if rule.field in state else []
    return [
        field
        for field in formatting.in_order(state)
        if field.endswith(rule.suffix)
        and field != rule.suffix
        and field not in IGNORED
        and not formatting.is_describing(field)
    ]


IMAGE = re.compile(TABLES["image_pattern"])
"""Images of this origin, or inside the value: another origin would learn who looks at the page."""
COLOR = re.compile(TABLES["color_pattern"], re.IGNORECASE | re.ASCII)
"""The names and functions of CSS colours; of anything else the picture stays white."""


def is_image(value: Any) -> bool:
    return isinstance(value, str) and IMAGE.fullmatch(value) is not None


def is_yes(value: Any) -> bool:
    return value in TABLES["yes_values"]


PREDICATES: dict[str, Callable[[Any], bool]] = {
    "plain": lambda value: value is not None and not isinstance(value, (dict, list)),
    "number": formatting.is_number,
    "yes_no": lambda value: isinstance(value, bool),
    "word": lambda value: isinstance(value, (str, bool)),
    "image": is_image,
}


def word(value: Any) -> str | None:
    if value is None or isinstance(value, (dict, list)):
        return None
    return formatting.value("", value).lower()[:64]


def share(value: Any) -> float | None:
    return min(100, max(0, value)) if formatting.is_number(value) else None


def icon(state: State, field: str | None) -> Icon:
    """By the state's kind, else by the deciding field, else the box."""
    kind = state.get("kind")
    for one in ICONS:
        if isinstance(kind, str) and kind in one.kinds:
            return one
    for one in ICONS:
        if field is not None and field in one.fields:
            return one
    return ICONS[-1]


def says(state: State, field: str | None) -> str:
    """The word under an icon."""
    if field is None:
        return ""
    value, one = state.get(field), icon(state, field)
    if not isinstance(value, bool):
        return formatting.cut(formatting.value(field, value), 60)
    known = field in one.fields and one.yes
    text = (one.yes if value else one.no) if known else formatting.value(field, value)
    bright = state.get("brightness")
    if field == "on" and value and formatting.is_number(bright):
        text += " · " + formatting.value("brightness", bright)
    return text


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture of one device is drawn from."""

    state: State
    field: str | None
    past: Sequence[float] = ()
    """Values of the deciding field, oldest first, the present one last."""

    def result(self, name: str, sort: str) -> str | None:
        """The text that a binding ``name:sort`` gives; None takes the attribute away."""
        field = self.field if name == "$" else name
        value = None if field is None else self.state.get(field)
        return FILTERS[sort](self, field or "", value)


def _percent(scene: Scene, field: str, value: Any) -> str | None:
    part = share(value)
    return None if part is None else f"{part:.4g}%"


def _dash(scene: Scene, field: str, value: Any) -> str | None:
    part = share(value)
    return None if part is None else f"{part:.4g} 100"


def _color(scene: Scene, field: str, value: Any) -> str | None:
    return value if isinstance(value, str) and COLOR.fullmatch(value) else None


def _spoken(scene: Scene, field: str, value: Any) -> str | None:
    text = word(value)
    if not text:
        return None
    return f"{formatting.split_unit(field, value)[0]} {text}" + (
        " percent" if _unit(scene, field, value) == "%" else ""
    )


def _unit(scene: Scene, field: str, value: Any) -> str:
    return formatting.split_unit(field, value)[1]


def _bounds(scene: Scene, field: str, value: Any) -> str | None:
    low, spread = _span(scene.past)
    wide = max(1, len(scene.past) - 1)  # a short past fills the picture too
    return f"{39 - wide} {low:.6g} {wide} {spread:.6g}"


def _spark(scene: Scene, field: str, value: Any) -> str | None:
    """Raw values, so that the script can go on from them; CSS turns the picture upside up."""
    if len(scene.past) < 2:
        return None
    low, spread = _span(scene.past)
    first = 40 - len(scene.past)
    line = " ".join(f"{first + place} {height:.6g}" for place, height in enumerate(scene.past))
    return f"{first - 1} {low - spread:.6g} {line} 40 {low - spread:.6g}"


LONG = 7
"""Longer figures are written smaller."""


def _exact(scene: Scene, field: str, value: Any) -> str | None:
    """The ``title`` of a figure that is rounded."""
    if not formatting.is_number(value) or figures.figure(value) == formatting.number(value):
        return None
    return formatting.value(field, value)


WIDEST = 1e37
"""SVG counts in single precision: beyond this there is no line to draw."""


def _span(past: Sequence[float]) -> tuple[float, float]:
    low, high = (max(min(past), -WIDEST), min(max(past), WIDEST)) if past else (0.0, 0.0)
    return (low, high - low) if high > low else (low - 0.5, 1.0)


FILTERS: dict[str, Callable[[Scene, str, Any], str | None]] = {
    "word": lambda scene, field, value: word(value),
    "yes": lambda scene, field, value: "" if is_yes(value) else None,
    "color": _color,
    "percent": _percent,
    "low": lambda scene, field, value: "" if formatting.is_number(value) and value < 15 else None,
    "dash": _dash,
    "figure": lambda scene, field, value: (
        figures.figure(value) if formatting.is_number(value) else None
    ),
    "unit": _unit,
    "reading": lambda scene, field, value: (
        formatting.with_unit(field, value, figures.figure(value, figures.IN_GAUGE))
        if formatting.is_number(value)
        else None
    ),
    "exact": _exact,
    "long": lambda scene, field, value: (
        "" if formatting.is_number(value) and len(figures.figure(value)) > LONG else None
    ),
    "spoken": _spoken,
    "icon": lambda scene, field, value: "#i-" + icon(scene.state, scene.field).name,
    "says": lambda scene, field, value: says(scene.state, scene.field),
    "image": lambda scene, field, value: value if is_image(value) else None,
    "bounds": _bounds,
    "spark": _spark,
}


def description(device: str, picture: Picture, scene: Scene) -> str:
    """What a screen reader says, like ``Cloud pillow: hugged, battery 82 percent``."""
    parts = []
    for choices in picture.alt:
        for choice in choices:
            name, _, binding = choice.partition(":")
            text = scene.result(name, binding)
            if text is not None:
                parts.append(text or name)
                break
    return f"{picture.name.capitalize()} {device}" + (": " + ", ".join(parts) if parts else "")
