"""Signals: the first asks, the second ends a process; so each test has a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from child_process import started

pytestmark = pytest.mark.bare

# Like a server, the process wakes up again and again: Python handles a signal that comes just
# before a wait only at the next wake-up. Nothing is printed in a handler, for the signal may have
# come while something was being printed.
STORY = """
import os, signal, sys, threading
from statecast.server.shutdown import ShutdownSignals

def say(word):
    os.write(1, word.encode() + b"\\n")

def wait(event):
    while not event.wait(0.02):
        pass

asked, never = threading.Event(), threading.Event()
with ShutdownSignals(asked.set, {limit}, lambda: say("last words")) as signals:
    say("ready")
    {serve}
    sys.exit(signals.status or 0)
"""


def run(serve: str, *numbers: int, limit: float = 20) -> tuple[int, str]:
    """Send the signals one by one, each when the process says that it has handled the last."""
    command = [sys.executable, "-c", STORY.format(serve=serve, limit=limit)]
    with started(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for number in numbers:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    return process.returncode, rest


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_the_first_signal_asks_and_the_status_tells_which(number: int, status: int) -> None:
    assert run("wait(asked)", number) == (status, "")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_of_any_kind_ends_at_once(second: int) -> None:
    serve = 'wait(asked); say("ready"); wait(never)'
    assert run(serve, signal.SIGTERM, second) == (128 + second, "last words\n")


def test_what_takes_too_long_is_ended() -> None:
    status, said = run("wait(never)", signal.SIGTERM, limit=0.2)
    assert (status, said) == (143, "last words\n")


def test_no_signal_no_status() -> None:
    assert run("pass") == (0, "ready\n")


def test_a_process_that_ignores_hangups_goes_on_doing_so() -> None:
    serve = "os.kill(os.getpid(), signal.SIGHUP); assert not asked.is_set()"
    story = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + STORY.format(
        serve=serve, limit=5
    )
    assert (
        subprocess.run([sys.executable, "-c", story], capture_output=True, timeout=30).returncode
        == 0
    )


def test_afterwards_signals_are_whose_they_were_before() -> None:
    from statecast.server.shutdown import ShutdownSignals

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with ShutdownSignals(lambda: None, 20) as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.status == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
