"""A span of time as people write it: ``90d``, ``12h``, ``30m``, ``45s``."""

from __future__ import annotations

import re

import click

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,6})([smhd])")


def time_span(given: str) -> float:
    """In seconds. Raises BadParameter."""
    found = _SPAN.fullmatch(given)
    if found is None or not int(found[1]):
        raise click.BadParameter("write a time like 90d, 12h, 30m or 45s.")
    return float(int(found[1]) * SECONDS[found[2]])
