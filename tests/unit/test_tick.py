"""Pauses after deliveries: none after a quiet moment, up to 20 ms while changes stream."""

from __future__ import annotations

import pytest

from statecast.broadcast.tick import LONGEST, Tick


class Feed:
    """A feed that delivers in no time, and reads what comes during a pause after it."""

    def __init__(self) -> None:
        self.tick = Tick()
        self.now = 0.0

    def pauses(self, between: float, changes: int) -> list[float]:
        """Let changes come at even intervals; the pause after each delivery, in ms."""
        found = []
        come = [self.now + between * number for number in range(1, changes + 1)]
        while come:
            self.now = max(self.now, come[0])
            come = [at for at in come if at > self.now]
            pause = self.tick.delivered(self.now, self.now)
            self.now += pause
            found.append(round(pause * 1000, 6))
        return found


@pytest.mark.parametrize(
    ("between", "changes", "pauses"),
    [
        (1.0, 3, [0, 0, 0]),
        (0.025, 4, [0, 0, 0, 0]),  # 40 a second
        (0.01, 4, [0, 1, 2, 4]),  # 100 a second
        (0.0001, 1000, [0, 1, 2, 4, 8, 16, 20, 20, 20, 20]),  # 10,000 a second
    ],
)
def test_pauses_grow_while_changes_come_faster_than_ticks(
    between: float, changes: int, pauses: list[float]
) -> None:
    feed = Feed()
    feed.now = 100.0
    assert feed.pauses(between, changes)[: len(pauses)] == pauses


def test_after_a_burst_the_first_change_is_delivered_at_once_and_pauses_end() -> None:
    # given a burst that made the tick long
    feed = Feed()
    assert feed.pauses(0.0001, 1000)[-1] == LONGEST * 1000
    # when it is quiet for a moment, then there is no pause any more
    assert feed.pauses(0.05, 3) == [0, 0, 0]


def test_a_slow_delivery_is_no_quiet_moment() -> None:
    tick = Tick()
    # given a loop that needs 30 ms for each delivery, and changes that wait for it meanwhile
    assert tick.delivered(1.0, 1.03) == 0.0
    assert tick.delivered(1.03, 1.06) == 0.001
    assert tick.delivered(1.061, 1.091) == 0.002
