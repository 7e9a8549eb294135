"""Flushes standard output and standard error. Output that cannot be written is discarded.

The interpreter writes what is left in a buffer when it ends. If that fails, it prints a message of
its own and ends with the status 120.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_closed_streams() -> None:
    """Open the standard streams that the caller has closed (``>&-``). What is printed is dropped.

    A number that stays free goes to the next file or socket. A library that writes to standard
    error would then write into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end


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
