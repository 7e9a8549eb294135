"""A setting of the C library's allocator, for a process that is ours.

glibc gives each thread an arena of its own, up to eight for each core, and keeps there what the
thread has freed. Once many pages were asked for at the same time, that is a seventh of the memory.
Python runs one thread at a time, so many arenas gain it nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

ARENAS = 2
MAX_ARENAS = -8
"""``M_ARENA_MAX`` of mallopt(3)."""
VARIABLES = {"MALLOC_ARENA_MAX": "", "GLIBC_TUNABLES": "glibc.malloc.arena_max"}
"""By which a person sets the same, and what the variable then contains."""


def limit_arenas() -> None:
    """Share two arenas, unless the environment says otherwise. Call it before threads start.

    Other C libraries have no such setting.
    """
    chosen = any(
        name in os.environ and part in os.environ[name] for name, part in VARIABLES.items()
    )
    if sys.platform == "linux" and not chosen:
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(MAX_ARENAS, ARENAS)
