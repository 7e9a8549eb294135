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

USER = """
import { connect, formatAge } from "./static/statecast.js";
const live = connect({ devices: ["pillow"] });
live.on("states", (changed) => {
  for (const [now, before] of changed) console.log(now.device, before?.state, now.cause?.by);
});
const verdict = live.board.verdict({ device: "pillow", changed: 0 });
live.command("pillow", "hug", { strength: 2 }, { by: "Ada" }).then(({ status }) => status);
const word: string = verdict.word + formatAge(verdict.since, live.board.now());
%s
"""


def test_types(node: Any) -> None:
    """The browser's files as they are, unbuilt; their types are in JSDoc."""
    checker = node.modules / "typescript" / "bin" / "tsc"
    finished = node.run(checker, "-p", ROOT / "jsconfig.json", timeout=120)
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize(
    ("line", "complaint"),
    [("", ""), ("live.watch(5);", "TS2345"), ("connect({ device: 'pillow' });", "TS2561")],
)
def test_a_user_of_typescript_has_types(
    node: Any, tmp_path: Path, line: str, complaint: str
) -> None:
    """TypeScript reads the JSDoc of the files; a right program passes and a wrong one does not."""
    (tmp_path / "static").symlink_to(STATIC)
    (tmp_path / "user.ts").write_text(USER % line)
    options = "--allowJs --strict --noEmit --target es2023 --module esnext --skipLibCheck"
    checker = node.modules / "typescript" / "bin" / "tsc"
    finished = node.run(
        checker, *options.split(), "--moduleResolution", "bundler", tmp_path / "user.ts"
    )
    errors = [line for line in finished.stdout.splitlines() if "error" in line]
    assert len(errors) == bool(complaint) and complaint in finished.stdout, finished.stdout


def test_format(node: Any) -> None:
    """Scripts, styles and their tests are as prettier writes them; ``make format`` does."""
    formatter = node.modules / "prettier" / "bin" / "prettier.cjs"
    files = [*sorted(STATIC.glob("*.js")), *sorted(STATIC.glob("*.css")), *FILES]
    finished = node.run(formatter, "--check", *files, timeout=120)
    assert finished.returncode == 0, finished.stderr
