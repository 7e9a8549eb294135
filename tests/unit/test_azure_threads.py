"""Threads that carry out requests: as many as needed, never more than allowed, and nobody waits for them at the end."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from statecast.sources.azure_queue.hands import Hands

SHORT = 20


def test_tasks_run_beside_each_other_up_to_the_count() -> None:
    hands, gate = Hands(3, "test"), threading.Event()
    started = [threading.Event() for _ in range(4)]

    def task(number: int) -> int:
        started[number].set()
        assert gate.wait(SHORT)
        return number

    futures = [hands.submit(lambda number=number: task(number)) for number in range(4)]  # type: ignore[misc]
    assert all(event.wait(SHORT) for event in started[:3])
    assert not started[3].is_set()
    assert hands.busy == 4
    gate.set()
    assert [future.result(SHORT) for future in futures] == [0, 1, 2, 3]
    assert hands.busy == 0
    hands.close()


def test_an_error_is_the_answer() -> None:
    hands = Hands(1, "test")
    with pytest.raises(ZeroDivisionError):
        hands.submit(lambda: 1 / 0).result(SHORT)
    assert hands.submit(lambda: "goes on").result(SHORT) == "goes on"
    hands.close()


def test_one_thread_does_what_one_can() -> None:
    hands = Hands(8, "test")
    for number in range(5):
        assert hands.submit(lambda number=number: number).result(SHORT) == number  # type: ignore[misc]
    assert len(hands._threads) == 1
    hands.close()


def test_a_request_without_an_answer_does_not_hold_up_the_end_of_the_process() -> None:
    code = (
        "import threading; from statecast.sources.azure_queue.hands import Hands\n"
        "Hands(1, 'test').submit(threading.Event().wait)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=SHORT)
