"""What the templates show of a device: values already worded, in their order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from statecast import strict_json
from statecast.commands.life import Command
from statecast.model import HistoryRow, Update, value_class
from statecast.stores.contract import Store
from statecast.web import command_words, formatting, picture_rules, pictures, whole_value
from statecast.web.tables import TABLES

LATE_MS = 60_000
"""A version that arrived later than this after it happened is marked."""
ROWS_BYTES = 440
"""Bytes of history inside the page, for the first timeline."""
HISTORY_SHOWN = 8
STEPS = 6
"""Changed fields that one line of the history shows."""
TIMELINE: dict[str, int] = TABLES["timeline"]
"""The heights of its lanes and how many there are, as the script draws them."""


class Field(NamedTuple):
    name: str
    label: str
    text: str
    hint: str | None
    """The exact number, if the text is not."""
    is_number: bool
    """It is never cut: where it does not fit it has a second line."""


class StateRow(NamedTuple):
    path: str
    label: str
    text: str
    at: int | None
    """When the top-level field last changed."""
    hint: str | None


class Step(NamedTuple):
    """One field of one version: ``mood calm -> happy``."""

    label: str
    was: str | None
    now: str
    hint: str | None = None
    """All of what it became, if the text says that in other words."""
    was_hint: str | None = None


class Version(NamedTuple):
    at: int
    version: int
    steps: Sequence[Step]
    left_out: Sequence[str]
    """Fields that changed too, beyond those that a line has room for."""
    source: str
    id: str
    late: bool
    """It arrived long after it happened."""


@value_class
class DeviceSummary:
    """One device of a list or a page."""

    update: Update
    state: Mapping[str, Any]
    scene: pictures.Scene
    fields: Sequence[Field | None]
    silent_after: float | None
    hidden: bool = False

    @property
    def name(self) -> str:
        return self.update.device

    @property
    def label(self) -> str:
        label = self.state.get("label")
        return label[:128] if isinstance(label, str) and label.strip() else self.update.device

    @property
    def picture(self) -> picture_rules.Picture:
        return self.scene.choice.picture

    @property
    def main_word(self) -> str:
        """What an icon says, so that a lamp is off and not no; else the first field."""
        if self.picture.name == "icon":
            return self.scene.result("$", "says") or ""
        # An empty text says nothing; the picture shows what comes after it.
        return next((one.text for one in self.fields if one and self.state[one.name] != ""), "")

    @property
    def seen(self) -> int | None:
        return self.update.seen_at

    @property
    def changed(self) -> int:
        return self.update.changed_at

    @property
    def late(self) -> bool:
        """Whether the newest version arrived long after it happened."""
        return self.update.arrived_at - self.update.changed_at > LATE_MS

    def facts(self, silent_after: float | None = None, source: str | None = None) -> Markup:
        """The attributes that the script starts from; what equals the list's own is left out."""
        facts: dict[str, object] = {"changed": self.changed, "seen": self.seen}
        if self.late:
            facts["arrived"] = self.update.arrived_at
        if self.silent_after != silent_after:
            facts["silent-after"] = "" if self.silent_after is None else f"{self.silent_after:.12g}"
        if self.update.source != source:
            facts["source"] = self.update.source or ""
        return Markup("").join(
            Markup(" data-{}={}").format(name, attribute(str(value)))
            for name, value in facts.items()
            if value is not None
        )


def show(
    update: Update,
    *,
    wanted: Sequence[str] = (),
    past: Sequence[float] = (),
    silent_after: float | None = None,
    root: str = "",
) -> DeviceSummary:
    """``root`` is the path of a site below which the app is, without a slash at its end."""
    state = strict_json.decode_checked(update.state) if update.state is not None else {}
    choice = picture_rules.choose(state, update.device)
    chosen: list[Field | None] = [
        Field(
            name,
            formatting.split_unit(name, state[name])[0],
            formatting.cut(formatting.brief(name, state[name]), 200),
            exact_number(name, state[name]),
            formatting.is_number(state[name]),
        )
        for name in formatting.main_fields(state, wanted)
    ]
    fields = chosen + [None] * (3 - len(chosen))
    return DeviceSummary(
        update, state, pictures.Scene(state, choice, past, root), fields, silent_after
    )


