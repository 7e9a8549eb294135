"""A tick of many bytes is compressed by the thread of the change feed before it is delivered."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from statecast.access.grants import Grants
from statecast.access.identity import ANONYMOUS
from statecast.access.reader import Reader
from statecast.broadcast.long_tick import LEAST_BYTES, may_be_long
from statecast.stores.changes import Changes
from statecast.testing import change, message
from tests.fakes.broadcast_harness import BroadcastHarness, FakeClient, FakeCompression
from tests.unit.test_change_feed import SHORT, Harness

PAD = "x" * 300


class Prepared(BroadcastHarness):
    """Viewers that are up to date, of which some compress, and a change that they do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.compression = FakeCompression()
        for device in ("a", "f/a"):
            self.store.commit(device, {"n": 1, "pad": PAD})
        self.tick()
        self.all = [self.come("*"), self.come("*"), self.come("f/*"), self.come("f/*")]
        self.patched = [self.come("*", protocol=2), self.come("*", protocol=2)]
        for device in ("a", "f/a"):
            self.store.commit(device, {"n": 2, "pad": PAD})

    def come(self, *patterns: str, protocol: int = 1) -> FakeClient:
        client = self.client(*patterns, protocol=protocol)
        client.compression = self.compression
        return client

    def before_and_after(self, before: Callable[[], object], after: Callable[[], object]) -> None:
        """Deliver, and do something before and after the thread compresses."""
        calls = iter([before, after])
        self.tick_prepared(lambda: next(calls)())
        self.loop.settle()


@pytest.fixture
def prepared() -> Prepared:
    return Prepared()


def states_of(viewer: FakeClient) -> list[dict[str, int]]:
    """Devices and versions of each ``states`` event since the last call."""
    viewer.read()
    said, viewer.received = viewer.received, []
    return [
        {item["device"]: item["version"] for item in payload["states"]}
        for name, payload in said
        if name == "states"
    ]


def nothing() -> None:
    pass


def test_a_tick_is_delivered_as_it_was_compressed(prepared: Prepared) -> None:
    viewers = [*prepared.all, *prepared.patched]
    for viewer in viewers:
        states_of(viewer)
        viewer.messages.clear()

    # when it is compressed, then nothing was delivered yet
    def nothing_came() -> None:
        assert [one.messages for one in viewers] == [[]] * 6

    prepared.before_and_after(nothing_came, nothing_came)

    # and then each audience gets a message that the thread has compressed
    assert [states_of(one) for one in viewers] == [
        *[[{"a": 2, "f/a": 2}]] * 2,
        *[[{"f/a": 2}]] * 2,
        *[[{"a": 2, "f/a": 2}]] * 2,
    ]
    sent = [one.messages[-1] for one in viewers]
    assert [one in prepared.compression.compressed for one in sent] == [True] * 6
    assert len(prepared.compression.compressed) == 3
    assert [one.patches for one in prepared.patched] == [2, 2]


def test_who_comes_meanwhile_gets_nothing_twice(prepared: Prepared) -> None:
    # given viewers of both protocols that come while the tick is compressed
    came: list[FakeClient] = []
    prepared.before_and_after(
        lambda: came.append(prepared.come("*", protocol=2)),
        lambda: came.append(prepared.come("f/*")),
    )

    # then they have the states of before, and get the tick like all others
    assert states_of(came[0]) == [{"a": 1, "f/a": 1}, {"a": 2, "f/a": 2}]
    assert states_of(came[1]) == [{"f/a": 1}, {"f/a": 2}]
    assert came[0].patches == 2 and not came[0].mismatches
    assert came[0].messages[-1] in prepared.compression.compressed


def test_what_was_taken_away_meanwhile_is_not_delivered(prepared: Prepared) -> None:
    viewer = prepared.all[0]
    states_of(viewer)

    # when the rights of a viewer shrink while the tick is compressed
    def shrink() -> None:
        viewer.reader = Reader(ANONYMOUS, Grants.of({"f/*": "read"}))
        prepared.broadcaster.regrant([viewer])

    prepared.before_and_after(nothing, shrink)

    # then it is told of the device once, and gets the other one
    viewer.read()
    told = [
        item for name, payload in viewer.received if name == "states" for item in payload["states"]
    ]
    assert [(item["device"], item.get("gone"), item.get("version")) for item in told] == [
        ("a", "forbidden", None),
        ("f/a", None, 2),
    ]


