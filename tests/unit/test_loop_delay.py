"""How late the loop is, and when a process that did not run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from statecast.broadcast.loop_delay import INTERVAL, LoopDelay

NEVER = float("-inf")


class Loop:
    """A loop and a clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Callable[[], None]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> Any:
        self.timers.append(call)
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def go_on(self, late: float) -> None:
        """The timer comes this much too late."""
        self.now += INTERVAL + late
        self.timers.pop()()


@pytest.mark.parametrize(
    ("late", "resumes", "line"),
    [
        (0.0, False, ""),
        (0.9, False, ""),  # a busy machine
        (1.1, True, ""),
        (2.9, True, ""),
        (3.1, True, "did not run for 3 s"),
        (7200.0, True, "did not run for 7200 s"),  # a laptop that slept
    ],
)
def test_a_process_that_did_not_run_goes_on(
    caplog: pytest.LogCaptureFixture, late: float, resumes: bool, line: str
) -> None:
    loop = Loop()
    delay = LoopDelay(lambda: loop.now)
    delay.start(loop)  # type: ignore[arg-type]
    assert delay.resumed_at == NEVER
    loop.go_on(late)
    assert delay.resumed_at == (loop.now if resumes else NEVER)
    assert delay.longest == pytest.approx(late)
    assert (line in caplog.text) and len(caplog.records) == bool(line)
    # and then it is as before: what was asked since is judged by its own time
    resumed_at = delay.resumed_at
    loop.go_on(0.0)
    assert delay.resumed_at == resumed_at


def test_another_thread_may_go_on_before_the_loop() -> None:
    loop = Loop()
    delay = LoopDelay(lambda: loop.now)
    delay.start(loop)  # type: ignore[arg-type]
    loop.now += 10
    assert delay.resumed_at == loop.now
    # and a loop that has stopped says nothing of the process
    delay.stop()
    loop.now += 10
    assert delay.resumed_at == NEVER
