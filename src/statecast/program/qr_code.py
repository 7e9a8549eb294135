"""A QR code in a terminal, for a phone that is to open an address."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

BLACK_ON_WHITE, RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
"""Of the 256 colours, which no theme of a terminal changes: dark on light everywhere."""
HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
"""Two modules, one above the other, are one character: characters are twice as high as wide."""
QUIET_ZONE = 4
"""Modules around a code that stay light (ISO/IEC 18004)."""


def qr_code(text: str, stream: TextIO) -> str:
    """The lines of the code; "" where ``stream`` is no terminal that can show it."""
    if not shows_colours(stream) or not writes(stream, "".join(HALVES.values())):
        return ""
    lines = drawn(text)
    columns, rows = shutil.get_terminal_size()
    if len(lines[0]) > columns or len(lines) > rows:
        return ""
    return "\n".join(f"{BLACK_ON_WHITE}{line}{RESET}" for line in lines)


def drawn(text: str) -> list[str]:
    """The code as lines of half blocks."""
    import segno  # 10 ms, which most starts do not need

    rows = [
        [int(module) for module in row]
        for row in segno.make_qr(text, error="m").matrix_iter(border=QUIET_ZONE)
    ]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        "".join(HALVES[pair] for pair in zip(upper, lower))
        for upper, lower in zip(rows[::2], rows[1::2])
    ]


def shows_colours(stream: TextIO) -> bool:
    """Whether it is a terminal with colours that its user wants (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "") in ("", "dumb")
    try:
        return stream.isatty() and not plain
    except ValueError:  # it is closed
        return False


def writes(stream: TextIO, characters: str) -> bool:
    try:
        characters.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
