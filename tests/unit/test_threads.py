"""The pool of threads: as many as needed, never more than allowed, and no delay of the exit."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial

import pytest

from statecast.threads import ThreadPool

SHORT = 20


def test_tasks_run_beside_each_other_up_to_the_count() -> None:
    pool, gate = ThreadPool(3, name="test"), threading.Event()
    started = [threading.Event() for _ in range(4)]

    def task(number: int) -> int:
        started[number].set()
        assert gate.wait(SHORT)
        return number

    futures = [pool.submit(partial(task, number)) for number in range(4)]
    assert all(event.wait(SHORT) for event in started[:3])
    assert not started[3].is_set()
    assert pool.pending == 4
    gate.set()
    assert [future.result(SHORT) for future in futures] == [0, 1, 2, 3]
    assert pool.pending == 0
    pool.close()


def test_an_error_is_the_answer() -> None:
    pool = ThreadPool(1, name="test")
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(SHORT)
    assert pool.submit(lambda: "goes on").result(SHORT) == "goes on"
    pool.close()


def test_one_thread_does_what_one_can() -> None:
    pool = ThreadPool(8, name="test")
    for number in range(5):
        assert pool.submit(partial(abs, number)).result(SHORT) == number
    assert pool._threads == 1
    pool.close()


def test_a_request_without_an_answer_does_not_hold_up_the_end_of_the_process() -> None:
    code = (
        "import threading; from statecast.threads import ThreadPool\n"
        "ThreadPool(1, name='test').submit(threading.Event().wait)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=SHORT)


def test_the_newest_call_is_refused_when_the_backlog_is_full() -> None:
    # given one thread that is busy, and one call that waits for it
    pool, gate, running = (
        ThreadPool(1, name="test", backlog=1),
        threading.Event(),
        threading.Event(),
    )
    done = threading.Event()

    def first() -> None:
        running.set()
        assert gate.wait(SHORT)

    assert pool.try_submit(first)
    assert running.wait(SHORT)
    assert pool.try_submit(done.set)

    # then a third is refused, until there is room again
    assert not pool.try_submit(done.set)
    gate.set()
    assert done.wait(SHORT)
    pool.close()


def test_a_call_that_fails_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    pool, done = ThreadPool(1, name="test"), threading.Event()
    assert pool.try_submit(lambda: 1 / 0)
    assert pool.try_submit(done.set)
    assert done.wait(SHORT)
    assert pool._threads == 1
    assert [record.getMessage() for record in caplog.records] == ["a call on thread test failed"]
    pool.close()


def test_more_threads_may_be_allowed_later() -> None:
    pool, gate = ThreadPool(1, name="test"), threading.Event()
    blocked = pool.submit(lambda: gate.wait(SHORT))
    pool.max_threads = 2
    assert pool.submit(lambda: "beside it").result(SHORT) == "beside it"
    gate.set()
    assert blocked.result(SHORT)
    pool.close()
