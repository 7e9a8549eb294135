"""The package: which Pythons try it, and what must never be uploaded."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import statecast
from statecast.program import distribution
from tools import dist, publish
from tools.commands import Trouble

ADDRESS = "https://forge.example/somebody/statecast"
DATED = f"# Changelog\n\n## {statecast.__version__}, 2026-01-31\n"


def git(folder: Path, *words: str) -> None:
    who = (
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@x",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    )
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a release looks at, all of it in order."""
    if not shutil.which("git"):
        pytest.skip("needs git, which a release asks for its tag")
    monkeypatch.setattr(dist, "ROOT", tmp_path)
    monkeypatch.setattr(distribution, "PUBLISHED", True)
    (tmp_path / "pyproject.toml").write_text(f'Source = "{ADDRESS}"\n')
    (tmp_path / "CHANGELOG.md").write_text(DATED)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "tag", f"v{statecast.__version__}")
    return tmp_path


def test_a_release_in_order_is_not_refused(clone: Path) -> None:
    dist.refuse_release()


def test_a_release_without_an_address_is_refused(clone: Path) -> None:
    (clone / "pyproject.toml").write_text(f'Source = "{publish.UNKNOWN_ADDRESS}"\n')
    with pytest.raises(Trouble, match=r"python -m tools\.publish"):
        dist.refuse_release()


def test_a_release_whose_documents_install_from_a_clone_is_refused(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "PUBLISHED", False)
    with pytest.raises(Trouble, match="install from a clone"):
        dist.refuse_release()


def test_a_release_without_a_date_is_refused(clone: Path) -> None:
    (clone / "CHANGELOG.md").write_text(f"## {statecast.__version__}, not yet released\n")
    with pytest.raises(Trouble, match="needs the heading"):
        dist.refuse_release()


def test_a_release_of_what_is_not_committed_is_refused(clone: Path) -> None:
    (clone / "more.py").touch()
    with pytest.raises(Trouble, match="not committed"):
        dist.refuse_release()


def test_a_release_without_a_tag_is_refused(clone: Path) -> None:
    git(clone, "commit", "-q", "--allow-empty", "-m", "after the tag")
    with pytest.raises(Trouble, match=f"has no tag v{statecast.__version__}"):
        dist.refuse_release()


def fake_python(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)


def test_every_python_is_found_that_can_make_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a Python on the PATH, one there that lacks venv, and that one again from pyenv
    path, pyenv = tmp_path / "bin", tmp_path / "pyenv" / "versions"
    fake_python(path / "python3.11", "echo 3.11")
    fake_python(path / "python3.12", "echo No module named ensurepip; exit 1")
    fake_python(pyenv / "3.12.9" / "bin" / "python3", "echo 3.12")
    fake_python(pyenv / "3.1.3" / "bin" / "python3", "echo 3.1")
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(dist, "MINORS", range(11, 14))
    # then each version has the first that works, or none
    assert dict(dist.pythons()) == {
        "3.11": path / "python3.11",
        "3.12": pyenv / "3.12.9" / "bin" / "python3",
        "3.13": None,
    }


def test_the_classifiers_are_those_that_are_tried() -> None:
    pyproject = (Path(__file__).resolve().parent.parent.parent / "pyproject.toml").read_text()
    for minor in dist.MINORS:
        assert f'"Programming Language :: Python :: 3.{minor}"' in pyproject
    assert f":: 3.{dist.MINORS.stop}" not in pyproject
