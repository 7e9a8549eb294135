"""The documents say what is true.

Their snippets run, their links lead somewhere, the reference is that of the code.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from statecast import settings
from statecast.cli import main, options
from statecast.flask import runtime_of
from tools import reference

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
SHIPPED = [
    path
    for folder in ("src", "examples", "tools", "tests")
    for path in (ROOT / folder).rglob("*.*")
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATECAST = re.compile(r"^(?:\.venv/bin/)?statecast ")
A_TIME = "2026-01-31T12:00:00Z"
"""Where a snippet asks the shell for one."""

COLUMNS = 100
UNBREAKABLE = re.compile(r"`[^`\n]+`|!?\[[^\]\n]*\]\([^)\s]+\)")
"""Code and links: a line may be longer if it holds one of them and nothing else."""
SOURCES = {".py", ".js", ".mjs", ".html", ".css"}
NOT_PLAIN = re.compile(
    r"\b(?:anew|lest|whoever|porter|patience|complaints|nobody)\b", re.IGNORECASE
)


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=page_name)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page.read_text()) if kind == language]


def typed_files(page: Path) -> dict[str, str]:
    """The files that a page lets its reader type; several blocks may make up one of them."""
    files: dict[str, str] = {}
    for name, body in TYPED.findall(page.read_text("utf-8")):
        files[name] = f"{files[name]}\n\n{body}" if name in files else body
    return files


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


OTHER_PROGRAMS = ("flask ", "gunicorn ", "waitress-serve ", "uwsgi ")


def spans(page: Path) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``statecast`` in a shell block."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if STATECAST.match(line):
                words = shlex.split(line, comments=True)[1:]
                words = words[: words.index(">")] if ">" in words else words
                yield [A_TIME if word.startswith("$(") else word for word in words]


# The reference


def test_the_reference_is_that_of_the_code() -> None:
    assert reference.PAGE.read_text("utf-8") == reference.render(), (
        "it is stale: run `python -m tools.reference`"
    )


# Links and names


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Every link within the project: as written, the file, the fragment."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            file, _, fragment = target.partition("#")
            yield target, (page.parent / file).resolve() if file else page, fragment


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, file, fragment in links(page):
        assert file.exists(), f"{target} leads nowhere"
        assert not fragment or fragment in anchors(file), f"{target}: there is no such heading"


def test_every_page_can_be_found() -> None:
    linked = {file for page in PAGES for _, file, _ in links(page) if file != page}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= linked


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    examples = set(re.findall(r"<!-- file: (\S+) -->", page.read_text()))
    for span in spans(page):
        if re.fullmatch(
            r"\w[\w/-]*\.(?:py|js)|(?:src|tests|tools|docs|examples|benchmarks)/[\w/.-]*", span
        ):
            found = (ROOT / span).exists() or any(
                str(path).endswith(f"/{span}") for path in SHIPPED
            )
            assert found or span in examples, f"there is no {span}"


@every_page
def test_commands_and_flags_that_are_named_exist(page: Path) -> None:
    groups = [
        main.main,
        *(one for one in main.main.commands.values() if isinstance(one, click.Group)),
    ]
    every = [command for group in groups for command in [group, *group.commands.values()]]
    flags = {
        flag
        for one in every
        for option in one.params
        for flag in [*option.opts, *option.secondary_opts]
    }
    for span in spans(page):
        if span.startswith(OTHER_PROGRAMS):
            continue
        command = re.match(r"statecast (\w+)", span)
        assert not command or command[1] in main.main.commands, f"there is no command `{span}`"
        others = span.startswith("flask ")  # flags of Flask's own program
        if (page.is_relative_to(ROOT / "docs") or command) and not others:
            for flag in re.findall(r"(?:^| )(--[a-z-]+)", span):
                assert flag in flags | {"--help"}, f"there is no flag {flag}"


def test_the_readme_has_a_place_for_the_numbers() -> None:
    assert re.search(
        r"^<!-- bench -->\n.*\n<!-- /bench -->$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )


# Prose


def beyond_the_columns(markdown: str) -> list[str]:
    """Lines that are too long and could be broken: outside of tables, code and link targets."""
    fenced = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
    found = []
    for line in fenced.sub("", markdown).splitlines():
        if len(line) <= COLUMNS or line.lstrip().startswith("|") or line.startswith("    "):
            continue
        words = UNBREAKABLE.sub("x", line).removeprefix("*").split()
        if len(words) > 1:
            found.append(line)
    return found


@every_page
def test_lines_of_prose_are_not_too_long(page: Path) -> None:
    assert not beyond_the_columns(page.read_text("utf-8"))


def test_a_line_that_is_too_long_would_be_found() -> None:
    long = "word " * 21
    code, address = f"`{'x' * 101}`", f"https://{'x' * 101}"
    allowed = ["word " * 19, f"| {long} |", f"    {long}", code, f"* [a link]({address})"]
    assert beyond_the_columns("\n".join([*allowed, "```sh", long, "```"])) == []
    for line in (long, f"* {long}", f"{code} and", f"  see [a link]({address})"):
        assert beyond_the_columns(line) == [line]


def test_no_text_has_words_that_are_not_plain() -> None:
    sources = [
        path
        for folder in ("src", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SOURCES
    ]
    found = {
        f"{page_name(path)}: {NOT_PLAIN.findall(path.read_text('utf-8'))}"
        for path in [*PAGES, *sources]
        if NOT_PLAIN.search(path.read_text("utf-8"))
    }
    assert found == set(), "use the words of docs/glossary.md"


# Snippets


def is_run_by_pytest(page: Path) -> bool:
    """Its Python is tests, which tests/unit/test_plugin.py runs."""
    return "<!-- file: test_" in page.read_text()


def is_a_device(page: Path) -> bool:
    """Its Python is a program without an end, which tests/system/test_device_programs.py runs."""
    return page.name.startswith("device-in-")


WITH_PYTHON = [
    page
    for page in PAGES
    if blocks(page, "python") and not is_run_by_pytest(page) and not is_a_device(page)
]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=page_name)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an empty folder, where a store may be made, with the files that the page lets us type
    monkeypatch.chdir(tmp_path)
    for name, text in typed_files(page).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    names: dict[str, Any] = {"__name__": "snippet"}
    # when the snippets of the page run, one after the other, as somebody would who follows it
    try:
        for number, block in enumerate(blocks(page, "python"), 1):
            exec(compile(block, f"{page_name(page)}, Python block {number}", "exec"), names)
        # then every route that an app in them has answers
        if "<!-- file: " in page.read_text():
            visit(names["app"])
    finally:
        for app in [one for one in names.values() if isinstance(one, Flask)]:
            runtime_of(app).stop()


def visit(app: Flask) -> None:
    routes = [
        rule
        for rule in app.url_map.iter_rules()
        if "." not in rule.endpoint and rule.endpoint != "static"
    ]
    assert routes
    for rule in routes:
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response = app.test_client().open(rule.rule, method=method, follow_redirects=True)
            assert response.status_code == 200, rule


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=page_name)
def test_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        if words[0] in (
            "run",
            "watch",
        ):  # they end by a signal only: what they are given is read, and that is all
            parsed = main.main.commands[words[0]].make_context(words[0], words[1:])
            given = {
                name: options.setting_value(one)
                for name, one in parsed.params.items()
                if name in settings.names()
            }
            settings.load(given)
            continue
        result = CliRunner().invoke(main.main, words)
        # No server runs here, so a command may find no state and no server; but it must have
        # been asked well.
        allowed = (0,) if words[0] == "send" and "--server" not in words else (0, 1)
        assert result.exit_code in allowed, f"statecast {shlex.join(words)}: {result.output}"


@every_page
def test_data_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)
    for block in blocks(page, "toml"):
        settings.load(tomllib.loads(block))


def test_a_stale_snippet_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```sh\nstatecast send pillow \\\n    mood=happy > id.txt  # "
        "so\nls\n```\n\n[a](b.md#c)\n"
    )
    assert list(commands(page)) == [["send", "pillow", "mood=happy"]]
    assert list(links(page)) == [("b.md#c", tmp_path / "b.md", "c")]
    result = CliRunner().invoke(main.main, ["send", "pillow", "--no-such-flag"])
    assert result.exit_code == 2
