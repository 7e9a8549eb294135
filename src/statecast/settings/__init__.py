"""The one table of settings.

Flags, `STATECAST_*` variables, the TOML file, Flask keys and the reference come from it.

::

    table.py    ``Settings``: name, default, sentence and check of each setting
    checks.py   what a value must be
    loading.py  where values come from, and which of them wins

Rule: an unknown name is an error, and so is a value that fails its check.
"""

from __future__ import annotations

from statecast.settings.loading import PREFIX, SETTINGS_FILE, known, load, read_file
from statecast.settings.table import Settings, is_secret, names

__all__ = [
    "PREFIX",
    "SETTINGS_FILE",
    "Settings",
    "is_secret",
    "known",
    "load",
    "names",
    "read_file",
]
