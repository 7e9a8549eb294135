"""Builds the source archive and the wheel, and tries the wheel on every Python of this machine.

    python -m tools.dist            builds into dist/, checks names and metadata, tries the wheel
    python -m tools.dist release    the same, and refuses what must not be uploaded

The wheel is built from the source archive, as a package index or a distribution would: what is
missing in the archive is missing in the wheel. What "tries" means stands in
tests/system/test_built_wheel.py, which runs once per Python.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools import publish
from tools.commands import Trouble, quiet, run, say

ROOT = Path(__file__).resolve().parent.parent
MINORS = range(11, 15)
"""Python 3.11 to 3.14, as the classifiers say."""
WHEEL, PYTHON = "TEST_STATECAST_WHEEL", "TEST_STATECAST_PYTHON"
"""Tell tests/system/test_built_wheel.py which wheel to try, and with which Python."""

TRY = ["pytest", "-q", "-p", "no:cacheprovider", "tests/system/test_built_wheel.py"]


def build(folder: Path) -> tuple[Path, Path]:
    """The source archive of this clone, and the wheel of that archive."""
    hatchling("sdist", ROOT, folder)
    (archive,) = folder.glob("statecast-*.tar.gz")
    with tempfile.TemporaryDirectory(prefix="statecast-sdist-") as unpacked:
        with tarfile.open(archive) as opened:
            # Python 3.11.0 to 3.11.3 have no filters yet; this is the documented way for all.
            opened.extraction_filter = getattr(tarfile, "data_filter", None)
            opened.extractall(unpacked)
        hatchling("wheel", Path(unpacked) / archive.name.removesuffix(".tar.gz"), folder)
    (wheel,) = folder.glob("statecast-*.whl")
    return archive, wheel


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def hatchling(kind: str, source: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    if not run(command, folder=source, errors_only=True):
        raise Trouble(f"The {kind} could not be built; hatchling says above why.")


def pythons() -> Iterator[tuple[str, Path | None]]:
    """By supported version:

    a Python that can make environments, from the PATH or pyenv, or None.
    """
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    question = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for minor in MINORS:
        version = f"3.{minor}"
        found = shutil.which(f"python{version}")
        candidates = [*([Path(found)] if found else []), *versions.glob(f"{version}.*/bin/python3")]
        works = (path for path in candidates if quiet([path, "-c", question]) == (True, version))
        yield version, next(works, None)


def try_everywhere(wheel: Path) -> list[str]:
    """The versions of Python on which the wheel failed; those that are not here are named."""
    failed, tried = [], []
    for version, python in pythons():
        if python is None:
            say(f"== Python {version}: not on this machine, so not tried")
            continue
        say(f"== Python {version}: {python}")
        tried.append(version)
        variables = {WHEEL: str(wheel), PYTHON: str(python)}
        if not run([sys.executable, "-m", *TRY], variables, folder=ROOT):
            failed.append(version)
    if not tried:
        raise Trouble("No Python from 3.11 to 3.14 here can make an environment (python3-venv).")
    return failed


def refuse_release() -> None:
    """Everything that would be wrong for ever once it is uploaded. Raises: Trouble."""
    from statecast import __version__
    from statecast.program.distribution import PUBLISHED

    pyproject = (ROOT / "pyproject.toml").read_text()
    if publish.UNKNOWN_ADDRESS in pyproject or not PUBLISHED:
        raise Trouble(
            "The repository's address is not known and the documents install from a clone: "
            "run `python -m tools.publish https://HOST/OWNER/statecast` first (RELEASING.md)."
        )
    changelog = (ROOT / "CHANGELOG.md").read_text()
    dated = re.search(rf"^## {re.escape(__version__)}, \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    if not dated:
        raise Trouble(f"CHANGELOG.md needs the heading `## {__version__}, YYYY-MM-DD`.")
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True
    )
    if status.returncode or status.stdout:
        raise Trouble("There are changes that are not committed: `git status` names them.")
    _, tags = quiet(["git", "-C", ROOT, "tag", "--points-at", "HEAD", f"v{__version__}"])
    if tags != f"v{__version__}":
        raise Trouble(f"This commit has no tag v{__version__}: git tag -s v{__version__}")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["release"]):
        raise Trouble(str(__doc__))
    if arguments:
        refuse_release()
    archive, wheel = build(empty(ROOT / "dist"))
    if not run([sys.executable, "-m", "twine", "check", "--strict", archive, wheel]):
        raise Trouble("The package index would refuse this; twine says above why.")
    failed = try_everywhere(wheel)
    for path in (archive, wheel):
        say(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:,.0f} kB")
    if failed:
        raise Trouble(f"The wheel failed on Python {', '.join(failed)}; pytest says above why.")
    if arguments:
        say(f"Ready. To upload: twine upload {archive.name} {wheel.name} (in dist/)")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)