def exact_number(name: str, of: Any) -> str | None:
    exact = formatting.value(name, of) if formatting.is_number(of) else None
    return None if exact == formatting.brief(name, of) else exact


def attribute(text: str) -> Markup:
    """An attribute's value, quoted only where HTML needs it: a list of many devices is long."""
    plain = text.isascii() and text.replace("-", "").replace(".", "").replace("_", "").isalnum()
    if not plain:
        return Markup('"{}"').format(text)
    return Markup(text)  # noqa: S704 - letters and digits only


def plain(text: str) -> Markup:
    """Text between two tags, where a quotation mark needs no escape: JSON is full of them."""
    escaped = str(escape(text)).replace("&#34;", '"').replace("&#39;", "'")
    return Markup(escaped)  # noqa: S704 - escaped in the line above


def json_attribute(value: Any) -> Markup:
    """JSON as an attribute's value or a script's text: in single quotes, which JSON never needs."""
    return Markup("'{}'").format(script_json(value))


def script_json(value: Any) -> Markup:
    """JSON that neither an attribute in single quotes nor a script element can misread."""
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    )
    for char in "<>&'\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - escaped above, within JSON's own strings


def _change_of(row: HistoryRow) -> dict[str, Any] | None:
    """What a version changed; None: it removed the device."""
    found: dict[str, Any] | None
    found = None if row.change is None else strict_json.decode_checked(row.change)
    return found


def past_values(
    rows: Sequence[HistoryRow], field: str, present: Any, count: int = 40
) -> list[float]:
    """The last values of a numeric field, oldest first, equal neighbours as they came."""
    values = [present] if formatting.is_number(present) else []
    for row in rows:
        value = (_change_of(row) or {}).get(field)
        if formatting.is_number(value):
            values.append(value)
    if len(values) > 1 and values[0] == values[1]:
        del values[0]  # the newest row is the present
    return values[:count][::-1]


class SetAside(NamedTuple):
    """The messages in quarantine that may be about a device."""

    messages: int
    reason: str
    """Of the newest."""
    in_all: int
    """Messages in quarantine, about whatever."""


def set_aside(store: Store, device: str | None) -> SetAside:
    """What a page says of the quarantine: about this device, or about all."""
    in_all = store.quarantine_count()
    newest = store.quarantined(device=device, limit=1, newest=True)
    if not newest:
        return SetAside(0, "", in_all)
    return SetAside(store.quarantine_count(device), newest[0].reason, in_all)


def state_rows(shown: DeviceSummary) -> Iterator[StateRow]:
    for top, path, value in formatting.rows(shown.state):
        label = formatting.split_unit(path, value)[0]
        yield StateRow(
            path,
            label,
            formatting.value(path, value),
            shown.update.fields.get(top),
            whole_value.hint(value),
        )


def versions(rows: Sequence[HistoryRow]) -> list[Version]:
    """The newest rows with what each field was before, as far as the rows given know it."""
    patches = map(_change_of, rows)
    changes = [None if patch is None else dict(_leaves("", patch)) for patch in patches]
    shown = []
    for position, row in enumerate(rows[:HISTORY_SHOWN]):
        change = changes[position]
        steps, names = [Step("removed", None, "")], list(change or ())
        if change is not None:
            older = changes[position + 1 :]
            steps = [_step(path, change[path], older) for path in names[:STEPS]]
        source = row.cause.public_sender or ("page" if row.cause.by == "user" else row.cause.source)
        left_out = names[STEPS:]
        late = row.arrived_at - row.at > LATE_MS
        id_ = formatting.short_id(row.cause.id)
        shown.append(Version(row.at, row.version, steps, left_out, source, id_, late))
    return shown


