"""The wheel: everybody is asked at their time, never early by more than they allow, never late by more than a beat."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from paper import PaperLoop

from statecast.realtime.timer_wheel import Wheel

BEAT = 0.25


class Sleeper:
    """Wants to be asked at given times."""

    def __init__(self, loop: PaperLoop, times: list[float]) -> None:
        self.loop = loop
        self.times = times
        self.woken: list[float] = []
        self.bucket = -1

    def turn(self, now: float) -> float | None:
        while self.times and self.times[0] <= now:
            self.woken.append(now - self.times.pop(0))
        return self.times[0] if self.times else None


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 200), min_size=1, max_size=5), min_size=1, max_size=8),
    st.floats(0.1, 30),
)
def test_everybody_is_asked_in_time(delays: list[list[float]], step: float) -> None:
    # given many with deadlines, some beyond a whole turn of the wheel
    loop = PaperLoop()
    wheel = Wheel(loop, BEAT)  # type: ignore[arg-type]
    sleepers = [Sleeper(loop, sorted(loop.now + delay for delay in some)) for some in delays]
    for sleeper in sleepers:
        wheel.put(sleeper, sleeper.times[0])
    assert len(wheel) == len(sleepers)

    # when time passes
    while loop.now < 1_201:
        loop.advance(step)

    # then each was asked within a beat of each deadline, and the wheel stands still
    for sleeper in sleepers:
        assert not sleeper.times
        assert all(late <= BEAT + 1e-6 for late in sleeper.woken)
    assert len(wheel) == 0
    assert not loop.timers


def test_a_new_deadline_replaces_the_old_one_and_a_removed_one_is_not_asked() -> None:
    loop = PaperLoop()
    wheel = Wheel(loop, BEAT)  # type: ignore[arg-type]
    first, second = Sleeper(loop, [loop.now + 1]), Sleeper(loop, [loop.now + 1])
    wheel.put(first, loop.now + 20)
    wheel.put(first, loop.now + 1)
    wheel.put(second, loop.now + 1)
    wheel.remove(second)
    wheel.remove(second)
    loop.advance(2)
    assert len(first.woken) == 1
    assert second.woken == []


def test_a_loop_that_was_busy_does_what_it_owes_at_once() -> None:
    # given a deadline in a minute, and a loop that hangs for an hour
    loop = PaperLoop()
    wheel = Wheel(loop, BEAT)  # type: ignore[arg-type]
    sleeper = Sleeper(loop, [loop.now + 60, loop.now + 7_000])
    wheel.put(sleeper, sleeper.times[0])
    loop.now += 3_600

    # when it goes on
    loop.advance(0)

    # then the deadline is met at once and the far one is still to come
    assert len(sleeper.woken) == 1
    assert sleeper.bucket >= 0
    loop.advance(3_500)
    assert len(sleeper.woken) == 2
