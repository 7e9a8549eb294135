"""The JavaScript tests, ``node --test``: one test here per file, so that they count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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


def test_types(node: Any) -> None:
    """The browser's files as they are, unbuilt, checked by JSDoc and statecast.d.ts."""
    static = ROOT / "src" / "statecast" / "web" / "static"
    options = (
        "--checkJs --allowJs --noEmit --target es2023 --module esnext --moduleResolution bundler"
    )
    checker = node.modules / "typescript" / "bin" / "tsc"
    finished = node.run(checker, *options.split(), *sorted(static.glob("*.js")), timeout=120)
    assert finished.returncode == 0, finished.stdout