def history(
    rows: Sequence[HistoryRow], commands: Sequence[Command], now: int
) -> list[Version | command_words.CommandRow]:
    """The newest versions and commands of a device in the order of time, newest first.

    A version that arrived late stands where it arrived, as versions are in their order.
    """
    reached = list(itertools.accumulate((row.at for row in reversed(rows)), max))[::-1]
    merged: list[Version | command_words.CommandRow] = []
    waiting = [command_words.row(one, now) for one in commands]
    for version, at in zip(versions(rows), reached):
        while waiting and waiting[0].at > at:
            merged.append(waiting.pop(0))
        merged.append(version)
    return [*merged, *waiting][:HISTORY_SHOWN]


def _step(path: str, value: Any, older: Sequence[dict[str, Any] | None]) -> Step:
    before = next((change[path] for change in older if change is not None and path in change), None)
    label = formatting.split_unit(path, before if value is None else value)[0]
    if before is None or value is None:
        texts = (formatting.cut(formatting.value(path, one), 120) for one in (before, value))
        was, now = texts
    else:
        was, now = whole_value.tell_apart(path, before, value)
    return Step(
        label,
        None if before is None else was,
        "removed" if value is None else now,
        whole_value.hint(value),
        whole_value.hint(before),
    )


def _leaves(prefix: str, change: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in change.items():
        if isinstance(value, dict) and value and not prefix:
            yield from _leaves(f"{name}.", value)
        else:
            yield prefix + name, value


def embedded(rows: Sequence[HistoryRow]) -> tuple[Markup, int]:
    """As many of the newest rows as fit, for the timeline; and the oldest version among them."""
    parts: list[str] = []
    room, oldest = ROWS_BYTES, 1 << 53
    for row in rows:
        change = "null" if row.change is None else row.change.decode()
        part = f"[{row.at},{row.version},{change}]"
        room -= len(part.encode()) + 1
        if room < 0:
            break
        parts.append(part)
        oldest = row.version
    return script_json("[" + ",".join(parts) + "]"), oldest


def lanes(state: Mapping[str, Any], rows: Sequence[HistoryRow]) -> list[tuple[str, str]]:
    """The fields of the timeline: those that changed or come first, else the first plain ones."""
    moved = {name for row in rows if row.version > 1 for name in _change_of(row) or {}}
    plain = [name for name in formatting.in_order(state) if _is_lane(name, state[name])]
    known = {
        name for name in plain if formatting.rank(name, state[name])[0] == 0
    }  # their place is kept: nothing jumps
    chosen = [name for name in plain if name in moved | known] or plain[:3]
    return [
        (name, "number" if formatting.is_number(state[name]) else "band")
        for name in chosen[: TIMELINE["lanes"]]
    ]


def _is_lane(name: str, value: Any) -> bool:
    if formatting.is_describing(name):
        return False
    return (
        isinstance(value, bool)
        or formatting.is_number(value)
        or (isinstance(value, str) and len(value) <= TIMELINE["word_length"])
    )


def lanes_height(chosen: Sequence[tuple[str, str]]) -> int:
    return TIMELINE["axis_height"] + sum(TIMELINE[f"{kind}_height"] for _, kind in chosen)


class TemplateFunctions:
    """The functions of the templates that draw a picture from a scene.

    Without a scene they draw the template that the script copies.
    """

    @staticmethod
    def bind(scene: pictures.Scene | None, spec: str) -> Markup:
        if scene is None:
            return Markup(' data-set="{}"').format(spec)
        made = Markup("")
        for binding in spec.split():
            target, _, source = binding.partition("=")
            result = None if target == "text" else scene.result(*source.split(":"))
            if result is not None:
                made += (
                    Markup(" {}={}").format(target, attribute(result))
                    if result
                    else Markup(" {}").format(target)
                )
        return made

    @staticmethod
    def words(scene: pictures.Scene | None, source: str) -> str:
        name, _, sort = source.partition(":")
        return "" if scene is None else scene.result(name, sort) or ""
