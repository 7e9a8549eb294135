"""A storm of clients is taken in slices of the loop, in the order in which it came."""

from __future__ import annotations

import pytest

from statecast.realtime.turn_budget import SLICE, TurnBudget
from tests.fakes.fake_loop import FakeLoop
from tests.fakes.harness import FakeClient, Harness


class Work:
    """Connections that take time of the loop, and the turns in which they are served."""

    def __init__(self) -> None:
        self.now, self.turn = 0.0, 0
        self.calls: list[object] = []
        self.budget = TurnBudget(lambda: self.now, self.calls.append)
        self.served: list[tuple[int, str]] = []

    def come(self, name: str, seconds: float) -> None:
        def serve() -> None:
            self.now += seconds
            self.served.append((self.turn, name))

        if self.budget.is_spent():
            self.budget.wait(serve)
        else:
            serve()

    def end_turn(self) -> None:
        calls, self.calls[:] = list(self.calls), []
        self.turn += 1
        for call in calls:
            call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("seconds", "served"),
    [
        # All in the turn in which they come.
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([SLICE / 4] * 3, [0, 0, 0]),
        # The one that spends the slice is the last of its turn.
        ([SLICE, 0.0], [0, 1]),
        ([SLICE / 2] * 4, [0, 0, 1, 1]),
        ([SLICE * 2] * 3, [0, 1, 2]),
        # What is quick does not overtake what waits.
        ([SLICE, SLICE, 0.0, 0.0], [0, 1, 2, 2]),
    ],
)
def test_a_turn_serves_as_many_as_its_slice_is_long(
    seconds: list[float], served: list[int]
) -> None:
    # given clients that all come in one turn
    work = Work()
    for number, length in enumerate(seconds):
        work.come(str(number), length)

    # when turns go by, then each has served as many as it may, in order
    for _ in seconds:
        work.end_turn()
    assert work.served == [(turn, str(number)) for number, turn in enumerate(served)]


def test_who_comes_while_others_wait_is_behind_them() -> None:
    work = Work()
    for name in ("a", "b", "c"):
        work.come(name, SLICE)
    work.end_turn()  # serves b, so c waits
    work.come("d", 0)
    work.end_turn()
    work.end_turn()
    assert [name for _, name in work.served] == ["a", "b", "c", "d"]


def test_a_loop_without_clients_is_not_asked_for_turns() -> None:
    work = Work()
    work.come("a", 0)
    for _ in range(3):
        work.end_turn()
    assert work.calls == []


# With connections


class SlowLoop(FakeLoop):
    """Each look at its clock takes more than a slice, so every turn serves one client."""

    slow = False

    def time(self) -> float:
        if self.slow:
            self.now += SLICE
        return super().time()


@pytest.fixture
def harness() -> Harness:
    return Harness(loop=SlowLoop())


def slow_clients(harness: Harness, number: int) -> list[FakeClient]:
    harness.loop.settle()
    harness.loop.slow = True
    return [harness.client().open() for _ in range(number)]


def test_a_storm_of_requests_is_answered_turn_by_turn(harness: Harness) -> None:
    # given more requests than a turn has time for
    clients = slow_clients(harness, 4)

    # then the first is answered at once, and of the others nothing is read meanwhile
    assert [bool(one.transport.written) for one in clients] == [True, False, False, False]
    assert ["pause_reading" in one.transport.calls for one in clients] == [False, True, True, True]

    # and all are answered in the end, and read again
    harness.loop.settle()
    assert [one.received()[0] for one in clients] == [101] * 4
    assert ["resume_reading" in one.transport.calls for one in clients] == [False, True, True, True]


def test_messages_that_wait_are_taken_in_order(harness: Harness) -> None:
    # given a viewer whose slice is spent by another one
    spending, waiting = harness.client().join(), harness.client().join()
    harness.loop.settle()
    harness.loop.slow = True
    spending.send('420["a"]')
    waiting.send('420["a"]')
    waiting.send('421["b"]')
    assert waiting.received() == []

    # when its turn comes, then both of its messages are answered in order
    harness.loop.slow = False
    harness.loop.settle()
    assert [text[:3] for text in waiting.received()] == ["430", "431"]


@pytest.mark.parametrize("how", ["abort", "lost", "close"])
def test_who_leaves_while_waiting_is_forgotten(harness: Harness, how: str) -> None:
    # given a client whose request waits
    _, waiting = slow_clients(harness, 2)

    # when it is gone before its turn
    if how == "abort":
        waiting.connection.abort()
    elif how == "lost":
        waiting.connection.connection_lost(None)
    else:
        waiting.transport.close()

    # then nothing is answered, and it is no viewer
    harness.loop.settle()
    assert not waiting.transport.written
    assert harness.hub.viewers == 1
