"""Node, and the npm packages of tests, benchmarks and Azurite (their ``package.json``), installed below ``.tools``."""

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
TESTS, BENCHMARKS, AZURITE = "tests", "benchmarks", "tests/azurite"
"""The folders that have packages, each installed into a folder of its own."""
FOLDERS = {TESTS: "node", BENCHMARKS: "node-benchmarks", AZURITE: "node-azurite"}


def modules(root: Path, owner: str = TESTS) -> Path:
    return root / ".tools" / FOLDERS[owner] / "node_modules"


def find(root: Path, owner: str = TESTS) -> str | None:
    """The path of Node, or None when it or the owner's packages are not there."""
    return shutil.which("node") if stamp(root, owner).exists() else None


def packages() -> list[str]:
    """The Debian packages that are missing."""
    return [
        package
        for program, package in (("node", "nodejs"), ("npm", "npm"))
        if not shutil.which(program)
    ]


def stamp(root: Path, owner: str) -> Path:
    return root / ".tools" / FOLDERS[owner] / "ready"


def ensure(root: Path, owner: str = TESTS) -> None:
    """Installs the packages when npm is there and they are not; the owner says what is missing otherwise."""
    if packages():
        return
    digest = hashlib.sha256(quiet(["node", "--version"])[1].encode())
    for name in FILES:
        digest.update((root / owner / name).read_bytes())
    key = digest.hexdigest()
    ready = stamp(root, owner)
    if ready.exists() and ready.read_text() == key:
        return
    say(f"Installing the JavaScript packages of {owner} into .tools/{FOLDERS[owner]}.")
    folder = ready.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(root / owner / name, folder)
    if insist(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        folder=folder,
    ):
        ready.write_text(key)