def test_who_leaves_or_is_full_meanwhile_gets_nothing(prepared: Prepared) -> None:
    gone, full = prepared.all[:2]
    for viewer in (gone, full):
        states_of(viewer)
        viewer.messages.clear()
    prepared.before_and_after(gone.cut, full.fill)
    assert (gone.messages, full.messages) == ([], [])
    # and has it when it has drained
    full.read()
    prepared.loop.settle()
    assert states_of(full) == [{"a": 2, "f/a": 2}]


def test_what_turns_out_otherwise_is_compressed_when_it_is_sent(prepared: Prepared) -> None:
    # given a tick that is compressed
    changes = prepared.change_feed._read(0).changes
    work = prepared.broadcaster.prepare(changes)
    assert work is not None
    work()
    for viewer in prepared.all:
        states_of(viewer)

    # when another one is delivered
    prepared.store.commit("a", {"n": 3, "pad": PAD})
    prepared.tick()

    # then nobody gets what was expected
    assert [states_of(one) for one in prepared.all[:2]] == [[{"f/a": 2, "a": 3}]] * 2
    assert prepared.all[0].messages[-1] not in prepared.compression.compressed


def test_nothing_is_made_for_who_does_not_compress(prepared: Prepared) -> None:
    harness = BroadcastHarness()
    lone, others = harness.client("a"), [harness.client("*"), harness.client("*")]
    lone.compression = prepared.compression
    harness.store.commit("a", {"n": 1})
    changes = harness.change_feed._read(0).changes
    assert harness.broadcaster.prepare(changes) is None
    # but what several share is, by the way of each of them
    others[1].compression = prepared.compression
    assert harness.broadcaster.prepare(changes) is not None


# The thread


class PreparingHarness(Harness):
    """A listener that notes which thread did what."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.worked: list[str] = []
        self.work: Callable[[], None] | None = self.note
        super().__init__()

    def note(self) -> None:
        self.worked.append(threading.current_thread().name)

    def prepare(self, changes: Changes) -> Callable[[], None] | None:
        self.asked.append(len(changes.updates))
        if self.defects:
            raise self.defects.pop()
        return self.work

    def say_much(self, device: str) -> None:
        self.number += 1
        state = {"n": self.number, "pad": "x" * LEAST_BYTES}
        self.store.commit("queue", 1, [message(f"m{self.number}", change(device, state))])


def fails() -> None:
    raise MemoryError


@pytest.fixture
def harness() -> Iterator[PreparingHarness]:
    with PreparingHarness().following() as opened:
        yield opened


def test_only_many_bytes_are_prepared(harness: PreparingHarness) -> None:
    harness.say("chair")
    assert harness.next_delivery() == [([("chair", 1)], False)]
    assert harness.asked == []
    harness.say_much("chair")
    assert harness.next_delivery() == [([("chair", 2)], False)]
    assert (harness.asked, harness.worked) == ([1], ["change-feed"])


@pytest.mark.parametrize("where", ["loop", "thread"])
def test_what_cannot_be_prepared_is_delivered_all_the_same(
    harness: PreparingHarness, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    if where == "loop":
        harness.defects = [ZeroDivisionError("a defect")]
    else:
        harness.work = fails
    harness.say_much("chair")
    assert harness.next_delivery() == [([("chair", 1)], False)]
    assert "could not be prepared" in caplog.text


def test_a_stop_does_not_wait_for_what_is_prepared(harness: PreparingHarness) -> None:
    harness.say_much("chair")
    harness.loop.calls.get(timeout=SHORT)
    stopping = threading.Thread(target=harness.change_feed.stop)
    stopping.start()
    stopping.join(SHORT)
    assert not stopping.is_alive()
    assert harness.worked == []


def test_what_counts_as_many_bytes() -> None:
    harness = BroadcastHarness()
    empty = len(json.dumps({"pad": ""}).encode())
    harness.store.commit("a", {"pad": "x" * (LEAST_BYTES - empty - 1)})
    assert not may_be_long(harness.change_feed._read(0).changes)
    harness.store.commit("b", None)
    harness.store.commit("c", {"pad": "x"})
    assert may_be_long(harness.change_feed._read(0).changes)
