"""Calls from threads onto a loop: their order, their slices, and their bound."""

from __future__ import annotations

import threading

import pytest

from statecast.realtime import loop_calls
from statecast.realtime.loop_calls import CALL_BYTES, SLICE, LoopCalls
from tests.fakes.fake_loop import FakeLoop


def started() -> tuple[LoopCalls, FakeLoop]:
    calls, loop = LoopCalls(), FakeLoop()
    calls.start(loop)  # type: ignore[arg-type]
    return calls, loop


def on_a_thread(*steps: tuple[LoopCalls, list[int], int, int]) -> None:
    def run() -> None:
        for calls, made, number, size in steps:
            calls.post(made.append, number, size=size)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_calls_keep_their_order_and_wake_the_loop_once() -> None:
    # given a thread that makes three calls
    calls, loop = started()
    made: list[int] = []
    on_a_thread(*((calls, made, number, 0) for number in range(3)))
    assert made == []

    # when the loop takes its one wake-up, then all are made
    loop.take_call()
    assert made == [0, 1, 2]
    assert loop._calls.empty()


def test_a_call_on_the_loops_own_thread_is_made_at_once() -> None:
    calls, _ = started()
    made: list[int] = []
    assert calls.post(made.append, 1)
    assert made == [1]


def test_without_a_loop_no_call_is_made() -> None:
    assert not LoopCalls().post(print)


def test_a_turn_of_the_loop_sends_one_slice() -> None:
    # given calls that together carry three slices
    calls, loop = started()
    made: list[int] = []
    third = SLICE // 3
    on_a_thread(*((calls, made, number, third) for number in range(9)))

    # when the loop turns, then it makes those of one slice, and goes on in its next turn
    loop.take_call()
    assert made == [0, 1, 2]
    call, arguments = loop.soon.pop()
    call(*arguments)
    assert made == [0, 1, 2, 3, 4, 5]
    loop.settle()
    assert made == list(range(9))


def test_a_call_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    calls, loop = started()
    made: list[int] = []

    def run() -> None:
        calls.post([].pop)
        calls.post(made.append, 1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    loop.take_call()
    assert made == [1]
    assert "a call of the application failed" in caplog.text


def test_a_thread_that_is_too_fast_waits_for_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a buffer that is full
    monkeypatch.setattr(loop_calls, "MAX_BYTES", 10 * CALL_BYTES)
    calls, loop = started()
    made: list[int] = []
    on_a_thread(*((calls, made, number, 0) for number in range(11)))

    # when a thread makes one more call, then it waits until the loop has made some
    thread = threading.Thread(target=calls.post, args=(made.append, 11))
    thread.start()
    loop.take_call()
    thread.join(10)
    assert not thread.is_alive()
    loop.take_call()
    assert made == list(range(12))


def test_a_loop_that_is_stuck_holds_no_thread_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_calls, "MAX_BYTES", 0)
    monkeypatch.setattr(loop_calls, "LONGEST_WAIT", 0.01)
    calls, _ = started()
    answers: list[bool] = []

    def run() -> None:
        answers.extend(calls.post(print) for _ in range(2))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert answers == [True, False]


def test_after_the_end_of_the_loop_each_call_says_at_once_that_it_is_not_made() -> None:
    # given a loop that was closed
    class Closed(FakeLoop):
        def call_soon_threadsafe(self, *arguments: object) -> None:
            raise RuntimeError("Event loop is closed")

    calls, answers = LoopCalls(), list[object]()
    calls.start(Closed())  # type: ignore[arg-type]

    # when a thread goes on, then every call is refused, not only the first, and none waits
    def run() -> None:
        answers.extend(calls.post(print) for _ in range(3))
        answers.append(calls.ask(lambda: "answer"))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert answers == [False, False, False, None]


def test_a_call_on_the_loops_own_thread_overtakes_none_that_waits() -> None:
    # given a coroutine that had a thread make calls, of which some still wait
    calls, loop = started()
    made: list[int] = []
    on_a_thread(*((calls, made, number, SLICE) for number in range(3)))

    # when it makes one itself, then that comes after them
    assert calls.post(made.append, 3)
    assert made == []
    loop.take_call()
    loop.settle()
    assert made == [0, 1, 2, 3]


def test_a_question_on_the_loops_own_thread_sees_the_calls_before_it() -> None:
    calls, _ = started()
    made: list[int] = []
    on_a_thread(*((calls, made, number, SLICE) for number in range(3)))
    assert calls.ask(lambda: list(made)) == [0, 1, 2]
