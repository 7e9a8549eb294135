"""The processes that wait to write: in the order in which they came, and nobody for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from statecast.errors import StoreUnavailable
from statecast.stores.sqlite import database, write_line
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.file_lock import StoreLock
from statecast.stores.sqlite.write_line import WriteLine
from waiting import wait_for

pytestmark = pytest.mark.skipif(not write_line.SUPPORTED, reason="this system has no such locks")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(tmp_path: Path, clock: Clock) -> Iterator[Callable[[], WriteLine]]:
    """Each call is another process: it opens the file by itself."""
    store = tmp_path / "store.db"
    made: list[StoreLock] = []

    def enter() -> WriteLine:
        made.append(StoreLock(store))
        return WriteLine(made[-1], monotonic=clock)

    yield enter
    for one in made:
        one.abandon()


def firsts(*waiting: WriteLine) -> list[bool]:
    for one in waiting:
        one.wait()
    return [one.is_first() for one in waiting]


def test_who_came_first_is_first(line: Callable[[], WriteLine]) -> None:
    # given three that wait
    a, b, c = line(), line(), line()
    assert a.may_pass()
    assert firsts(a, b, c) == [True, False, False]
    # when the first writes, and comes again
    a.leave()
    assert not a.may_pass()
    # then it is the last
    assert firsts(a, b, c) == [False, True, False]
    b.leave()
    assert firsts(a, c) == [False, True]
    c.leave()
    assert firsts(a) == [True]
    a.leave()
    assert all(one.may_pass() for one in (a, b, c))


def test_a_turn_lasts_for_some_transactions(line: Callable[[], WriteLine], clock: Clock) -> None:
    # given one that writes, and one that waits
    a, b = line(), line()
    a.begin_turn()
    assert firsts(b) == [True]
    # when it writes again within its turn, then it waits for nobody, and the turn gets no longer
    clock.now += write_line.TURN_SECONDS * 0.9
    assert a.may_pass()
    a.begin_turn()
    # and after it the other one is first
    clock.now += write_line.TURN_SECONDS * 0.2
    assert not a.may_pass()
    assert firsts(b, a) == [True, False]


def test_the_place_of_a_process_that_ends_is_free(line: Callable[[], WriteLine]) -> None:
    a, b, c = line(), line(), line()
    assert firsts(a, b, c) == [True, False, False]
    for one in (a, b):
        one._lock_file.abandon()  # as the system does
    assert firsts(c) == [True]


def test_a_line_that_does_not_move_is_ignored(line: Callable[[], WriteLine], clock: Clock) -> None:
    # given one that stands in line and is stopped
    stopped, a = line(), line()
    assert firsts(stopped, a) == [True, False]
    # when it has been so for a while, then those behind it go on
    clock.now += write_line.STUCK_SECONDS * 1.1
    assert a.is_first()
    a.leave()
    # and do not wait for it again for a longer while
    assert a.may_pass()
    assert firsts(a) == [True]
    a.leave()
    clock.now += write_line.IGNORED_SECONDS * 1.1
    assert not a.may_pass()


def test_without_a_place_a_process_waits_as_if_there_were_no_line(
    line: Callable[[], WriteLine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_line, "PLACES", 2)
    a, b, c = line(), line(), line()
    assert firsts(a, b, c) == [True, False, True]
    # and it takes one when there is room
    a.leave()
    b.leave()
    assert firsts(c, a) == [True, False]


def test_after_the_file_is_closed_there_is_no_line(tmp_path: Path) -> None:
    closed = StoreLock(tmp_path / "store.db")
    closed.abandon()
    alone = WriteLine(closed)
    assert alone.may_pass()
    alone.wait()
    assert alone.is_first()
    alone.leave()


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Database]]:
    monkeypatch.setattr(write_line, "TURN_SECONDS", 0.0)
    made = [Database(tmp_path / "store.db") for _ in range(3)]
    yield made
    for one in made:
        one.close()


def test_processes_write_in_the_order_in_which_they_asked(databases: list[Database]) -> None:
    # given a process that writes, and two that wait for it
    order: list[int] = []
    begun, end = threading.Event(), threading.Event()

    def write(number: int, hold: bool = False) -> None:
        with databases[number].write():
            order.append(number)
            begun.set()
            if hold:
                assert end.wait(20)

    def again() -> None:
        write(0, hold=True)
        write(0)

    threads = [threading.Thread(target=again)]
    threads[0].start()
    assert begun.wait(20)
    for number in (1, 2):
        threads.append(threading.Thread(target=write, args=(number,)))
        threads[-1].start()
        wait_for(lambda place=number: databases[place]._line._place == place - 1)
    # when the first ends, and wants to write again at once
    end.set()
    for thread in threads:
        thread.join(20)
    # then each had its turn, in the order in which they asked
    assert order == [0, 1, 2, 0]


def test_a_process_that_never_gets_its_turn_is_told(
    databases: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with (
        databases[0].write(),
        pytest.raises(StoreUnavailable, match="Another process"),
        databases[1].write(),
    ):
        raise AssertionError("two processes write at once")
    # and it stands in nobody's way
    assert databases[2]._line.may_pass()
    with databases[1].write() as connection:
        rows(connection, "SELECT 1")
