"""Waiting for many with one timer."""

from __future__ import annotations

import pytest
from paper import PaperLoop

from statecast.server.timeouts import Patience


class Loop(PaperLoop):
    """One that counts its timers."""

    set = 0

    def call_at(self, when: float, call: object) -> object:  # type: ignore[override]
        self.set += 1
        return super().call_at(when, call)  # type: ignore[arg-type]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_who_waits_is_called_once_when_its_time_is_over(loop: Loop) -> None:
    due: list[str] = []
    patience: Patience[str] = Patience(loop, 10.0, due.append)  # type: ignore[arg-type]
    patience.put("a")
    loop.advance(4)
    patience.put("b")
    patience.put("a")  # keeps its deadline
    loop.advance(5.9)
    assert due == []
    loop.advance(0.2)
    assert due == ["a"]
    loop.advance(4)
    assert due == ["a", "b"]
    assert len(patience) == 0
    loop.advance(100)
    assert due == ["a", "b"]


def test_who_is_dropped_is_not_called_and_may_come_again(loop: Loop) -> None:
    due: list[str] = []
    patience: Patience[str] = Patience(loop, 10.0, due.append)  # type: ignore[arg-type]
    patience.put("a")
    patience.drop("a")
    patience.drop("nobody")
    loop.advance(5)
    patience.put("a")
    loop.advance(9)
    assert due == []
    loop.advance(2)
    assert due == ["a"]


def test_who_is_called_may_wait_again(loop: Loop) -> None:
    due: list[str] = []

    def again(who: str) -> None:
        due.append(who)
        patience.put(who)

    patience: Patience[str] = Patience(loop, 10.0, again)  # type: ignore[arg-type]
    patience.put("a")
    loop.advance(35)
    assert due == ["a"] * 3


def test_a_thousand_share_a_timer(loop: Loop) -> None:
    due: list[str] = []
    patience: Patience[str] = Patience(loop, 10.0, due.append)  # type: ignore[arg-type]
    for number in range(1_000):
        patience.put(str(number))
    assert loop.set == 1
    loop.advance(11)
    assert len(due) == 1_000
    assert loop.set == 1
