"""Which picture a state gets, by the tables that ``picture-rules.js`` applies alike.

The first of these that finds its field decides: an image; the field ``kind``; a mood; a kind named
in the name of the device or by a telling field; the rules in their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from statecast.model import value_class
from statecast.web import formatting
from statecast.web.tables import TABLES

State = Mapping[str, Any]


@value_class
class Picture:
    name: str
    alt: tuple[tuple[str, ...], ...]
    """What it says to screen readers: of each group of bindings the first that is true."""


@value_class
class Icon:
    """A line icon with two drawings, one per answer to its question; the box asks nothing."""

    name: str
    fields: tuple[str, ...] = ()
    """The fields that it can draw, without their units."""
    yes: str = ""
    no: str = ""

    def answer(self, field: str | None, value: Any) -> str | None:
        """``yes`` or ``no``; None if the field is another's, or its value says neither."""
        if field not in self.fields:
            return None
        text = value.lower() if isinstance(value, str) else value
        if is_yes(text) or text == self.yes:
            return "yes"
        return "no" if _among(text, TABLES["no_values"]) or text == self.no else None

    def word(self, answer: str) -> str:
        return self.yes if answer == "yes" else self.no

    def drawing(self, answer: str | None) -> str:
        """The drawing of an answer; without one that of no, which CSS dashes."""
        return f"{self.name}-{answer or 'no'}" if self.fields else self.name

    @property
    def drawings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.drawing(answer) for answer in ("yes", "no")))


@value_class
class Kind:
    """What a device may be called, by itself or by its name, and what it then shows."""

    names: tuple[str, ...]
    picture: Picture
    fields: tuple[str, ...]
    """The fields that decide, without their units; the first that fits."""
    icon: Icon


@value_class
class Rule:
    """Some fields, or all with an ending, of which one must meet a predicate."""

    picture: Picture
    is_: str
    fields: tuple[str, ...]
    suffix: str | None


class Choice(NamedTuple):
    picture: Picture
    field: str | None
    """The deciding field."""
    icon: Icon


PICTURES = tuple(
    Picture(row["name"], tuple(tuple(choices) for choices in row["alt"]))
    for row in TABLES["pictures"]
)
_PICTURES = {picture.name: picture for picture in PICTURES}
BOX = Icon("box")


def _kind(row: Mapping[str, Any]) -> Kind:
    fields, icon = tuple(row["fields"]), row.get("icon")
    made = BOX if icon is None else Icon(icon["name"], fields, icon["yes"], icon["no"])
    return Kind(tuple(row["names"]), _PICTURES[row["picture"]], fields, made)


def _rule(row: Mapping[str, Any]) -> Rule:
    fields = tuple(row.get("fields", ()))
    return Rule(_PICTURES[row["picture"]], row["is"], fields, row.get("suffix"))


KINDS = tuple(_kind(row) for row in TABLES["kinds"])
ICONS = (*(kind.icon for kind in KINDS if kind.icon is not BOX), BOX)
_RULES = tuple(_rule(row) for row in TABLES["picture_rules"])
_BY_NAME = {name: kind for kind in KINDS for name in kind.names}

_IMAGE = re.compile(TABLES["image_pattern"])
"""Images of this origin, or inside the value: another origin would learn who looks at the page."""


def is_image(value: Any) -> bool:
    return isinstance(value, str) and _IMAGE.fullmatch(value) is not None


def is_foreign_image(state: State) -> bool:
    """Whether the state names an image that is not shown."""
    image = state.get("image")
    return isinstance(image, str) and bool(image) and not is_image(image)


def is_yes(value: Any) -> bool:
    return _among(value, TABLES["yes_values"])


def _among(value: Any, values: list[Any]) -> bool:
    return not isinstance(value, (dict, list)) and value in values


def _is_truth(value: Any) -> bool:
    return any(icon.answer(field, value) for icon in ICONS for field in icon.fields[:1])


PREDICATES: dict[str, Callable[[Any], bool]] = {
    "plain": lambda value: value is not None and not isinstance(value, (dict, list)),
    "number": formatting.is_number,
    "share": lambda value: formatting.is_number(value) and 0 <= value <= 100,
    "yes_no": lambda value: isinstance(value, bool),
    "truth": _is_truth,
    "word": lambda value: isinstance(value, str),
}


def choose(state: State, device: str = "") -> Choice:
    """The picture of a state, its deciding field and its icon."""
    if is_image(state.get("image")):
        return Choice(_PICTURES["image"], "image", BOX)
    named = state.get("kind")
    kind = _BY_NAME.get(named.lower()) if isinstance(named, str) else None
    if kind is not None:
        field = _field_of(kind, state) or _any_field(kind, str(named), state)
        return Choice(kind.picture, field, icon_of(field, kind.icon))
    if PREDICATES["plain"](state.get("mood")):
        return Choice(_PICTURES["cloud"], "mood", BOX)
    for hint in _hints(device, state):
        field = _field_of(hint, state)
        if field is not None:
            return Choice(hint.picture, field, hint.icon)
    for rule in _RULES:
        field = _decides(rule, state)
        if field is not None:
            return Choice(rule.picture, field, icon_of(field))
    return Choice(_PICTURES["box"], None, BOX)


def _hints(device: str, state: State) -> Iterator[Kind]:
    """Kinds that the name of the device mentions, the last word first; then by its fields."""
    words = re.split(r"[^a-z]+", device.lower())
    telling = (TABLES["telling_fields"].get(_stem(name, state)) for name in sorted(state))
    for name in (*reversed(words), *telling):
        if name in _BY_NAME:
            yield _BY_NAME[name]


def _field_of(kind: Kind, state: State) -> str | None:
    return _first(kind.fields, TABLES["kind_predicates"].get(kind.picture.name, "plain"), state)


def _any_field(kind: Kind, name: str, state: State) -> str | None:
    """For a kind that the state names itself: a field of that name, or one that a rule takes."""
    if kind.picture.name in ("box", "cloud"):
        return None
    if state.get(name) is not None:
        return name
    rules = (rule for rule in _RULES if rule.picture is kind.picture)
    return next((field for rule in rules if (field := _decides(rule, state)) is not None), None)


def _decides(rule: Rule, state: State) -> str | None:
    if rule.suffix is None:
        return _first(rule.fields, rule.is_, state)
    return next(
        (
            name
            for name in formatting.in_order(state)
            if name.endswith(rule.suffix)
            and name != rule.suffix
            and not _is_no_hero(name, state)
            and PREDICATES[rule.is_](state[name])
        ),
        None,
    )


def _first(fields: tuple[str, ...], predicate: str, state: State) -> str | None:
    """The first field that is called so, without its unit, and meets the predicate."""
    names = formatting.in_order(state)
    for field in fields:
        for name in names:
            if _stem(name, state) == field and PREDICATES[predicate](state[name]):
                return name
    return None


def _is_no_hero(name: str, state: State) -> bool:
    """Counters, uptimes, the battery and what only describes a device are no picture of it."""
    return (
        _stem(name, state) in TABLES["no_hero_fields"]
        or formatting.is_describing(name)
        or any(word in TABLES["no_hero_words"] for word in name.lower().split("_"))
    )


def _stem(name: str, state: State) -> str:
    return formatting.split_unit(name, state[name])[0]


def icon_of(field: str | None, preferred: Icon = BOX) -> Icon:
    """The icon that can draw a field: the preferred one, else the first, else the preferred."""
    able = (icon for icon in (preferred, *ICONS) if field in icon.fields)
    return next(able, preferred)
