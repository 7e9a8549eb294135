"""What is bound to the parts of a picture: attributes and texts from a state.

What is bound to a part stands in the template, for the server and, as ``data-set``, for the script.
``picture-bindings.js`` answers alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from statecast.model import value_class
from statecast.web import figures, formatting, picture_rules
from statecast.web.picture_rules import Choice, Picture
from statecast.web.tables import TABLES

State = Mapping[str, Any]
Values = Sequence[tuple[int, float]]

COLOR = re.compile(TABLES["color_pattern"], re.IGNORECASE | re.ASCII)
"""The names and functions of CSS colours; of anything else the picture stays white."""


def word(value: Any) -> str | None:
    if value is None or isinstance(value, (dict, list)):
        return None
    return formatting.value("", value).lower()[:64]


def share(value: Any) -> float | None:
    return min(100, max(0, value)) if formatting.is_number(value) else None


@value_class
class Scene:
    """What a picture of one device is drawn from."""

    state: State
    choice: Choice
    past: Sequence[float] = ()
    """Values of the deciding field, oldest first, the present one last."""
    root: str = ""
    """The path of a site below which the app is, without a slash at its end."""

    @property
    def field(self) -> str | None:
        return self.choice.field

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


def _icon(scene: Scene) -> picture_rules.Icon:
    return scene.choice.icon


def _answer(scene: Scene) -> str | None:
    field = scene.field
    return _icon(scene).answer(field, None if field is None else scene.state.get(field))


def _says(scene: Scene, field: str, value: Any) -> str:
    """The word under an icon."""
    answer = _answer(scene)
    if answer is None:
        return formatting.cut(formatting.value(field, value), 60) if field else ""
    bright = scene.state.get("brightness")
    text = _icon(scene).word(answer)
    if _icon(scene).name == "light" and answer == "yes" and formatting.is_number(bright):
        text += " · " + formatting.value("brightness", bright)
    return text


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


def image_address(image: str, root: str) -> str:
    """A path begins at the root of the app, wherever that is on its site."""
    return image if image.startswith(("data:", f"{root}/")) else root + image


WIDEST = 1e37
"""SVG counts in single precision: beyond this there is no line to draw."""


def _span(past: Sequence[float]) -> tuple[float, float]:
    low, high = (max(min(past), -WIDEST), min(max(past), WIDEST)) if past else (0.0, 0.0)
    return (low, high - low) if high > low else (low - 0.5, 1.0)


FILTERS: dict[str, Callable[[Scene, str, Any], str | None]] = {
    "word": lambda scene, field, value: word(value),
    "yes": lambda scene, field, value: "" if picture_rules.is_yes(value) else None,
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
    "icon": lambda scene, field, value: "#i-" + _icon(scene).drawing(_answer(scene)),
    "sort": lambda scene, field, value: _icon(scene).name if _icon(scene).fields else None,
    "is": lambda scene, field, value: _answer(scene),
    "says": lambda scene, field, value: _says(scene, field, value),
    "image": lambda scene, field, value: (
        image_address(value, scene.root) if picture_rules.is_image(value) else None
    ),
    "bounds": _bounds,
    "spark": _spark,
}


def description(device: str, scene: Scene) -> str:
    """What a screen reader says, like ``Cloud pillow: hugged, battery 82 percent``."""
    picture: Picture = scene.choice.picture
    parts = []
    for choices in picture.alt:
        for choice in choices:
            name, _, binding = choice.partition(":")
            text = scene.result(name, binding)
            if text is not None and (text or name != "$"):
                parts.append(text or name)
                break
    return f"{picture.name.capitalize()} {device}" + (": " + ", ".join(parts) if parts else "")
