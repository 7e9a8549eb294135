"""What a signal makes readable."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from statecast.server.signal_wakeup import SignalWakeup


def readable(wakeup: SignalWakeup, seconds: float) -> bool:
    return bool(select.select([wakeup.socket], [], [], seconds)[0])


def test_the_end_of_a_child_and_a_signal_end_a_wait() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with SignalWakeup() as wakeup:
            # given nothing that happened
            assert not readable(wakeup, 0)
            # when a child ends, then a wait does
            child = subprocess.Popen([sys.executable, "-S", "-c", ""])
            assert readable(wakeup, 20)
            assert child.wait(20) == 0
            # and at a signal that has a handler
            wakeup.clear()
            assert not readable(wakeup, 0)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert readable(wakeup, 20)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_more_signals_than_the_socket_holds_lose_nothing() -> None:
    with SignalWakeup() as wakeup:
        for _ in range(10_000):
            wakeup._written.send(b"x") if select.select([], [wakeup._written], [], 0)[1] else None
        assert readable(wakeup, 0)
        wakeup.clear()
        assert not readable(wakeup, 0)


def test_what_was_set_before_is_set_again() -> None:
    before = signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)
    with SignalWakeup():
        assert signal.getsignal(signal.SIGCHLD) != before[0]
    assert signal.getsignal(signal.SIGCHLD) == before[0]
    assert signal.set_wakeup_fd(before[1]) == -1
