"""Rules with teeth: what the design says of the code's shape, checked on the code."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import statecast
from statecast.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "statecast"
REFERENCE = ROOT / "docs" / "reference.md"

# Who may import whom, at run time. The values (VALUES) travel through all stages and everyone may know them.
# "stores." is what lies inside the folder, "stores" only its contract; the same for "sources" and the others.
VALUES = {
    *("", "distribution", "errors", "model", "names", "output", "program", "settings"),
    *("strict_json", "unix", "wire"),
}
ARROWS: dict[str, set[str]] = {
    "sources": {
        "stores"
    },  # the embedded queue lives in the store's file, and knows it by its contract
    "decoders": set(),
    "apply": {"stamps"},
    "stamps": set(),
    "stores": {"apply"},
    "clocks": set(),
    "pipeline": {"clocks", "sources", "decoders", "stores"},
    "watcher": {"pipeline", "sources", "stores"},
    "audience": set(),
    "follower": {"stores"},
    "broadcast": {"audience", "follower", "stores"},
    "viewers": set(),
    "web": {"decoders.", "sending", "sources", "stores", "viewers."},
}
EXCEPTIONS = {
    # A queue in memory is the rows of a memory store, as the embedded queue is those of SQLite.
    ("sources.memory", "stores.memory"),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), ast.parse(file.read_text())


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``, which couple nothing when the program runs."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from run_time_nodes(child)


def imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """The modules of the package that this one imports, without the package's name."""
    for node in run_time_nodes(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here: they read the same in every file"
            if node.module and node.module.split(".")[0] == "statecast":
                base = node.module.partition(".")[2]
                for alias in node.names:
                    inner = f"{base}.{alias.name}".lstrip(".")
                    yield inner if inner in known else base
        elif isinstance(node, ast.Import):
            yield from (
                a.name.partition(".")[2] for a in node.names if a.name.split(".")[0] == "statecast"
            )


def forbidden(importer: str, target: str) -> bool:
    stage, other = importer.split(".")[0], target.split(".")[0]
    if (
        stage not in ARROWS
        or other == stage
        or target in VALUES
        or (importer, target) in EXCEPTIONS
    ):
        return False
    return target not in ARROWS[stage] and f"{other}." not in ARROWS[stage]


def test_stages_import_only_along_the_arrows() -> None:
    trees = dict(modules())
    wrong = sorted(
        {
            f"{name} imports {target}"
            for name, tree in trees.items()
            for target in imported(tree, set(trees))
            if forbidden(name, target)
        }
    )
    assert not wrong, "\n".join(wrong)


def test_the_rule_of_the_arrows_bites() -> None:
    assert forbidden("stores.sqlite", "broadcast")
    assert forbidden("broadcast", "watcher")
    assert forbidden("viewers.hub", "stores")
    assert forbidden("pipeline", "stores.sqlite")
    assert not forbidden("pipeline", "stores")
    assert not forbidden("web.rest", "decoders.plain")
    assert not forbidden("stores.sqlite", "stores.driver")
    tree = ast.parse(
        "from statecast import model\nif TYPE_CHECKING:\n  from statecast import cli\nimport statecast.web.rest"
    )
    assert set(imported(tree, {"model", "cli"})) == {"model", "web.rest"}


def test_no_module_keeps_what_belongs_to_an_app() -> None:
    """A ``global`` is state that two apps in one process share."""
    wrong = [
        name for name, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.Global)
    ]
    assert not wrong


def test_no_module_is_a_drawer() -> None:
    drawers = {"base", "common", "core", "helpers", "manager", "misc", "utils"}
    assert not [name for name, _ in modules() if drawers & set(name.split("."))]


def committed() -> Iterator[Path]:
    """The files of the project, found without git: a source archive has none."""
    folders = ("src", "tests", "tools", "docs", "examples", "benchmarks", ".ci")
    for path in [
        *ROOT.iterdir(),
        *(inner for folder in folders for inner in (ROOT / folder).rglob("*")),
    ]:
        made = {"__pycache__", "node_modules"} & set(path.parts)
        if (
            path.is_file()
            and path.name != ".git"  # of a worktree: it names the clone
            and not made
            and path.suffix not in (".png", ".pyc", ".db", ".db-wal", ".db-shm")
        ):
            yield path


def test_no_file_is_tied_to_one_machine_or_registry() -> None:
    """Which registry serves the packages, and where a clone lies, is each machine's own affair."""
    hosts = r"\b(?:registry|files|deb|security|index)\.(?:npmjs|yarnpkg|pythonhosted|debian)\b|\bpypi\.\w"
    options = (
        r"--(?:extra-)?index-url[ =]|--find-links[ =]|\"resolved\":|/wor[k]/|/hom[e]/\w|/Use[r]s/\w"
    )
    tied = re.compile(f"{hosts}|{options}", re.IGNORECASE)
    wrong = []
    for path in committed():
        lines = (
            path.read_text(errors="replace").splitlines()
            if path != Path(__file__).resolve()
            else []
        )
        wrong += [
            f"{path.relative_to(ROOT)}:{n}: {line[:100]}"
            for n, line in enumerate(lines, 1)
            if tied.search(line)
        ]
    assert not wrong, "\n".join(wrong)


def reference() -> str:
    if not REFERENCE.exists():
        pytest.skip("docs/reference.md is not there")
    return REFERENCE.read_text()


def test_the_reference_names_what_is_public() -> None:
    """Each public name has a heading of its own, which begins with the name in backticks: ### `Live(app, ...)`."""
    named = set(re.findall(r"^#{2,4} +`(?:statecast\.)?(\w+)", reference(), re.MULTILINE))
    assert named == {name for name in statecast.__all__ if not name.startswith("_")}


def test_every_setting_has_its_line_in_the_docs() -> None:
    reference()
    documents = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    assert not [
        field.name for field in dataclasses.fields(Settings) if f"`{field.name}`" not in documents
    ]
