"""The JavaScript tests, ``node --test``: one test here per file, so that they count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.bare

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted(path for path in (ROOT / "tests" / "js").glob("*.test.*js"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_javascript(node: Any, file: Path) -> None:
    finished = node.run("--test", file, timeout=120)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_stock_client_is_there(node: Any) -> None:
    """What the examples and the stock-client tests load."""
    finished = node.run(
        "-e", "require('jquery'); console.log(typeof require('socket.io-client').io)"
    )
    assert finished.stdout.strip() == "function", finished.stderr


STATIC = ROOT / "src" / "statecast" / "web" / "static"
CLIENT = ("bind", "board", "connection", "event-stream", "statecast", "tables", "words")


def test_types(node: Any) -> None:
    """The browser's files as they are, unbuilt; their types are in JSDoc."""
    checker = node.modules / "typescript" / "bin" / "tsc"
    finished = node.run(checker, "-p", ROOT / "jsconfig.json", timeout=120)
    wrong = [
        line
        for line in finished.stdout.splitlines()
        if line.startswith(tuple(f"src/statecast/web/static/{name}.js" for name in CLIENT))
    ]
    assert not wrong


def test_format(node: Any) -> None:
    formatter = node.modules / "prettier" / "bin" / "prettier.cjs"
    files = [STATIC / f"{name}.js" for name in CLIENT]
    finished = node.run(formatter, "--check", *files, *FILES, timeout=120)
    assert finished.returncode == 0, finished.stderr
