"""What a list of devices shows: which are hidden, how they group, and which pictures they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from statecast.model import Update, value_class
from statecast.web import picture_rules
from statecast.web.tables import TABLES
from statecast.web.view_models import DeviceSummary

ROWS = 200
"""More devices than these are on several pages; the script shows all of them on one."""


@value_class
class Filter:
    """A link that shows only the devices of one verdict."""

    key: str
    mark: str
    word: str
    count: int


@value_class
class Group:
    """Devices of one prefix: those that this page has, and how many there are."""

    name: str
    devices: Sequence[DeviceSummary]
    matching: int
    total: int


@value_class
class RowsPage:
    """One page of a list that has more rows than a page holds."""

    number: int
    """From 1."""
    matching: int
    """Devices on all pages."""

    @property
    def first(self) -> int:
        """The place of its first row, from 0."""
        return (self.number - 1) * ROWS

    @property
    def last(self) -> int:
        return min(self.first + ROWS, self.matching)


def page_number(given: str) -> int:
    """The page that an address names; one that is none counts as the first."""
    return max(1, int(given)) if given.isascii() and given.isdigit() and len(given) < 7 else 1


def filter_of(update: Update, silent_after: float | None, now: int) -> str:
    """The filter that a device falls under. Without a live connection only silence is known."""
    if silent_after is None:
        return "undated"
    seen = update.seen_at or update.changed_at
    return "silent" if now - seen > silent_after * 1000 else ""


def matches(device: DeviceSummary, query: str) -> bool:
    wanted = query.casefold().strip()
    texts = [device.name, device.label, *(one.text for one in device.fields if one)]
    return not wanted or any(wanted in text.casefold() for text in texts)


def counted(kinds: Sequence[str]) -> list[Filter]:
    """The filters with what is known without a live connection; the script counts the others."""
    known = {"silent", "undated"}
    return [
        Filter(row["key"], row["mark"], row["word"], kinds.count(row["key"]))
        if row["key"] in known
        else Filter(row["key"], row["mark"], row["word"], 0)
        for row in TABLES["filters"]
    ]


def usual(
    present: Sequence[Update], deadlines: Sequence[float | None]
) -> tuple[float | None, str | None]:
    """The most common deadline and source: a list says them once."""
    sources = Counter(one.source for one in present)
    return Counter(deadlines).most_common(1)[0][0], sources.most_common(1)[0][0]


def prefix(name: str) -> str:
    return name.partition("/")[0] + "/" if "/" in name else ""


def grouped(
    devices: Sequence[DeviceSummary], present: Sequence[Update], matching: Sequence[Update]
) -> list[Group]:
    """One group per prefix that this page has, in order; names without one come first."""
    totals = Counter(prefix(one.device) for one in present)
    shown = Counter(prefix(one.device) for one in matching)
    groups: dict[str, list[DeviceSummary]] = {}
    for device in devices:
        groups.setdefault(prefix(device.name), []).append(device)
    return [
        Group(name, members, shown[name], totals[name]) for name, members in sorted(groups.items())
    ]


def art(devices: Sequence[DeviceSummary]) -> dict[str, Any]:
    """The drawings and templates of a page: only the pictures in use. The script fetches others."""
    names = {one.picture.name for one in devices}
    icons = {one.scene.choice.icon.name for one in devices if one.picture.name == "icon"}
    icons |= {"box"} if names & {"box", "image"} else set()
    return {
        "pictures": [one for one in picture_rules.PICTURES if one.name in names],
        "icons": [one for one in picture_rules.ICONS if one.name in icons],
        "arc": "gauge" in names,
    }
