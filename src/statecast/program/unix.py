"""The parts of Unix that Statecast needs.

Modules import them from here. On a system without them the import raises UnsupportedSystem, which
is a sentence, instead of ModuleNotFoundError.
"""

from __future__ import annotations

from statecast.errors import UnsupportedSystem

try:
    import fcntl
    import resource
    from os import pread, pwrite, register_at_fork
    from signal import SIGHUP
except ImportError as error:
    raise UnsupportedSystem from error

__all__ = ["SIGHUP", "fcntl", "pread", "pwrite", "register_at_fork", "resource"]
