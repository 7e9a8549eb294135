"""The parts of the lock.

``requirements.txt`` is one resolution for everything, so that no two groups ever disagree about a version. Each entry
says who asked for it (``# via``); what a group needs is found by following these lines from the project downwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tools.commands import Trouble

ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.IGNORECASE)
ASKED_BY = re.compile(r"^ +#(?: via)? +(\S.*)$")
PROJECT = re.compile(r"^statecast \(pyproject\.toml(?::(\w+))?\)$")


def part(lock: str, groups: Iterable[str]) -> str:
    """The entries that the package itself ("run") and the dependency groups need, in the lock's own words."""
    entries = blocks(lock)
    wanted = {f"group {group}" for group in groups}
    needed: set[str] = set()
    while (
        more := {name for name, (_, askers) in entries.items() if askers & (wanted | needed)}
        - needed
    ):
        needed |= more
    if not needed:
        raise Trouble(
            "requirements.txt names nobody who asks for its entries; make it with `make lock`."
        )
    return "".join(text for name, (text, _) in entries.items() if name in needed)


def blocks(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Per package its lines, and who asks for it."""
    entries: dict[str, tuple[str, set[str]]] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if found := ENTRY.match(line):
            name = found[1].lower()
            entries.setdefault(name, ("", set()))
        if not name:
            continue
        text, askers = entries[name]
        if via := ASKED_BY.match(line):
            askers.add(asker(via[1].strip()))
        entries[name] = (text + line, askers)
    return entries


def asker(words: str) -> str:
    found = PROJECT.match(words)
    return f"group {found[1] or 'run'}" if found else words.lower()
