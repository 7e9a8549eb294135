"""What ``make run``, ``make test``, ``make check`` and ``make bench`` need, from a clean clone and Python alone.

    python3 -m tools.bootstrap run | test [pytest's options] | check | bench

``run`` and ``bench`` only prepare the environment; ``test`` and ``check`` also do what their name says.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):
    sys.exit(f"Statecast needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")

from pathlib import Path

from tools import browser, debian, javascript
from tools.commands import Trouble, run, say
from tools.environment import Environment

ROOT = Path(__file__).resolve().parent.parent

GROUPS = {
    "run": [],
    "check": ["test"],
    "test": ["test"],
    "bench": ["test", "bench"],
    "dist": ["test", "release"],
    "audit": ["audit"],
}
"""Per command the dependency groups it needs; the benchmarks measure in the tests' browser."""

STYLE_AND_TYPES = {
    "ruff check": ["ruff", "check", "--quiet", "."],
    "ruff format --check": ["ruff", "format", "--check", "--quiet", "."],
    "mypy": ["mypy", "--no-error-summary"],
}


def main(arguments: list[str]) -> int:
    """The exit code: 0 when everything went well."""
    command, *rest = arguments or ["help"]
    if command not in GROUPS:
        raise Trouble(str(__doc__))
    environment = Environment(ROOT)
    environment.ensure(*GROUPS[command])
    if command == "check":
        return report(steps(environment, STYLE_AND_TYPES))
    if command in ("test", "bench"):
        install_browser_and_node()
        javascript.ensure(ROOT, javascript.AZURITE)
    if command == "bench":
        javascript.ensure(ROOT, javascript.BENCHMARKS)
    if command == "test":
        # pytest last and in any case: its closing line is what people look for.
        return report(steps(environment, STYLE_AND_TYPES | {"pytest": ["pytest", *rest]}))
    return 0


def install_browser_and_node() -> None:
    """As far as they can be installed here. A test that misses one says so itself."""
    missing = [*browser.packages(), *javascript.packages()]
    if missing and debian.can_install():
        debian.install(missing)
    javascript.ensure(ROOT)


def steps(environment: Environment, commands: dict[str, list[str]]) -> list[str]:
    """Does all of them, and names those that failed: one run tells everything that is wrong."""
    failed = []
    for name, (program, *options) in commands.items():
        say(f"== {name}")
        if not run([environment.folder / "bin" / program, *options], folder=ROOT):
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
