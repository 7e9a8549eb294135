"""The parts of Unix that Statecast needs.

Modules import them from here. On a system without them the import raises UnsupportedSystem, which
is a sentence, instead of ModuleNotFoundError.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TypeVar

from statecast.errors import UnsupportedSystem

try:
    import fcntl
    import resource
    from os import pread, pwrite, register_at_fork
    from signal import SIGHUP
except ImportError as error:
    raise UnsupportedSystem from error

__all__ = ["SIGHUP", "fcntl", "in_children", "pread", "pwrite", "register_at_fork", "resource"]

Owner = TypeVar("Owner")


def in_children(owner: Owner, call: Callable[[Owner], None]) -> None:
    """Call ``call(owner)`` in each forked child, as long as the owner exists.

    A hook cannot be removed again, so it must not keep the owner alive: nor may ``call``, which is
    therefore a function or ``type(owner).method``, not ``owner.method``.
    """
    reference = weakref.ref(owner)

    def in_child() -> None:
        if (inherited := reference()) is not None:
            call(inherited)

    register_at_fork(after_in_child=in_child)
