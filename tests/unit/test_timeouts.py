"""Timeouts of many with one timer."""

from __future__ import annotations

import pytest

from statecast.server.timeouts import TimeoutQueue
from tests.fakes.fake_loop import FakeLoop


class Loop(FakeLoop):
    """One that counts its timers."""

    set = 0

    def call_at(self, when: float, call: object) -> object:  # type: ignore[override]
        self.set += 1
        return super().call_at(when, call)  # type: ignore[arg-type]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_an_entry_times_out_once(loop: Loop) -> None:
    due: list[str] = []
    timeouts: TimeoutQueue[str] = TimeoutQueue(loop, 10.0, due.append)  # type: ignore[arg-type]
    timeouts.add("a")
    loop.advance(4)
    timeouts.add("b")
    timeouts.add("a")  # keeps its deadline
    loop.advance(5.9)
    assert due == []
    loop.advance(0.2)
    assert due == ["a"]
    loop.advance(4)
    assert due == ["a", "b"]
    assert len(timeouts) == 0
    loop.advance(100)
    assert due == ["a", "b"]


def test_a_discarded_entry_does_not_time_out_and_may_be_added_again(loop: Loop) -> None:
    due: list[str] = []
    timeouts: TimeoutQueue[str] = TimeoutQueue(loop, 10.0, due.append)  # type: ignore[arg-type]
    timeouts.add("a")
    timeouts.discard("a")
    timeouts.discard("nobody")
    loop.advance(5)
    timeouts.add("a")
    loop.advance(9)
    assert due == []
    loop.advance(2)
    assert due == ["a"]


def test_an_entry_that_timed_out_may_be_added_again(loop: Loop) -> None:
    due: list[str] = []

    def again(entry: str) -> None:
        due.append(entry)
        timeouts.add(entry)

    timeouts: TimeoutQueue[str] = TimeoutQueue(loop, 10.0, again)  # type: ignore[arg-type]
    timeouts.add("a")
    loop.advance(35)
    assert due == ["a"] * 3


def test_a_thousand_share_a_timer(loop: Loop) -> None:
    due: list[str] = []
    timeouts: TimeoutQueue[str] = TimeoutQueue(loop, 10.0, due.append)  # type: ignore[arg-type]
    for number in range(1_000):
        timeouts.add(str(number))
    assert loop.set == 1
    loop.advance(11)
    assert len(due) == 1_000
    assert loop.set == 1
