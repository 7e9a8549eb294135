"""The commands that the program prints can be typed where they are read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from statecast import program

pytestmark = pytest.mark.bare

PRINT = "from statecast import program; print(program.name())"
SCRIPT = f"#!{sys.executable}\n{PRINT}\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with ``.venv/bin/statecast``, which prints what it calls itself."""
    script = tmp_path / "a clone" / ".venv/bin/statecast"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return tmp_path / "a clone"


def said(command: str, folder: Path, path: str = "") -> str:
    """What the program calls itself when a shell in ``folder`` starts ``command``."""
    search = os.pathsep.join(filter(None, (path, os.defpath)))
    ran = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env={"PATH": search},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout.strip()


@pytest.mark.parametrize("called", [".venv/bin/statecast", "./.venv/bin/statecast"])
def test_called_by_a_relative_path(clone: Path, called: str) -> None:
    assert said(called, clone) == ".venv/bin/statecast"


def test_called_by_an_absolute_path(clone: Path, tmp_path: Path) -> None:
    called = f"'{clone}/.venv/bin/statecast'"  # the shell needs the quotes
    (tmp_path / "elsewhere").mkdir()
    assert said(called, tmp_path / "elsewhere") == called
    # below the current folder, as `make run` does it, it is what a person would type
    assert said(called, clone) == ".venv/bin/statecast"


def test_found_on_the_path(clone: Path) -> None:
    assert said("statecast", clone, path=f"{clone}/.venv/bin") == "statecast"


def test_found_on_the_path_through_a_link(clone: Path, tmp_path: Path) -> None:
    """As pipx does it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/statecast").symlink_to(clone / ".venv/bin/statecast")
    assert said("statecast", clone, path=f"{tmp_path}/bin") == "statecast"


def test_another_one_on_the_path_is_not_this_one(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/statecast").write_text(SCRIPT)
    (tmp_path / "bin/statecast").chmod(0o755)
    assert said(".venv/bin/statecast", clone, path=f"{tmp_path}/bin") == ".venv/bin/statecast"


def test_started_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/lib/python3/site-packages/statecast/__main__.py"])
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "-m", "statecast", "run"])
    assert program.name() == ".venv/bin/python -m statecast"


def test_inside_another_program(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(sys, "executable", str(clone / ".venv/bin/python"))
    # In the folder of the clone
    monkeypatch.chdir(clone)
    assert program.name() == ".venv/bin/statecast"
    # Elsewhere
    monkeypatch.chdir(clone.parent)
    assert program.name() == "'a clone/.venv/bin/statecast'"
    # Without the script
    (clone / ".venv/bin/statecast").unlink()
    monkeypatch.setattr(sys, "orig_argv", ["python3", "app.py"])
    assert program.name() == "python3 -m statecast"
