"""The tests with the lowest versions that ``pyproject.toml`` allows: whether its bounds are true.

Only our own dependencies are lowered; what they need and what tests use is that of the lock.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools import newest

PATHS = ("tests/unit", "tests/contract", "--ignore", "tests/unit/test_bootstrap.py")
"""The one that is left out compares the environment with the lock."""
EXTRAS = ("azure", "metrics", "postgres", "tokens")
"""Whose packages the tests use."""


def test(root: Path, arguments: Sequence[str]) -> bool:
    """Whether they pass. Raises: Trouble, when these versions cannot be installed."""
    return newest.test_with(root, lower_bounds(root), arguments or PATHS)


def lower_bounds(root: Path) -> list[str]:
    """``name==version`` of each dependency's ``name>=version``."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    found = [re.match(r"([\w.-]+(?:\[\w+\])?)>=([\w.]+)", line) for line in lines]
    assert all(found), "each dependency has a lower bound, and it stands first"
    return [f"{match[1]}=={match[2]}" for match in found if match]
