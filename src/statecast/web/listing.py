"""What a list of devices shows: which are hidden, how they group, and which pictures they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from statecast.web import picture_rules
from statecast.web.tables import TABLES
from statecast.web.view_models import DeviceSummary


@dataclass(frozen=True, slots=True)
class Filter:
    """A link that shows only the devices of one verdict."""

    key: str
    mark: str
    word: str
    count: int


def filter_of(device: DeviceSummary, now: int) -> str:
    """The filter that a device falls under. Without a live connection only silence is known."""
    if device.silent_after is None:
        return "undated"
    return "silent" if now - (device.seen or device.changed) > device.silent_after * 1000 else ""


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


def usual(devices: Sequence[DeviceSummary]) -> tuple[float | None, str | None]:
    """The most common deadline and source: a list says them once."""
    deadlines = Counter(one.silent_after for one in devices)
    sources = Counter(one.update.source for one in devices)
    return deadlines.most_common(1)[0][0], sources.most_common(1)[0][0]


def prefix(name: str) -> str:
    return name.partition("/")[0] + "/" if "/" in name else ""


def grouped(devices: Sequence[DeviceSummary]) -> list[tuple[str, list[DeviceSummary]]]:
    """One group per prefix, in order; names without one come first."""
    groups: dict[str, list[DeviceSummary]] = {}
    for device in devices:
        groups.setdefault(prefix(device.name), []).append(device)
    return sorted(groups.items())


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
