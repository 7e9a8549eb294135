"""Waiting for commits: nobody misses one, and only one of several waiting threads looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from statecast.stores.notifier import CommitNotifier

SHORT = 20.0


class Waiting:
    """A thread that waits; it counts its looks at the world, which is a number."""

    def __init__(self, bell: CommitNotifier, world: list[int]) -> None:
        self.bell = bell
        self.world = world
        self.known = world[0]
        self.looks = 0
        self.looked = threading.Event()
        self.woken = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.bell.wait(self.bell.rings, SHORT, self._changed)
        self.woken.set()

    def _changed(self) -> bool:
        self.looks += 1
        self.looked.set()
        return self.world[0] != self.known

    def begin(self) -> Waiting:
        self.thread.start()
        assert self.looked.wait(SHORT)
        return self


@pytest.fixture
def bell() -> Iterator[CommitNotifier]:
    opened = CommitNotifier()
    yield opened
    opened.notify()


def look_again(waiting: Waiting, times: int = 5) -> None:
    for _ in range(times):
        waiting.looked.clear()
        assert waiting.looked.wait(SHORT)


def test_one_looks_for_all_and_all_are_woken(bell: CommitNotifier) -> None:
    # Given three threads that wait for another process
    world = [0]
    first, second, third = (Waiting(bell, world).begin() for _ in range(3))
    look_again(first)
    # Then the first looks, and the others have looked once, before they slept
    assert (second.looks, third.looks) == (1, 1)
    # When it sees something
    world[0] = 1
    # Then everybody has
    assert all(one.woken.wait(SHORT) for one in (first, second, third))


def test_when_the_one_who_looks_is_done_another_looks(bell: CommitNotifier) -> None:
    # Given one who polls but already knows what comes next, and one who does not
    world = [0]
    first = Waiting(bell, world)
    first.begin()
    second = Waiting(bell, world).begin()
    # When the first is done for its own reasons
    first.known = -1
    assert first.woken.wait(SHORT)
    # Then the second looks from now on
    look_again(second)
    assert not second.woken.is_set()
    world[0] = 1
    assert second.woken.wait(SHORT)


def test_what_is_new_to_the_one_who_sleeps_wakes_him_before_he_sleeps(bell: CommitNotifier) -> None:
    world = [0]
    first = Waiting(bell, world).begin()
    late = Waiting(bell, world)
    # Given a change that the first already knows and the other does not
    first.known = world[0] = 1
    late.begin()
    assert late.woken.wait(SHORT)


def test_a_look_that_fails_leaves_the_place_to_another(bell: CommitNotifier) -> None:
    def fails() -> bool:
        raise OSError("the disk failed")

    with pytest.raises(OSError, match="disk"):
        bell.wait(bell.rings, SHORT, fails)
    look_again(Waiting(bell, [0]).begin())


def test_a_ring_before_the_wait_is_not_lost_and_time_ends_it(bell: CommitNotifier) -> None:
    before = bell.rings
    bell.notify()
    bell.wait(before, SHORT)
    bell.wait(bell.rings, 0.0)
    begun = time.monotonic()
    bell.wait(bell.rings, 0.05, lambda: False)
    assert time.monotonic() - begun >= 0.05
