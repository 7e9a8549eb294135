"""Rules with teeth: what the design says of the code's shape, checked on the code."""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import statecast
from statecast.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "statecast"
REFERENCE = ROOT / "docs" / "reference.md"

# What every room may import: values and rules that know nothing of the stages.
VOCABULARY = {
    *("errors", "logs", "model", "names", "problems", "program", "rate_limit", "settings"),
    *("strict_json", "threads", "timestamps"),
}
# Which room may import which, in the order of the data. Imports for type checking count too.
ARROWS: dict[str, set[str]] = {
    "access": set(),
    "openapi": {"access"},
    "settings": {"access"},  # the table of rights, checked with the other settings
    "sources": {"stores"},  # the embedded queue lives in the store's file
    "decoders": set(),
    "merge": set(),
    "commands": set(),
    "stores": {"access", "commands", "merge"},
    "ingest": {"access", "sources", "decoders", "stores"},
    "broadcast": {"access", "commands", "merge", "stores"},
    "http": {"access"},
    "realtime": {"access", "broadcast", "commands", "http"},
    "reactions": {"stores"},
    "dispatcher": {"commands", "sources", "stores"},
    "outbox": {"access", "commands", "decoders", "sources", "stores"},
    "diagnostics": {"access", "outbox", "sources", "stores"},
    "demo": {"sources", "stores"},
    "runtime": {
        *(
            "access",
            "broadcast",
            "commands",
            "demo",
            "dispatcher",
            "http",
            "ingest",
            "openapi",
            "outbox",
            "reactions",
            "realtime",
        ),
        *("sources", "stores"),
    },
    "web": {
        *("access", "broadcast", "commands", "decoders", "http", "openapi", "outbox", "runtime"),
        "stores",
    },
    "server": {"access", "http", "openapi", "realtime", "runtime"},
    "dev_server": {"access", "http", "runtime", "server"},
    "flask": {
        "access",
        *("commands", "decoders", "dev_server", "reactions", "realtime", "runtime", "server"),
        "sources",
        "web",
    },
    "socketio": {"broadcast", "flask", "http", "realtime", "runtime", "server", "web"},
    "testing": {
        "access",
        "broadcast",
        "commands",
        "decoders",
        "dispatcher",  # the test kit steps it, as it steps the consumer
        "flask",
        "ingest",
        "outbox",
        "reactions",
        "realtime",
        "runtime",
        "sources",
        "stores",
    },
    "cli": {
        "access",
        "broadcast",
        "commands",
        "decoders",  # `send` takes messages in every encoding
        "diagnostics",
        "flask",
        "ingest",
        "outbox",
        "runtime",
        "server",
        "sources",
        "stores",
    },
}
MOST_AT_THE_TOP = 18
FACADE = ""  # ``statecast`` itself names what is public, and imports it at its first use


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), ast.parse(file.read_text())


def imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """The modules of the package that this one imports, without the package's name."""
    for node in ast.walk(tree):
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


def room(module: str) -> str:
    return module.split(".")[0]


def forbidden(importer: str, target: str) -> bool:
    here, there = room(importer), room(target)
    if here == there or there in VOCABULARY or FACADE in (here, there) or here == "__main__":
        return False
    return there not in ARROWS.get(here, set())


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """The groups of nodes that reach each other."""
    sorter = TopologicalSorter(arrows)
    found = []
    while True:
        try:
            sorter.prepare()
        except CycleError as error:
            circle = set(error.args[1])
            found.append(circle)
            arrows = {
                node: targets - circle if node in circle else targets
                for node, targets in arrows.items()
            }
            sorter = TopologicalSorter(arrows)
        else:
            return found


def test_rooms_import_only_along_the_arrows() -> None:
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


def test_the_arrows_point_one_way() -> None:
    assert not circles(ARROWS)


def test_no_module_imports_itself_through_others() -> None:
    trees = dict(modules())
    arrows = {name: set(imported(tree, set(trees))) - {name} for name, tree in trees.items()}
    assert not circles(arrows)


def test_the_rule_of_the_arrows_bites() -> None:
    assert forbidden("stores.sqlite.store", "broadcast")
    assert forbidden("broadcast.broadcaster", "ingest.consumer")
    assert forbidden("realtime.hub", "stores.contract")
    assert not forbidden("ingest.pipeline", "stores.contract")
    assert not forbidden("web.api", "decoders.plain")
    assert not forbidden("stores.sqlite.store", "stores.sqlite.driver")
    tree = ast.parse(
        "from statecast import model\nif TYPE_CHECKING:\n  from statecast import cli\n"
        "import statecast.web.api"
    )
    assert set(imported(tree, {"model", "cli"})) == {"model", "cli", "web.api"}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    assert not circles({"a": {"b"}, "b": {"c"}, "c": set()})


def test_class_names_are_unique() -> None:
    """One word, one thing: a name that two classes share means two things."""
    names = Counter(
        node.name
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1]


