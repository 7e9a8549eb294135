"""The tools of the page script: prettier formats it and its style sheets, tsc checks its types.

Their settings are ``.prettierrc.json`` and ``jsconfig.json``, where editors find them too.
"""

from __future__ import annotations

from pathlib import Path

from tools import javascript
from tools.commands import Trouble

STATIC = "src/statecast/web/static"
FORMATTED = (f"{STATIC}/*.js", f"{STATIC}/*.css", "tests/js/*.mjs", "examples/clients/*.mjs")

Commands = dict[str, list[str]]


def checks(root: Path) -> Commands:
    """What ``make check`` runs, by the names under which it reports them."""
    return {
        "prettier --check": [*_prettier(root), "--check", *FORMATTED],
        "tsc": [*_npm_program(root, "typescript/bin/tsc"), "-p", "jsconfig.json"],
    }


def formats(root: Path) -> Commands:
    return {"prettier": [*_prettier(root), "--write", *FORMATTED]}


def _prettier(root: Path) -> list[str]:
    return [*_npm_program(root, "prettier/bin/prettier.cjs"), "--log-level", "warn"]


def _npm_program(root: Path, script: str) -> list[str]:
    """Node and a script of the packages of ``tests/package.json``."""
    javascript.ensure(root)
    node = javascript.find(root)
    if not node:
        raise Trouble(f"The page script {javascript.missing()}.")
    return [node, str(javascript.modules(root) / script)]
