"""Statecast: the state of devices, from a queue to every browser.

The path of the data::

    queue -> source -> decode -> apply -> store (+ log) -> broadcast -> viewer (page)
          <- ack <--------------------------/

In a Flask app: ``live = Statecast(app)``. All public names are listed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from statecast.program.distribution import VERSION as __version__

if TYPE_CHECKING:
    from statecast.errors import (
        BadSetting,
        ConnectionRefused,
        Refused,
        StatecastError,
        Unavailable,
    )
    from statecast.flask import Statecast
    from statecast.settings import Settings

__all__ = [
    "BadSetting",
    "ConnectionRefused",
    "Refused",
    "Settings",
    "Statecast",
    "StatecastError",
    "Unavailable",
    "__version__",
]

_HOMES = {
    "BadSetting": "statecast.errors",
    "ConnectionRefused": "statecast.errors",
    "Refused": "statecast.errors",
    "Settings": "statecast.settings",
    "Statecast": "statecast.flask",
    "StatecastError": "statecast.errors",
    "Unavailable": "statecast.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: a script that only sends needs no Flask."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
