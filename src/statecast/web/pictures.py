"""Which picture a state gets, and what is bound to its parts: one table for server and script.

The templates of the page carry this very table as ``data-when``, ``data-kind`` and ``data-set``, and
``statecast.js`` reads it there. So a user adds a picture by adding a template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from statecast.web import formatting

State = Mapping[str, Any]
Values = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and the states it is for."""

    name: str
    when: str
    """Tokens ``field`` or ``field:sort``; the first that matches names the deciding field."""
    kinds: str = ""
    alt: str = ""


PICTURES = (
    Picture("image", "image:image"),
    Picture("cloud", "mood", "cloud", "hugged:yes|asleep:yes|mood:word battery:spoken"),
    Picture(
        "gauge",
        "*_percent:number level:number humidity:number brightness:number",
        "gauge tank",
        "$:spoken",
    ),
    Picture("number", "*:number", "number temperature power meter", "$:spoken"),
    Picture(
        "icon", "*:yes *:word", "icon light lamp door window lock motion plug switch", "$:spoken"
    ),
    Picture("box", "", "box"),
)


@dataclass(frozen=True, slots=True)
class Icon:
    """A line icon of the sprite, and the words of a yes/no that it stands for."""

    name: str
    kinds: str
    fields: str
    yes: str
    no: str


ICONS = (
    Icon("light", "light lamp", "on", "on", "off"),
    Icon("door", "door window", "open", "open", "closed"),
    Icon("lock", "lock", "locked", "locked", "unlocked"),
    Icon("motion", "motion", "motion moving presence", "moving", "still"),
    Icon("switch", "switch plug", "status power pump", "on", "off"),
    Icon("box", "", "", "", ""),
)

DESCRIBING = frozenset({"battery", "label", "kind", "image", "color"})
"""Fields that never decide on a picture through ``*``."""


def choose(state: State) -> tuple[Picture, str | None]:
    """The picture of a state and its deciding field: image, then kind, then the first that matches."""
    image = PICTURES[0]
    if (field := _decides(image, state)) is not None:
        return image, field
    kind = state.get("kind")
    if isinstance(kind, str):
        for picture in PICTURES:
            if kind in picture.kinds.split():
                return picture, kind if state.get(kind) is not None else _decides(picture, state)
    for picture in PICTURES[1:]:
        field = _decides(picture, state)
        if field is not None or not picture.when:
            return picture, field
    raise AssertionError("the box matches always")


def _decides(picture: Picture, state: State) -> str | None:
    for token in picture.when.split():
        name, _, sort = token.partition(":")
        for field in _named(name, state):
            if SORTS[sort](state[field]):
                return field
    return None


def _named(name: str, state: State) -> list[str]:
    if not name.startswith("*"):
        return [name] if name in state else []
    allowed = (
        field
        for field in formatting.in_order(state)
        if field not in DESCRIBING and not field.endswith("_at")
    )
    return [field for field in allowed if field.endswith(name[1:]) and field != name[1:]]


def is_image(value: Any) -> bool:
    """Only pictures of this origin, or inside the value itself: nothing that would tell others who looks."""
    if not isinstance(value, str) or re.search(r"[\x00-\x20\\]", value):
        return False
    return value.startswith("data:image/") or (value.startswith("/") and not value.startswith("//"))


def is_yes(value: Any) -> bool:
    return (
        value is True
        or value in ("true", "yes", "on")
        or (formatting.is_number(value) and value == 1)
    )


SORTS: dict[str, Callable[[Any], bool]] = {
    "": lambda value: value is not None and not isinstance(value, (dict, list)),
    "number": formatting.is_number,
    "yes": lambda value: isinstance(value, bool),
    "word": lambda value: isinstance(value, (str, bool)),
    "image": is_image,
}

# The names and functions of CSS colours; whatever else is in the state stays white.
COLOR = re.compile(
    r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})|[a-z]{3,24}|(?:rgb|hsl)a?\([\d\s.,%/-]{1,60}\)",
    re.I,
)


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
        if isinstance(kind, str) and kind in one.kinds.split():
            return one
    for one in ICONS:
        if field is not None and field in one.fields.split():
            return one
    return ICONS[-1]


def says(state: State, field: str | None) -> str:
    """The word under an icon."""
    if field is None:
        return ""
    value, one = state.get(field), icon(state, field)
    if not isinstance(value, bool):
        return formatting.value(field, value)[:60]
    known = field in one.fields.split() and one.yes
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
        formatting.number(value) if formatting.is_number(value) else None
    ),
    "unit": _unit,
    "value": lambda scene, field, value: formatting.value(field, value),
    "spoken": _spoken,
    "icon": lambda scene, field, value: "#i-" + icon(scene.state, scene.field).name,
    "says": lambda scene, field, value: says(scene.state, scene.field),
    "image": lambda scene, field, value: value if is_image(value) else None,
    "bounds": _bounds,
    "spark": _spark,
}


def description(device: str, picture: Picture, scene: Scene) -> str:
    """What a screen reader says for the big picture: ``Cloud pillow: hugged, battery 82 percent``."""
    parts = []
    for part in picture.alt.split():
        for choice in part.split("|"):
            name, _, sort = choice.partition(":")
            text = scene.result(name, sort)
            if text is not None:
                parts.append(text or name)
                break
    return f"{picture.name.capitalize()} {device}" + (": " + ", ".join(parts) if parts else "")
