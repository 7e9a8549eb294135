"""How this program is called: sentences and pages contain commands for people to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

SCRIPT, FLASK = "statecast", "flask"
FLASK_OPTIONS = {"-A", "--app", "-e", "--env-file"}
"""Options of Flask's program that take a value."""


def name() -> str:
    """The words that start this program again, in the folder where it was started.

    ``statecast`` if the shell finds it, else as it was called: ``.venv/bin/statecast`` or
    ``python -m statecast``; in Flask's program ``flask --app myapp statecast``. In another program
    (an app of the user) it is the ``statecast`` that is installed beside the interpreter.
    """
    called = Path(sys.argv[0] if sys.argv else "")
    if called.name == FLASK and (words := _words_of_flask()):
        return shlex.join([FLASK if _is_found(called) else str(_from_here(called)), *words])
    if called.name == "__main__.py" and called.parent.name == SCRIPT:
        return f"{_interpreter()} -m {SCRIPT}"
    if called.stem != SCRIPT:
        called = Path(sys.executable or "").with_name(SCRIPT)
        if not called.exists():
            return f"{_interpreter()} -m {SCRIPT}"
    if _is_found(called):
        return SCRIPT
    return shlex.quote(str(_from_here(called)))


def _words_of_flask() -> list[str]:
    """The words of ``flask --app myapp statecast devices`` up to ``statecast``, if that is it."""
    for place, word in enumerate(sys.argv[1:], 1):
        if word == SCRIPT and sys.argv[place - 1] not in FLASK_OPTIONS:
            return sys.argv[1 : place + 1]
    return []


def _interpreter() -> str:
    return shlex.quote(sys.orig_argv[0] if sys.orig_argv else sys.executable)


def _from_here(path: Path) -> Path:
    """The path relative to the current folder, if it lies below it.

    It is short to type. A store that is named in no command lies in this folder too: in another one
    the command must not be found, or it would make a second store there.
    """
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _is_found(called: Path) -> bool:
    """Whether the shell starts this file for the plain name."""
    found = shutil.which(called.name if called.name == FLASK else SCRIPT)
    try:
        return found is not None and os.path.samefile(found, called)
    except OSError:
        return False
