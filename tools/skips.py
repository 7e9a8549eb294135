"""The skipped tests of a run, and those that a bare machine may skip.

A line of the list is WHO (``root``, ``user`` or ``both``), a test module, and the reason, word for
word. A module, not a test: one more test of the same kind is no news; one more reason is.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

LINE = re.compile(r"(root|user|both)\s+(\S+)\s+(.+)")


def expected(listed: str, who: str) -> set[str]:
    """Raises: ValueError, for a line that cannot be read."""
    found = set()
    for line in listed.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if not match:
            raise ValueError(f"not a line of the list of skips: {line!r}")
        if match[1] in (who, "both"):
            found.add(f"{match[2]}: {match[3]}")
    return found


def found(report: str) -> set[str]:
    """From pytest's report in JUnit's format."""
    skips = set()
    for case in ElementTree.fromstring(report).iter("testcase"):
        for skip in case.iter("skipped"):
            skips.add(f"{module(case.get('classname', ''))}: {skip.get('message', '')}")
    return skips


def module(classname: str) -> str:
    """``tests.unit.test_names.TestClass`` is in tests/unit/test_names.py."""
    parts = [part for part in classname.split(".") if not part.startswith("Test")]
    return "/".join(parts) + ".py"
