"""A program that Ctrl-C ends, and ends well.

make itself ends with an error when the terminal interrupts it. So the program gets the terminal for
itself, as a shell's job does: it is a process group of its own, and the foreground one. Ctrl-C then
reaches the program alone, and make sees a command that succeeded.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.commands import Trouble, say

INTERRUPTED = 128 + signal.SIGINT
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def run(command: Sequence[str | Path]) -> int:
    """The program's exit code; 0 after Ctrl-C, which is how a person ends it."""
    terminal = foreground_terminal()
    try:
        process = subprocess.Popen(
            list(map(str, command)), process_group=None if terminal is None else 0
        )
    except OSError as exc:
        raise Trouble(f"{command[0]} could not be started: {exc}") from exc
    with signals_passed_on_to(process):
        status = process.wait() if terminal is None else wait_as_job(process.pid, terminal)
    if status in (INTERRUPTED, -signal.SIGINT):
        say("Stopped.")
        return 0
    return status if status >= 0 else 128 - status


def foreground_terminal() -> int | None:
    """The terminal that our own process group may hand on, if there is one."""
    try:
        terminal = sys.stdin.fileno()
        return terminal if os.tcgetpgrp(terminal) == os.getpgrp() else None
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def signals_passed_on_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """What ends this process ends the program, which then decides the exit code."""

    def pass_on(number: int, frame: object) -> None:
        # Ctrl-C without a terminal of our own reaches the program directly, being in our group.
        if number != signal.SIGINT:
            process.send_signal(number)

    before = {number: signal.getsignal(number) for number in PASSED_ON}
    for number in PASSED_ON:
        if before[number] != signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_as_job(pid: int, terminal: int) -> int:
    """Waits for the end; Ctrl-Z stops the program and us, and the shell's ``fg`` continues both."""
    give(terminal, pid)
    try:
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                return os.waitstatus_to_exitcode(status)
            give(terminal, os.getpgrp())
            os.killpg(0, signal.SIGTSTP)  # we stop here, and make with us, until `fg`
            give(terminal, pid)
            os.killpg(pid, signal.SIGCONT)
    finally:
        give(terminal, os.getpgrp())


def give(terminal: int, group: int) -> None:
    """Makes a process group the terminal's foreground one; who asks may be in the background."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)
