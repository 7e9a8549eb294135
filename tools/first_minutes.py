"""What a newcomer does first: `make run`, send a state, get it, look at the page, Ctrl-C.

    python3 -m tools.first_minutes

Run in a fresh clone. It works with what the programs print and with what the page says, as a person
does; the terminal is a pseudo-terminal.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tools.commands import Trouble, say

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
FIRST_MESSAGE = re.compile(r"in another terminal: (.+?)[\r\n]")
WHERE = r"(Sent to the queue of the store \S+/statecast\.db\.\n)?"
SILENCE_LIMIT = 300
"""Seconds in which a terminal shows something new; the first minute installs packages."""
SEND = (".venv/bin/statecast", "send", "floor2/lamp", "on=true", "brightness=40")
GET = (".venv/bin/statecast", "get", "floor2/lamp")
WATCH = (".venv/bin/statecast", "watch", "floor2/lamp")
SESSION = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); " + (
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


@contextmanager
def terminal(*command: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The program in a terminal of its own; what it shows can be read from the number."""
    keyboard, screen = pty.openpty()
    # As wide as a person's, so that no line is broken.
    fcntl.ioctl(screen, termios.TIOCSWINSZ, (50).to_bytes(2, sys.byteorder) * 2 + bytes(4))
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION, *command],
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    os.close(screen)
    try:
        yield keyboard, process
    except Trouble:
        os.write(keyboard, b"\x03")  # a server would go on without its terminal
        raise
    finally:
        os.close(keyboard)  # hangs up: whatever is left in the session ends
        process.wait()


def read(keyboard: int) -> str:
    """What the terminal shows next; empty at its end.

    Raises: Trouble, when nothing comes: a lane must end.
    """
    if not select.select([keyboard], [], [], SILENCE_LIMIT)[0]:
        raise Trouble(f"`make run` has shown nothing for {SILENCE_LIMIT} s.")
    try:
        shown = os.read(keyboard, 4096).decode(errors="replace")
    except OSError:
        return ""
    sys.stderr.write(shown)
    sys.stderr.flush()
    return shown


def expect(keyboard: int, wanted: re.Pattern[str]) -> str:
    """What is shown up to the end of what is wanted."""
    shown = ""
    while not wanted.search(shown):
        if not (more := read(keyboard)):
            raise Trouble(f"`make run` ended without showing {wanted.pattern!r}.")
        shown += more
    return shown


def told(*command: str) -> str:
    """What a command prints. On its other stream it may say where a message went, and no more."""
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode or not re.fullmatch(WHERE, finished.stderr):
        raise Trouble(f"`{' '.join(command)}` ended with {finished.returncode}: {finished.stderr}")
    return finished.stdout


def wait_until_applied() -> None:
    """Until the server has applied what was sent, which takes its time on a busy machine."""
    with subprocess.Popen(WATCH, stdout=subprocess.PIPE) as watching:
        try:
            assert watching.stdout
            if not select.select([watching.stdout], [], [], SILENCE_LIMIT)[0]:
                raise Trouble(f"`{' '.join(WATCH)}` has shown nothing for {SILENCE_LIMIT} s.")
        finally:
            watching.terminate()


def visit(address: str) -> None:
    """The pages that the demo's address leads to, and the state that was sent."""
    for path, words in (("/", "pillow"), ("/devices/floor2/lamp", "brightness")):
        with urllib.request.urlopen(address + path, timeout=60) as answer:
            if words not in answer.read().decode():
                raise Trouble(f"{path} does not show {words!r}.")


def main() -> int:
    # Port 0: another program on this machine may have 8000, which README names.
    with terminal("make", "run", "ARGS=--port 0") as (keyboard, process):
        shown = expect(keyboard, FIRST_MESSAGE)
        address, first = ADDRESS.search(shown), FIRST_MESSAGE.search(shown)
        if not (address and first):
            raise Trouble("`make run` shows a first message before its address.")
        told("sh", "-c", first[1])  # as it stands there
        told(*SEND)
        wait_until_applied()
        state = told(*GET)
        if "brightness" not in state or "40" not in state:
            raise Trouble(f"`{' '.join(GET)}` shows {state!r}.")
        visit(address[0])
        os.write(keyboard, b"\x03")
        rest = expect(keyboard, re.compile(r"Stopped\.[\r\n]+"))
        while more := read(keyboard):
            rest += more
        if process.wait() or "Error" in rest:
            raise Trouble(f"Ctrl-C ended `make run` with {process.returncode}.")
    say("make run, send, get, the page, Ctrl-C: all as README says.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as exc:
        sys.exit(str(exc))
