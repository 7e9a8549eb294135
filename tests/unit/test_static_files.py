"""The scripts and style sheets as they are sent: without comments, and otherwise the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from statecast.server.static_files import static_files, without_comments
from tools import javascript

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = ROOT / "src" / "statecast" / "web" / "static"
TOKENS = """
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";
const ts = createRequire(process.argv[1] + "/")("typescript");

function tokens(text) {
  const file = ts.createSourceFile("a.js", text, ts.ScriptTarget.Latest, true);
  const found = [];
  (function walk(node) {
    const children = node.getChildren(file).filter(({kind}) =>
      kind < ts.SyntaxKind.FirstJSDocNode || kind > ts.SyntaxKind.LastJSDocNode);
    if (children.length === 0) found.push([node.kind, node.getText(file),
      file.getLineAndCharacterOfPosition(node.getStart(file)).line]);
    children.forEach(walk);
  })(file);
  return found;
}

const pairs = JSON.parse(readFileSync(0, "utf8"));
const different = pairs.filter(([, before, after]) =>
  JSON.stringify(tokens(before)) !== JSON.stringify(tokens(after)));
console.log(JSON.stringify([pairs.length, different.map(([name]) => name)]));
"""


def different(pairs: list[tuple[str, str, str]]) -> tuple[int, list[str]]:
    """How many scripts were compared by their tokens and lines, and which are not the same."""
    node = javascript.find(ROOT)
    if not node:
        pytest.skip(javascript.missing())
    done = subprocess.run(
        [node, "--input-type=module", "-e", TOKENS, str(javascript.modules(ROOT))],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    compared, names = json.loads(done.stdout)
    return compared, names


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a;\n// why\nb;\n", "a;\n\nb;\n"),
        ("  // why\n  a; // end\n", "\n  a; // end\n"),
        ("/** One. */\na;\n", "\na;\n"),
        ("/**\n * Two\n * lines.\n */\na;", "\n\n\n\na;"),
        ("a { }\n/* why */\nb { }\n", "a { }\n\nb { }\n"),
        ("a /* in\nit */ b", "a /* in\nit */ b"),
        ("const url = 'https://a'; // x\n", "const url = 'https://a'; // x\n"),
        ("  /** @type {A} */ (b).c();\n", "  /** @type {A} */ (b).c();\n"),
        ("", ""),
    ],
)
def test_lines_that_are_comments_are_empty(text: str, sent: str) -> None:
    assert without_comments(text) == sent


def test_our_scripts_have_the_same_tokens_on_the_same_lines() -> None:
    scripts = sorted(STATIC.glob("*.js"))
    pairs = [
        (path.name, path.read_text("utf-8"), without_comments(path.read_text("utf-8")))
        for path in scripts
    ]
    assert different(pairs) == (len(scripts), [])
    assert sum(before != after for _, before, after in pairs) > 30


@pytest.mark.parametrize(
    "text",
    ["const a = `\n// no comment\n`;\n", "const a = `\n/* no\ncomment */\n`;\n"],
)
def test_a_template_that_would_be_changed_is_noticed(text: str) -> None:
    assert different([("a.js", text, without_comments(text))]) == (1, ["a.js"])


def test_our_style_sheets_lose_whole_comments_only() -> None:
    for path in STATIC.glob("*.css"):
        before = path.read_text("utf-8")
        for line, sent in zip(
            before.split("\n"), without_comments(before).split("\n"), strict=True
        ):
            assert sent in (line, "")
        # a comment that began on a line of code would end in the middle of what is left
        assert without_comments(before).count("/*") == without_comments(before).count("*/")
        assert '"/*' not in before


def test_what_is_sent_is_named_by_its_content() -> None:
    files = static_files()
    assert b"\n// " not in files["/statecast/connection.js"].body
    assert len({one.tag for one in files.values()}) == len(files)
