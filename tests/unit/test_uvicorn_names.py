"""The inner names of uvicorn: the table is complete, and a missing name is one sentence."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from statecast.errors import UnsupportedLibrary
from statecast.server import http_protocol, server, uvicorn_names
from statecast.server.uvicorn_names import FlowControl, HttpToolsProtocol, RequestResponseCycle

ROOT = Path(__file__).resolve().parent.parent.parent
HIDE_ONE = (
    "from uvicorn.protocols.http import httptools_impl\n"
    "httptools_impl.HttpToolsProtocol._unset_keepalive = (\n"
    "    httptools_impl.HttpToolsProtocol.__dict__['_unset_keepalive_if_required'])\n"
    "del httptools_impl.HttpToolsProtocol._unset_keepalive_if_required\n"
    "for name, value in list(vars(httptools_impl.HttpToolsProtocol).items()):\n"
    "    if hasattr(value, '__code__'):\n"
    "        names = tuple(name.replace('_unset_keepalive_if_required', '_unset_keepalive')\n"
    "                      for name in value.__code__.co_names)\n"
    "        value.__code__ = value.__code__.replace(co_names=names)\n"
)
SERVE = (
    "from statecast.cli.main import main\n"
    "main(['run', '--store', 'memory:', '--port', '0'], prog_name='statecast')\n"
)


def names(owner: type) -> set[str]:
    return set(uvicorn_names.NAMES[owner].split())


def test_nothing_is_missing_here() -> None:
    assert uvicorn_names.missing(uvicorn_names.NAMES) == []
    uvicorn_names.check()


def test_a_missing_name_is_found() -> None:
    assert uvicorn_names.missing({FlowControl: "resume_reading no_such_name"}) == [
        "FlowControl.no_such_name"
    ]


def test_a_missing_name_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(uvicorn_names.NAMES, FlowControl, "gone")
    with pytest.raises(UnsupportedLibrary) as error:
        uvicorn_names.check()
    assert str(error.value) == (
        f"Statecast cannot serve with uvicorn {uvicorn.__version__}: it lacks FlowControl.gone; "
        f"install a version that has them (pip install 'uvicorn=={uvicorn_names.TESTED}')."
    )


@pytest.mark.parametrize(
    ("hidden", "name"),
    [
        (HIDE_ONE, "HttpToolsProtocol._unset_keepalive_if_required"),
        (
            "import sys; sys.modules['uvicorn.protocols.http.httptools_impl'] = None\n",
            "uvicorn.protocols.http.httptools_impl",
        ),
    ],
)
def test_the_program_ends_with_that_sentence(hidden: str, name: str) -> None:
    """A name is renamed, or a module: no traceback, and status 1."""
    ended = subprocess.run(
        [sys.executable, "-c", hidden + SERVE], capture_output=True, text=True, timeout=60
    )
    assert ended.stderr.startswith("Error: Statecast cannot serve with uvicorn ")
    assert f"it lacks {name}; " in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert (ended.returncode, ended.stdout) == (1, "")


def test_the_tested_version_is_the_locked_one() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text()
    locked = re.findall(r"^uvicorn==(\S+)", lock, re.MULTILINE)
    assert locked == [uvicorn_names.TESTED]


def test_the_table_is_true_of_instances() -> None:
    """The check at start reads the code of the classes; these are objects."""

    class Config:
        loaded, loaded_app, ws_protocol_class, root_path, asgi_version = True, None, None, "", "3.0"
        limit_concurrency, timeout_keep_alive, reset_contextvars = None, 5, False

    loop = asyncio.new_event_loop()
    protocol: Any = HttpToolsProtocol(Config(), ServerState(), {}, loop)  # type: ignore[arg-type]
    loop.close()
    protocol.on_message_begin()
    assert names(HttpToolsProtocol) <= {*dir(protocol)}
    assert (protocol.url, protocol.headers) == (b"", [])
    assert protocol.scope["headers"] is protocol.headers
    assert names(ServerState) <= {*dir(ServerState())}
    config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
    assert names(uvicorn.Server) - {"lifespan", "servers"} <= {*dir(uvicorn.Server(config))}
    assert "shutdown" in uvicorn.Server._serve.__code__.co_names


def used(code: Any, receivers: set[str]) -> set[str]:
    """The attributes of ``receivers`` ("self", "self.cycle") in the code, but for its own."""
    found, own = set(), set()
    for node in ast.walk(ast.parse(inspect.getsource(code))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            own.add(ast.unparse(node.target).removeprefix("self."))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in receivers:
            found.add(node.attr)
            if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
                own.add(node.attr)
    own -= {name for listed in uvicorn_names.NAMES.values() for name in listed.split()}
    return found - own


def test_the_table_names_all_that_the_code_uses() -> None:
    cycles = {"cycle", "self.cycle", "self._answering"}
    assert used(http_protocol.LimitedHttpProtocol, {"self", "super()"}) <= names(HttpToolsProtocol)
    assert used(http_protocol, cycles) <= names(RequestResponseCycle)
    assert used(http_protocol, {"self.flow"}) <= names(FlowControl)
    assert used(server, {"self.server_state"}) <= names(ServerState)
    assert used(server.Server, {"self", "super()"}) - {"__init__"} <= names(uvicorn.Server)


def test_the_table_names_nothing_else() -> None:
    text = inspect.getsource(http_protocol)
    for owner in (HttpToolsProtocol, RequestResponseCycle, FlowControl):
        assert not [name for name in names(owner) if not re.search(rf"\b{name}\b", text)]
