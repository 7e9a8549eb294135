"""Group commit: many threads share a transaction, and each gets its own outcome."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count, takewhile
from types import FrameType
from typing import Any

import pytest

from statecast.errors import Conflict, QueueFull, Refused, StoreUnavailable, StoreUnusable
from statecast.stores import group_commit
from statecast.stores.group_commit import EverythingRefused, GroupCommit, QueuedWrite
from waiting import wait_for

SHORT = 20.0


class Ledger:
    """A store of words. A transaction of the word "hold" stays open until it is let go."""

    def __init__(self) -> None:
        self.writes: GroupCommit[str] = GroupCommit(self.commit)
        self.words: list[str] = []
        self.groups: list[list[str]] = []
        self.threads: list[str] = []
        self.failure: BaseException | None = None
        """What the next transaction of several writes fails with."""
        self.opened = threading.Event()
        self.let_go = threading.Event()
        self.outcomes: dict[str, Any] = {}
        self.calls: list[threading.Thread] = []

    def commit(self, group: Sequence[QueuedWrite[str]]) -> None:
        self.groups.append([one.write for one in group])
        self.threads.append(threading.current_thread().name)
        written = list(self.words)
        for one in group:
            with one.refusing():
                self.write(one, written)
        if self.failure is not None and len(group) > 1:
            raise self.failure
        if all(one.error for one in group):
            raise EverythingRefused
        self.words = written

    def write(self, one: QueuedWrite[str], written: list[str]) -> None:
        if one.write == "hold":
            self.opened.set()
            assert self.let_go.wait(SHORT)
        if one.write.startswith("refused"):
            raise Conflict(f"{one.write} it is.")
        if one.write == "full":
            raise QueueFull("The queue is full.")
        if one.write == "defect":
            raise ZeroDivisionError("a defect")
        written.append(one.write)
        one.result = len(written)

    def call(self, word: str) -> threading.Thread:
        """Write a word in a thread of that name."""

        def run() -> None:
            try:
                self.outcomes[word] = self.writes.run(word)
            except BaseException as error:
                self.outcomes[word] = error

        thread = threading.Thread(target=run, name=word, daemon=True)
        self.calls.append(thread)
        thread.start()
        return thread

    def hold(self, *words: str) -> None:
        """Open a transaction, and let the words queue behind it in this order."""
        self.call("hold")
        assert self.opened.wait(SHORT)
        for number, word in enumerate(words):
            self.call(word)
            wait_for(lambda waits=number + 1: self.writes.waiting() == waits)

    def end(self) -> None:
        self.let_go.set()
        for thread in self.calls:
            thread.join(SHORT)
            assert not thread.is_alive(), f"{thread.name} was never woken"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    made.end()


def test_a_lone_write_is_committed_by_its_own_thread_at_once(ledger: Ledger) -> None:
    assert [ledger.writes.run(word) for word in ("a", "b")] == [1, 2]
    assert ledger.groups == [["a"], ["b"]]
    assert set(ledger.threads) == {threading.current_thread().name}


def test_writes_that_come_meanwhile_share_the_next_transaction(ledger: Ledger) -> None:
    # given a transaction that is open, and three writes behind it
    ledger.hold("a", "b", "c")
    # when it ends, then the thread of the oldest commits all of them, in their order
    ledger.end()
    assert ledger.groups == [["hold"], ["a", "b", "c"]]
    assert ledger.threads == ["hold", "a"]
    assert ledger.outcomes == {"hold": 1, "a": 2, "b": 3, "c": 4}
    # and the next one finds no transaction open
    assert ledger.writes.run("d") == 5


def test_a_write_that_is_taken_before_its_thread_waits_has_its_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a write whose thread stops between queueing and waiting, until a group has it
    ledger.hold("b")
    queue, wait, write = ledger.writes._queue, ledger.writes._wait, ledger.write
    waits = threading.Event()

    def queue_and_stop(own: QueuedWrite[str]) -> None:
        queue(own)
        if own.write == "a":
            ledger.let_go.set()
            wait_for(lambda: own.status is group_commit.WriteStatus.COMMITTING)

    def note_and_wait(own: QueuedWrite[str]) -> None:
        waits.set()
        wait(own)

    def write_when_it_waits(one: QueuedWrite[str], written: list[str]) -> None:
        assert one.write != "a" or waits.wait(SHORT)
        write(one, written)

    monkeypatch.setattr(ledger.writes, "_queue", queue_and_stop)
    monkeypatch.setattr(ledger.writes, "_wait", note_and_wait)
    monkeypatch.setattr(ledger, "write", write_when_it_waits)
    # when it goes on while the transaction is open
    ledger.call("a").join(SHORT)
    # then it has waited for the end of it
    assert ledger.outcomes["a"] == 3
    waits.set()


def test_a_transaction_has_a_bound(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MOST", 2)
    ledger.hold("a", "b", "c")
    ledger.end()
    assert ledger.groups == [["hold"], ["a", "b"], ["c"]]
    assert ledger.threads == ["hold", "a", "c"]


def test_a_group_waits_for_as_many_writes_as_the_last_one_had(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a group of three, whose threads have their outcomes
    ledger.hold("a", "b", "c")
    ledger.end()
    # when one of them writes again, then it waits until three do
    monkeypatch.setattr(group_commit, "GATHER_SECONDS", SHORT)
    for number, word in enumerate(("d", "e")):
        ledger.call(word)
        wait_for(lambda waits=number + 1: ledger.writes.waiting() == waits)
    ledger.call("f")
    ledger.end()
    assert ledger.groups[2:] == [["d", "e", "f"]]
    # but not for long, and a lone write after a lone one waits for nothing
    monkeypatch.setattr(group_commit, "GATHER_SECONDS", 0.001)
    assert ledger.writes.run("g") == 8
    monkeypatch.setattr(group_commit, "GATHER_SECONDS", threading.TIMEOUT_MAX)
    assert ledger.writes.run("h") == 9


@pytest.mark.parametrize(
    ("words", "committed", "failed"),
    [
        (["a", "refused", "b"], ["a", "b"], {"refused": Conflict}),
        (["refused", "a"], ["a"], {"refused": Conflict}),
        (["a", "full"], ["a"], {"full": QueueFull}),
        (["refused 1", "refused 2"], [], {"refused 1": Conflict, "refused 2": Conflict}),
        (["full", "a", "refused"], ["a"], {"full": QueueFull, "refused": Conflict}),
        (["a", "defect", "b"], ["a", "b"], {"defect": ZeroDivisionError}),
        (["defect"], [], {"defect": ZeroDivisionError}),
        (["refused", "defect", "a"], ["a"], {"refused": Conflict, "defect": ZeroDivisionError}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_with_one_write_is_its_own(
    ledger: Ledger, words: list[str], committed: list[str], failed: dict[str, type]
) -> None:
    # given writes of one group, some of which cannot be
    ledger.hold(*words)
    # when they are committed
    ledger.end()
    # then the others are written, once each, and each thread got its own outcome
    assert ledger.words == ["hold", *committed]
    errors = {word: type(one) for word, one in ledger.outcomes.items() if not isinstance(one, int)}
    assert errors == failed
    for word, number in ledger.outcomes.items():
        if isinstance(number, int):
            assert ledger.words[number - 1] == word


@pytest.mark.parametrize(
    "failure",
    [
        StoreUnavailable("The disk failed."),
        StoreUnusable("It is gone: /srv/secret.db.", public="It is gone."),
    ],
    ids=["unavailable", "unusable"],
)
def test_if_the_transaction_fails_each_of_its_threads_learns_it(
    ledger: Ledger, failure: StoreUnavailable | StoreUnusable
) -> None:
    # given a group of which one write is refused, because of another that is then not written
    ledger.hold("a", "refused", "b")
    ledger.failure = failure
    # when the transaction fails
    ledger.end()
    # then all get the failure, each thread an error of its own, with the same sentences
    found = [ledger.outcomes[word] for word in ("a", "refused", "b")]
    assert [(type(one), str(one), one.public) for one in found] == [
        (type(failure), str(failure), failure.public)
    ] * 3
    assert len({id(one) for one in found}) == 3
    assert ledger.words == ["hold"]
    # and the next write is committed as ever
    assert ledger.writes.run("c") == 2


def test_a_signal_in_the_thread_that_commits_leaves_nobody_waiting(ledger: Ledger) -> None:
    # given two groups, the first of which is interrupted
    ledger.hold("a", "b")
    ledger.failure = KeyboardInterrupt()
    # when
    ledger.end()
    # then its own thread gets the signal, and the other a sentence that says what is not known
    assert isinstance(ledger.outcomes["a"], KeyboardInterrupt)
    assert isinstance(ledger.outcomes["b"], StoreUnavailable)
    assert "not known" in str(ledger.outcomes["b"])
    assert ledger.writes.run("c") == 2


def test_a_write_that_waits_too_long_is_taken_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a transaction that does not end
    ledger.hold()
    monkeypatch.setattr(group_commit, "WAIT_SECONDS", 0.01)
    # when another write has waited for its turn for long enough, then it fails with a sentence
    with pytest.raises(StoreUnavailable, match="Other threads have been writing"):
        ledger.writes.run("a")
    # and is not written afterwards
    assert ledger.writes.waiting() == 0
    ledger.end()
    assert ledger.words == ["hold"]


class Interrupted(BaseException):
    """A signal."""


def interrupt(lock: threading.Lock, then: Callable[[], object]) -> Any:
    """A lock in whose ``acquire`` a signal arrives, after ``then``."""

    class Lock:
        release = lock.release

        def acquire(self, timeout: float = -1) -> bool:
            then()
            raise Interrupted

    return Lock()


@pytest.mark.parametrize("when", ["while it waits", "when it has the turn"])
def test_a_signal_in_a_waiting_thread_passes_the_turn_on(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # given a write whose thread is interrupted while it waits, or just when it has got the turn
    ledger.hold()
    made = group_commit.QueuedWrite

    def given_the_turn() -> None:
        ledger.call("b")
        wait_for(lambda: ledger.writes.waiting() == 2)
        if when == "when it has the turn":
            ledger.let_go.set()
            wait_for(lambda: own[0].status is group_commit.WriteStatus.LEADING)

    own: list[QueuedWrite[str]] = []

    def queued(write: str) -> QueuedWrite[str]:
        one = made(write)
        if write == "a":
            own.append(one)
            one.woken = interrupt(one.woken, given_the_turn)
        return one

    monkeypatch.setattr(group_commit, "QueuedWrite", queued)
    # when
    with pytest.raises(Interrupted):
        ledger.writes.run("a")
    # then the write behind it is committed, and the interrupted one is not
    ledger.end()
    assert ledger.words == ["hold", "b"]
    assert ledger.writes.run("c") == 3


def test_a_thread_that_was_interrupted_is_left_out_of_the_waking(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a group, the thread of whose second write is interrupted while it is committed
    made = group_commit.QueuedWrite
    leaving = threading.Event()

    def queued(write: str) -> QueuedWrite[str]:
        one = made(write)
        if write == "b":
            one.woken = interrupt(one.woken, lambda: leaving.wait(SHORT))
        return one

    monkeypatch.setattr(group_commit, "QueuedWrite", queued)
    ledger.hold("a", "b", "c")
    write = ledger.write

    def write_when_it_has_left(one: QueuedWrite[str], written: list[str]) -> None:
        if one.write == "a":
            leaving.set()
            wait_for(lambda: "b" in ledger.outcomes)
        write(one, written)

    monkeypatch.setattr(ledger, "write", write_when_it_has_left)
    # when it ends
    ledger.end()
    # then the write behind it has its outcome all the same
    assert isinstance(ledger.outcomes["b"], Interrupted)
    assert ledger.outcomes["c"] == 4


def interrupted(number: int, call: Callable[[], object]) -> bool:
    """Make a call with a signal at the entry of a function, the one of this number; was there one?

    Python looks for signals there. They come to the main thread; here the tracer raises in any.
    """
    entries, arrived, before = count(), threading.Event(), sys.gettrace()

    def trace(frame: FrameType, event: str, argument: object) -> None:
        if frame.f_code.co_filename == group_commit.__file__ and next(entries) == number:
            sys.settrace(before)
            arrived.set()
            raise Interrupted

    sys.settrace(trace)
    try:
        call()
    except Interrupted:
        pass
    finally:
        sys.settrace(before)
    return arrived.is_set()


def test_a_signal_at_any_step_leaves_nothing_behind() -> None:
    steps = takewhile(interrupt_a_write, count())
    assert len(list(steps)) > 8


def interrupt_a_write(number: int) -> bool:
    """Whether there is a step of this number, at which a write can be interrupted."""
    # given a transaction that is open, and two writes behind it
    ledger, arrived = Ledger(), list[bool]()
    ledger.hold()

    def write() -> None:
        arrived.append(interrupted(number, lambda: ledger.writes.run("a")))

    thread = threading.Thread(target=write, name="a", daemon=True)
    ledger.calls.append(thread)
    thread.start()
    wait_for(lambda: arrived or ledger.writes.waiting() == 1)
    ledger.call("b")
    wait_for(lambda: ledger.writes.waiting() == (1 if arrived else 2))
    # when a signal comes to the thread of the first, wherever it is
    ledger.end()
    # then the other gets its outcome
    known = ledger.outcomes["b"]
    if isinstance(known, int):
        assert ledger.words[known - 1] == "b"
    else:
        assert "not known" in str(known)
    # and the next write finds no transaction open, and nothing was written twice
    assert ledger.writes.run("c") == len(ledger.words) == len(set(ledger.words))
    assert ledger.words[0] == "hold"
    return arrived[0]


def test_a_forked_child_waits_for_no_thread_of_its_parent(ledger: Ledger) -> None:
    # given a parent in the middle of a transaction, with a write behind it
    ledger.hold("a")
    child = os.fork()
    if not child:
        os._exit(0 if ledger.writes.run("b") == 1 and ledger.words == ["b"] else 1)
    # when the child writes, then it commits at once, and only its own
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_threads_lose_no_write(ledger: Ledger) -> None:
    # given 16 threads that write without a pause
    def write(thread: int) -> None:
        for number in range(100):
            word = f"refused {thread}.{number}" if number % 10 == 9 else f"{thread}.{number}"
            try:
                ledger.writes.run(word)
            except Refused:
                assert number % 10 == 9

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then each is written once, and those of a thread in their order
    assert len(ledger.words) == len(set(ledger.words)) == 16 * 90
    for thread in range(16):
        own = [word for word in ledger.words if word.startswith(f"{thread}.")]
        assert own == [f"{thread}.{number}" for number in range(100) if number % 10 != 9]
