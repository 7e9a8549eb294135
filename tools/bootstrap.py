"""What the Makefile's targets do, from a clean clone and Python alone.

    python3 -m tools.bootstrap COMMAND [ARGUMENTS]

Each command first installs what it needs into ``.venv``. Arguments go on to the program that the
command is about.
"""

from __future__ import annotations

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(f"Statecast needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")

from collections.abc import Callable
from pathlib import Path

from tools import (
    bare,
    flask_socketio,
    foreground,
    javascript,
    lock,
    lowest,
    newest,
    page_script,
    system_parts,
)
from tools.commands import Trouble, run, say
from tools.environment import Environment

ROOT = Path(__file__).resolve().parent.parent

Arguments = list[str]

SEVERAL = ["--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal"]
"""Tests wait for half of their time. Neighbours stay in one process, and share what a module
starts, until another process has nothing left to do. ``-n0`` puts all into one process."""

STYLE_AND_TYPES = {
    "ruff check": ["ruff", "check", "--quiet", "."],
    "ruff format --check": ["ruff", "format", "--check", "--quiet", "."],
    "mypy": ["mypy", "--no-error-summary"],
}


def main(arguments: Arguments) -> int:
    """The exit code: 0 when everything went well."""
    command, *rest = arguments or ["help"]
    if command not in COMMANDS:
        raise Trouble(f"{__doc__}\nCommands: {', '.join(COMMANDS)}.")
    return COMMANDS[command](rest)


def demo(arguments: Arguments) -> int:
    environment = ready()
    return foreground.run([program(environment, "statecast"), "run", "--demo", *arguments])


def huggable(arguments: Arguments) -> int:
    """With Azurite's queues where the tests have installed them, else with embedded ones."""
    environment = ready()
    return foreground.run([environment.python, ROOT / "examples/huggable_cloud/run.py", *arguments])


def examples(arguments: Arguments) -> int:
    """``ready`` has Node; the scripts are copied with its packages."""
    ready("test")
    javascript.ensure(ROOT)
    return 0 if javascript.find(ROOT) else 1


def check(arguments: Arguments) -> int:
    environment = ready("test")
    return report(steps(environment, STYLE_AND_TYPES | page_script.checks(ROOT)))


def format_code(arguments: Arguments) -> int:
    """The order of the imports first, since it may change where lines break."""
    imports = ["ruff", "check", "--quiet", "--select", "I", "--fix", "."]
    commands = {"imports": imports, "ruff format": ["ruff", "format", "--quiet", "."]}
    environment = ready("test")
    return report(steps(environment, commands | page_script.formats(ROOT)))


def test(arguments: Arguments) -> int:
    """pytest last and in any case: its closing line is what people look for."""
    environment = ready_to_test()
    checks = STYLE_AND_TYPES | page_script.checks(ROOT)
    return report(steps(environment, checks | {"pytest": ["pytest", *SEVERAL, *arguments]}))


def test_one(arguments: Arguments) -> int:
    return report(steps(ready_to_test(), {"pytest": ["pytest", *arguments]}))


def fuzz_api(arguments: Arguments) -> int:
    """Not as in ``make test``: many requests for each route of REST, other ones each time."""
    environment = ready_to_test()
    os.environ.setdefault("TEST_STATECAST_FUZZ_EXAMPLES", "500")
    return report(
        steps(environment, {"pytest": ["pytest", "tests/system/test_api_fuzz.py", *arguments]})
    )


def drill(arguments: Arguments) -> int:
    """Not as in ``make test``: for minutes, with hundreds of viewers."""
    environment = ready_to_test()
    os.environ.setdefault("TEST_STATECAST_MESSAGES", "100000")
    os.environ.setdefault("TEST_STATECAST_VIEWERS", "300")
    files = ["tests/system/test_drill.py", "tests/system/test_failover.py"]
    return report(steps(environment, {"pytest": ["pytest", "-s", *files, *arguments]}))


def test_newest(arguments: Arguments) -> int:
    ready_to_test()  # what the tests use beside the Python packages
    return 0 if newest.test(ROOT, arguments) else 1


def test_lowest(arguments: Arguments) -> int:
    ready_to_test()
    return 0 if lowest.test(ROOT, arguments) else 1


def test_container(arguments: Arguments) -> int:
    """Outside of ``.venv``: the bare Debian has Python alone."""
    return 0 if run([sys.executable, "-m", "tools.container", *arguments], folder=ROOT) else 1


def coverage(arguments: Arguments) -> int:
    """Of what runs in the tests' own process; a server that a test starts is not measured."""
    environment = ready_to_test("coverage")
    commands = {
        "pytest": ["coverage", "run", "--branch", "--source", "statecast", "-m", "pytest"],
        "coverage": ["coverage", "report", "--skip-covered", "--show-missing"],
    }
    commands["pytest"] += arguments
    return report(steps(environment, commands))


def bench(arguments: Arguments) -> int:
    environment = ready_to_test("bench")
    javascript.ensure(ROOT, javascript.BENCHMARKS)
    command = [str(environment.python), "-m", "benchmarks", *arguments]
    return 0 if run(command, folder=ROOT) else 1


def dist(arguments: Arguments) -> int:
    command = [str(ready("test", "release").python), "-m", "tools.dist", *arguments]
    return 0 if run(command, folder=ROOT) else 1


def inventory(task: str, *groups: str) -> int:
    command = [str(ready(*groups).python), "-m", "tools.inventory", task]
    return 0 if run(command, folder=ROOT) else 1


def audit(arguments: Arguments) -> int:
    return inventory("audit", "audit")


def sbom(arguments: Arguments) -> int:
    return inventory("sbom", "release")


def platforms(arguments: Arguments) -> int:
    return inventory("platforms", "lock")


def resolve(arguments: Arguments) -> int:
    lock.resolve(ROOT, Environment(ROOT).uv_for_the_lock())
    return 0


def system_deps(arguments: Arguments) -> int:
    system_parts.ensure()
    return 0


COMMANDS: dict[str, Callable[[Arguments], int]] = {
    "run": demo,
    "test": test,
    "test-one": test_one,
    "fuzz-api": fuzz_api,
    "drill": drill,
    "test-newest": test_newest,
    "test-lowest": test_lowest,
    "test-container": test_container,
    "test-bare": bare.main,
    "check": check,
    "format": format_code,
    "coverage": coverage,
    "bench": bench,
    "dist": dist,
    "audit": audit,
    "sbom": sbom,
    "platforms": platforms,
    "lock": resolve,
    "huggable": huggable,
    "examples": examples,
    "system-deps": system_deps,
}


def ready(*groups: str) -> Environment:
    environment = Environment(ROOT)
    environment.ensure(*groups)
    return environment


def ready_to_test(*groups: str) -> Environment:
    """A test that misses something says so itself."""
    environment = ready("test", *groups)
    system_parts.ensure_or_tell()
    javascript.ensure(ROOT)
    javascript.ensure(ROOT, javascript.AZURITE)
    flask_socketio.ensure(environment)
    return environment


def program(environment: Environment, name: str) -> Path:
    """A program of the environment by its name; a path stays as it is."""
    return environment.folder / "bin" / name


def steps(environment: Environment, commands: dict[str, list[str]]) -> list[str]:
    """Does all of them, and names those that failed: one run tells everything that is wrong."""
    failed = []
    for name, (name_of_program, *options) in commands.items():
        say(f"== {name}")
        if not run([program(environment, name_of_program), *options], folder=ROOT):
            failed.append(name)
    return failed


def report(failed: list[str]) -> int:
    if failed:
        say(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)
