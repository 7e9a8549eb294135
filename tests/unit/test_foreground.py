"""Ctrl-C on ``make run``: the program ends as it wants to, and make sees nothing that failed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.bare

ROOT = Path(__file__).resolve().parent.parent.parent

# It takes its signals one by one, so that none can come between a check and a wait.
PROGRAM = """
import signal, sys
signals = {signal.SIGINT, signal.SIGTERM, signal.SIGCONT}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while (number := signal.sigwait(signals)) == signal.SIGCONT:
    print("continued", flush=True)
print("asked to end by", signal.Signals(number).name, flush=True)
sys.exit(int(sys.argv[1]) or 128 + number)
"""

# A session of its own whose controlling terminal is standard input, as a terminal window makes it.
SESSION = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """``make demo`` in a terminal."""

    def __init__(self, keyboard: int, process: subprocess.Popen[bytes]) -> None:
        self.keyboard = keyboard
        self.process = process
        self.shown = ""

    def type(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def read_until(self, words: str) -> None:
        """Ends at these words, or when everything that has the terminal open has ended."""
        while words not in self.shown:
            try:
                self.shown += os.read(self.keyboard, 4096).decode()
            except OSError:  # the other side is closed
                break
        assert words in self.shown, self.shown


@contextmanager
def make(
    folder: Path, status: int, command: Sequence[str] = ("make", "demo")
) -> Iterator[Terminal]:
    """``status`` is the exit code of the program; 0 stands for the one that a shell gives it."""
    (folder / "program.py").write_text(PROGRAM)
    code = (
        "import sys; from tools import foreground; "
        f"sys.exit(foreground.run([sys.executable, 'program.py', '{status}']))"
    )
    (folder / "Makefile").write_text(f'demo:\n\t@{sys.executable} -c "{code}"\n')
    keyboard, screen = pty.openpty()
    variables = os.environ | {"PYTHONPATH": str(ROOT), "LANGUAGE": "C", "LC_ALL": "C"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the make that runs this test
        variables.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION, *command],
        cwd=folder,
        env=variables,
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
    )
    os.close(screen)
    try:
        yield Terminal(keyboard, process)
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)  # hangs up: whatever is left in the session ends


def test_control_c_ends_it_without_an_error(tmp_path: Path) -> None:
    # given the demo, when a person ends it with Ctrl-C
    with make(tmp_path, 0) as terminal:
        terminal.read_until("ready")
        terminal.type(b"\x03")
        terminal.read_until("Stopped.")
        # then the program was asked to end once, and make is content
        assert terminal.process.wait(30) == 0
        assert terminal.shown.count("asked to end by SIGINT") == 1
        assert "Error" not in terminal.shown and "Interrupt" not in terminal.shown


def test_another_failure_is_one(tmp_path: Path) -> None:
    # given a program that ends with another code, then make says so
    with make(tmp_path, 3) as terminal:
        terminal.read_until("ready")
        terminal.type(b"\x03")
        terminal.read_until("Error 3")
        assert terminal.process.wait(30) == 2
        assert "Stopped." not in terminal.shown


def test_control_z_stops_it_until_it_is_continued(tmp_path: Path) -> None:
    # given make below a shell that controls jobs
    with make(tmp_path, 0, ["bash", "--norc", "--noprofile", "-i"]) as terminal:
        terminal.type(b"make demo\n")
        terminal.read_until("ready")
        # when Ctrl-Z stops it, then the shell is back, and continues it with `fg`
        terminal.type(b"\x1a")
        terminal.read_until("[1]+  Stopped")
        terminal.type(b"fg\n")
        terminal.read_until("continued")
        # and Ctrl-C ends it as before
        terminal.type(b"\x03")
        terminal.read_until("Stopped.")
        terminal.type(b"echo status=$?\n")
        terminal.read_until("status=0")


@pytest.mark.parametrize("status", [0, 5])
def test_without_a_terminal_signals_are_passed_on(tmp_path: Path, status: int) -> None:
    # given the program below a supervisor, which has no terminal
    (tmp_path / "program.py").write_text(PROGRAM)
    code = (
        "import sys; from tools import foreground; "
        f"sys.exit(foreground.run([sys.executable, 'program.py', '{status}']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout and process.stdout.readline() == "ready\n"
            # when it is asked to end, then the program decides how
            process.terminate()
            assert process.stdout.readline() == "asked to end by SIGTERM\n"
            assert process.wait(30) == (status or 128 + signal.SIGTERM)
        finally:
            process.kill()
