"""What a probe writes among the reports of processes: a row of the size of a usual commit.

It is removed at once. Its time makes it no report to those that read them meanwhile.
"""

from __future__ import annotations

NAME = "probe"
LONG_AGO = -(2**50)
BYTES = 65_536


def values() -> tuple[str, int, str]:
    """The process, the time and the report. Made for each probe: most processes make none."""
    return NAME, LONG_AGO, " " * BYTES
