"""The modules of the page script: one entry per kind of page, and what it imports.

Browsers find a module's imports only when they have the module. A page names them all, so that
many small modules cost no more round trips than one large file.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

ENTRIES = {
    "device": "device-page.js",
    "list": "list-page.js",
    "operator": "operator-page.js",
    "rows": "list-page.js",
    "share": "share-page.js",
}
"""By the kind of the page."""
CONTROLS = {"send": "send-form.js", "find": "search-box.js"}
"""What the page of a device loads before it is live, as far as it has these controls."""
WAITING = "waiting-page.js"
"""Of every other page: it shows no device."""

_IMPORT = re.compile(r'^(?:import|export)\b[^";]*?"\./([\w-]+\.js)";', re.MULTILINE)


def entry(kind: str) -> str:
    return ENTRIES.get(kind, WAITING)


def preloads(kind: str, *controls: str) -> list[str]:
    """All modules that a page needs to be live, without its entry."""
    first = entry(kind)
    needed = dict.fromkeys(reached(first))
    for name in (CONTROLS[control] for control in controls if kind == "device"):
        needed |= dict.fromkeys((name, *reached(name)))
    return [name for name in needed if name != first]


@cache
def imported(module: str) -> tuple[str, ...]:
    """The modules that one imports before it runs, as their names in ``static``."""
    text = resources.files("statecast.web").joinpath("static", module).read_text("utf-8")
    return tuple(_IMPORT.findall(text))


@cache
def reached(module: str) -> tuple[str, ...]:
    """All modules that must be there before one runs, itself not counted."""
    found: dict[str, None] = {}
    for name in imported(module):
        found |= dict.fromkeys((name, *reached(name)))
    return tuple(found)
