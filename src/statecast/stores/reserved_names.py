"""Devices from before their names were reserved: a line in the log when a server starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from statecast import names
from statecast.program.commands import command
from statecast.settings import Settings
from statecast.stores.contract import Store

MAX_NAMED = 5
"""Devices that the line names; it counts the others."""
PAGE = 10_000
"""Names that are read at once."""

log = logging.getLogger(__name__)


def warn(store: Store, settings: Settings) -> None:
    """Log which devices have reserved names, in one line, and what shows what to do about them."""
    found = sorted(of_store(store))
    if not found:
        return
    more = len(found) - MAX_NAMED
    named = ", ".join(found[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    have = "device has a name" if len(found) == 1 else "devices have names"
    log.warning(
        "%d %s that REST reserves: %s; they go on, and `%s` says what to do",
        len(found),
        have,
        named,
        command(settings, "doctor"),
    )


def of_store(store: Store) -> Iterator[str]:
    """The devices of reserved names that were not removed. States are read only of those."""
    after, found = 0, PAGE
    while found == PAGE:
        changed = store.read_names(after, PAGE)
        after, found = changed.offset, len(changed.devices)
        for device in filter(names.is_reserved, changed.devices):
            update = store.get(device)
            if update is not None and update.state is not None:
                yield device
