"""Node, and the npm packages of the tests (``tests/package.json``), installed into ``.tools/node``."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tools.commands import insist, quiet, say

MISSING = (
    "needs Node and the packages of tests/package.json: install Node with npm "
    "(on Debian `apt-get install nodejs npm`; `make test` does it when it is root), then run `make test`"
)
FILES = ("package.json", "package-lock.json", ".npmrc")


def modules(root: Path) -> Path:
    return root / ".tools" / "node" / "node_modules"


def find(root: Path) -> str | None:
    """The path of Node, or None when it or the packages are not there."""
    return shutil.which("node") if stamp(root).exists() else None


def packages() -> list[str]:
    """The Debian packages that are missing."""
    return [package for program, package in (("node", "nodejs"), ("npm", "npm")) if not shutil.which(program)]


def stamp(root: Path) -> Path:
    return root / ".tools" / "node" / "ready"


def ensure(root: Path) -> None:
    """Installs the packages when npm is there and they are not; the tests say what is missing otherwise."""
    if packages():
        return
    digest = hashlib.sha256(quiet(["node", "--version"])[1].encode())
    for name in FILES:
        digest.update((root / "tests" / name).read_bytes())
    key = digest.hexdigest()
    if stamp(root).exists() and stamp(root).read_text() == key:
        return
    say("Installing the tests' JavaScript packages into .tools/node.")
    folder = stamp(root).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(root / "tests" / name, folder)
    if insist(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder=folder):
        stamp(root).write_text(key)
