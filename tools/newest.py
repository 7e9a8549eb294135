"""The server's tests with the newest versions of all that the package depends on.

The lock fixes versions, and ``pyproject.toml`` has no narrow upper bounds: what a user installs
tomorrow may be newer than anything tried here. The environment is made for this run and removed.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from tools.commands import Trouble, insist, run, say
from tools.environment import Environment

TESTS = (
    *("http_errors", "http_protocol", "connection_limits", "readiness", "router", "server"),
    *("uvicorn_names", "websocket_connection", "wsgi", "wsgi_environ", "flask", "polling", "sse"),
)
SYSTEM_TESTS = ("hostile_peers", "shutdown", "stock_clients", "events", "frozen_readers")
PATHS = (
    *(f"tests/unit/test_{name}.py" for name in TESTS),
    *(f"tests/system/test_{name}.py" for name in SYSTEM_TESTS),
)

VERSIONS = """
import sys
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in sys.argv[1:]), sep=", ", flush=True)
"""


def test(root: Path, arguments: Sequence[str]) -> bool:
    """Whether they pass. Raises: Trouble, when the newest versions cannot be installed."""
    return test_with(root, dependencies(root), arguments or PATHS)


def test_with(root: Path, requirements: Sequence[str], arguments: Sequence[str]) -> bool:
    """The tests in an environment of the lock, where ``requirements`` take the place of its own."""
    with tempfile.TemporaryDirectory(prefix="statecast-newest-") as folder:
        environment = Environment(root, folder=Path(folder) / "venv")
        environment.make()
        environment.install(frozenset({"build", "run", "test"}))
        replace(environment, requirements)
        environment.install_statecast()
        say("== pytest")
        command = [str(environment.python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        return run([*command, *arguments], folder=root)


def replace(environment: Environment, requirements: Sequence[str]) -> None:
    command = [*environment.installer(), "install", "--quiet", "--upgrade", *requirements]
    if not insist(command, environment.variables):
        raise Trouble("These versions could not be installed; the reason stands above.")
    names = [re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements]
    run([environment.python, "-c", VERSIONS, *names])


def dependencies(root: Path) -> list[str]:
    """The names alone, so that the bounds of ``pyproject.toml`` do not apply."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in project["dependencies"]]
