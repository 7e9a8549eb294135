"""Standard output and standard error: what was printed is written, or it is dropped with an error.

What stays in a buffer is written when the interpreter ends. If that fails, the interpreter complains
in its own words and ends with the status 120.
"""

from __future__ import annotations

import os
from typing import TextIO


def flush(stream: TextIO | None) -> None:
    """Write what is buffered. Raises OSError after what cannot be written has been dropped."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        discard(stream)
        raise


def discard(stream: TextIO) -> None:
    """Drop what is buffered. What is printed later goes where it went before."""
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
