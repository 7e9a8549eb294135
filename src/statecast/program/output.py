"""Flushes standard output and standard error. Output that cannot be written is discarded.

The interpreter writes what is left in a buffer when it ends. If that fails, it prints a message of
its own and ends with the status 120.
"""

from __future__ import annotations

import os
from typing import TextIO


def flush(stream: TextIO | None) -> None:
    """Write the buffer. Raises OSError if it cannot be written; it is discarded then."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        discard(stream)
        raise


def discard(stream: TextIO) -> None:
    """Discard the buffer. Later output goes to the same place as before."""
    try:
        number = stream.fileno()
        before, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):  # not a file at all, in tests
        return
    os.dup2(nowhere, number)
    try:
        stream.flush()
    finally:
        os.dup2(before, number)
        os.close(before)
        os.close(nowhere)
