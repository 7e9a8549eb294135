"""Which versions `make test-lowest` installs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import lowest

ROOT = Path(__file__).resolve().parent.parent.parent
PYPROJECT = """\
[project]
dependencies = [{dependencies}]

[project.optional-dependencies]
azure = ["queue-of-azure>=12.11,<13"]
metrics = ["figures>=0.20"]
postgres = ["driver[binary]>=3.2.3"]
tokens = ["jot[crypto]>=2.10.1"]
other = ["not-asked-for>=1"]
"""


def bounds(folder: Path, *dependencies: str) -> list[str]:
    lines = ", ".join(f'"{one}"' for one in dependencies)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(dependencies=lines))
    return lowest.lower_bounds(folder)


def test_the_lower_bound_of_each_dependency(tmp_path: Path) -> None:
    found = bounds(tmp_path, "flask>=3.0", "uv-loop>=0.21; sys_platform != 'win32'")
    assert found == [
        *("flask==3.0", "uv-loop==0.21", "queue-of-azure==12.11", "figures==0.20"),
        *("driver[binary]==3.2.3", "jot[crypto]==2.10.1"),
    ]


def test_a_dependency_without_a_lower_bound_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="has a lower bound"):
        bounds(tmp_path, "flask<4")


def test_ours_all_have_one() -> None:
    names = {bound.partition("==")[0] for bound in lowest.lower_bounds(ROOT)}
    assert {"apsw", "click", "flask", "uvicorn", "azure-storage-queue"} <= names