def test_a_store_in_memory_needs_no_sqlite() -> None:
    trees = dict(modules())
    seen, waiting = set(), ["stores.memory"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += imported(trees[name], set(trees))
    assert not [name for name in seen if name.startswith("stores.sqlite")]


def test_few_modules_lie_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_AT_THE_TOP


# The page script, from the ground up: what is public, what knows elements, the parts of a page,
# and the entries, one per kind of page. A module imports from its own layer and from those below.
SCRIPTS = PACKAGE / "web" / "static"
CLIENT = {
    *("ages", "board", "connection", "event-stream", "live-address", "own", "statecast"),
    *("health-report", "state-item", "stream-slot", "tables", "board-types", "words"),
    *("command-outbox", "command-types"),
}
OWN_PAGE = {
    *("binding", "binding-format", "binding-picture", "binding-target", "first-states"),
    *("nearest-name", "staleness"),
}
"""Of ``bind``."""
ELEMENTS = {"dom", "time-element"}
ENTRIES = {
    *("bind", "device-page", "list-page", "operator-page", "page", "share-page", "waiting-page"),
}


def script_imports() -> dict[str, set[str]]:
    """Per module of the page script what it imports: at once, later, or only as types."""
    mentions = re.compile(r"""["'`]\./([\w-]+)\.js""")
    return {path.stem: set(mentions.findall(path.read_text())) for path in SCRIPTS.glob("*.js")}


def script_layer(module: str) -> int:
    layers = [CLIENT, ELEMENTS, ENTRIES]
    places = {name: place for place, names in zip((0, 1, 3), layers) for name in names}
    return places.get(module, 2)


def test_the_page_script_has_no_circle() -> None:
    imports = script_imports()
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle
    states = {"board", "event-stream", "live-address", "board-types"}
    assert imports["connection"] == states | {"command-outbox", "command-types", "health-report"}
    assert set().union(*imports.values()) <= set(imports)


def test_the_page_script_imports_only_downwards() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, targets in script_imports().items()
        for target in targets
        if script_layer(target) > script_layer(module)
    ]
    assert not wrong, "\n".join(wrong)
    # a page of your own loads nothing that only our own pages need
    for module in ("bind", *OWN_PAGE):
        assert script_imports()[module] <= CLIENT | OWN_PAGE, module


def test_the_page_script_can_be_read() -> None:
    for path in [*SCRIPTS.iterdir(), *(PACKAGE / "web" / "templates").iterdir()]:
        text = path.read_text()
        long = [number for number, line in enumerate(text.splitlines(), 1) if len(line) > 100]
        assert not long, f"{path.name}: longer than 100 columns: {long}"
        assert "export let" not in text, path.name


def test_no_line_is_longer_than_100_columns() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > 100
    ]
    assert not long, "\n".join(long)


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
        *(path for path in ROOT.iterdir() if path.name != ".git"),
        *(inner for folder in folders for inner in (ROOT / folder).rglob("*")),
    ]:
        made = {"__pycache__", "node_modules", "vendor"} & set(path.parts)
        if (
            path.is_file()
            and path.name != ".git"  # of a worktree: it names the clone
            and not made
            and path.suffix not in (".png", ".pyc", ".db", ".db-wal", ".db-shm")
        ):
            yield path


def test_no_file_is_tied_to_one_machine_or_registry() -> None:
    """Which registry serves the packages, and where a clone lies, is each machine's own affair."""
    hosts = (
        r"\b(?:registry|files|deb|security|index)\.(?:npmjs|yarnpkg|pythonhosted|debian)\b"
        r"|\bpypi\.\w"
    )
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
    """Each public name has a heading of its own, which begins with the name in backticks:

    ### `Live(app, ...)`.
    """
    named = set(re.findall(r"^#{2,4} +`(?:statecast\.)?(\w+)", reference(), re.MULTILINE))
    assert named == {name for name in statecast.__all__ if not name.startswith("_")}


def test_every_setting_has_its_line_in_the_docs() -> None:
    reference()
    documents = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    assert not [
        field.name for field in dataclasses.fields(Settings) if f"`{field.name}`" not in documents
    ]


LIBRARIES = {"_get_current_object": "werkzeug's, documented", "_reloader": "checked where imported"}
"""Names with an underscore that ``statecast.socketio`` uses of others."""


def test_flask_socketios_api_stands_on_public_parts() -> None:
    def is_private(name: str) -> bool:
        return name.startswith("_") and not name.startswith("__") and name not in LIBRARIES

    found = []
    for path in sorted((PACKAGE / "socketio").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                    found.append(f"{path.name}:{node.lineno} {node.attr}")
            elif isinstance(node, ast.ImportFrom):
                names = [*(node.module or "").split("."), *(one.name for one in node.names)]
                found += [f"{path.name}:{node.lineno} {name}" for name in names if is_private(name)]
    assert not found, "\n".join(found)
