"""What Statecast needs of the operating system, in one place.

A module that needs one of these parts imports it from here. On a system without them that import
raises UnsupportedSystem, which is a sentence and not a ModuleNotFoundError.
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
