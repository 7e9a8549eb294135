"""The timer wheel: each target is asked in time, at most one tick late."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from statecast.realtime.timer_wheel import TimerWheel
from tests.fakes.fake_loop import FakeLoop

TICK = 0.25


def started(loop: FakeLoop) -> TimerWheel:
    wheel = TimerWheel(TICK)
    wheel.start(loop)  # type: ignore[arg-type]
    return wheel


class Sleeper:
    """Has deadlines at given times."""

    def __init__(self, loop: FakeLoop, times: list[float]) -> None:
        self.loop = loop
        self.times = times
        self.woken: list[float] = []
        self.bucket = -1

    def on_timeout(self, now: float) -> float | None:
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
    loop = FakeLoop()
    wheel = started(loop)
    sleepers = [Sleeper(loop, sorted(loop.now + delay for delay in some)) for some in delays]
    for sleeper in sleepers:
        wheel.schedule(sleeper, sleeper.times[0])
    assert len(wheel) == len(sleepers)

    # when time passes
    while loop.now < 1_201:
        loop.advance(step)

    # then each was asked within a tick of each deadline, and the wheel stands still
    for sleeper in sleepers:
        assert not sleeper.times
        assert all(late <= TICK + 1e-6 for late in sleeper.woken)
    assert len(wheel) == 0
    assert not loop.timers


def test_an_earlier_deadline_replaces_a_later_one_and_a_removed_target_is_not_asked() -> None:
    loop = FakeLoop()
    wheel = started(loop)
    first, second = Sleeper(loop, [loop.now + 1]), Sleeper(loop, [loop.now + 1])
    wheel.schedule(first, loop.now + 20)
    wheel.schedule(first, loop.now + 1)
    wheel.schedule(second, loop.now + 1)
    wheel.remove(second)
    wheel.remove(second)
    loop.advance(2)
    assert len(first.woken) == 1
    assert second.woken == []


def test_a_later_deadline_costs_nothing_until_the_earlier_one() -> None:
    # given a target whose deadline moves back
    loop = FakeLoop()
    wheel = started(loop)
    sleeper = Sleeper(loop, [loop.now + 20])
    wheel.schedule(sleeper, loop.now + 1)
    bucket = sleeper.bucket
    wheel.schedule(sleeper, loop.now + 20)

    # then it stays where it is, and is asked for its new deadline when the old one comes
    assert sleeper.bucket == bucket
    assert len(wheel) == 1
    loop.advance(2)
    assert sleeper.woken == []
    assert sleeper.bucket not in (bucket, -1)
    loop.advance(19)
    assert len(sleeper.woken) == 1


def test_a_loop_that_was_busy_does_what_it_owes_at_once() -> None:
    # given a deadline in a minute, and a loop that hangs for an hour
    loop = FakeLoop()
    wheel = started(loop)
    sleeper = Sleeper(loop, [loop.now + 60, loop.now + 7_000])
    wheel.schedule(sleeper, sleeper.times[0])
    loop.now += 3_600

    # when it goes on
    loop.advance(0)

    # then the deadline is met at once and the far one is still to come
    assert len(sleeper.woken) == 1
    assert sleeper.bucket >= 0
    loop.advance(3_500)
    assert len(sleeper.woken) == 2
