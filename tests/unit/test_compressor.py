"""Long messages are compressed in a thread while those who lag wait; here a gate stops it."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from statecast.access.grants import Grants
from statecast.access.identity import ANONYMOUS
from statecast.access.reader import Reader
from statecast.broadcast import broadcaster
from statecast.broadcast.compressor import CatchUp, Compressor
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience
from statecast.realtime import encoding
from statecast.realtime.encoding import LEAST_IN_THREAD, MOST_DEFLATED
from statecast.realtime.protocol import deflate
from tests.fakes.broadcast_harness import BroadcastHarness, FakeClient, FakeCompression


class Gated(BroadcastHarness):
    """Devices, the first ones of two audiences' viewers, and a gate before the thread."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.compression = FakeCompression()
        for device in ("a", "b", "f/a"):
            self.store.commit(device, {"n": 1})
        self.tick()
        # An audience of one shares nothing, so nothing is compressed for it.
        self.first = [self.client("*"), self.client("f/*")]
        self.loop.gate_is_shut = True

    def come(self, *patterns: str, **more: Any) -> FakeClient:
        """A client whose messages are compressed; it has not read yet."""
        client = FakeClient(self, list(patterns), **more)
        client.compression = self.compression
        client.watch()
        self.loop.settle()
        return client

    def open_gate(self) -> None:
        self.loop.gate_is_shut = False
        self.loop.settle()


@pytest.fixture(params=[0, 32], ids=["far behind", "near"])
def gated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gated:
    monkeypatch.setattr(broadcaster, "LEAST_CACHED", 1)
    monkeypatch.setattr(broadcaster, "FAR_BEHIND", request.param)
    return Gated()


def states_of(viewer: FakeClient) -> list[dict[str, int]]:
    """Devices and versions of each ``states`` event since the last call."""
    viewer.read()
    said, viewer.received = viewer.received, []
    return [
        {item["device"]: item["version"] for item in payload["states"]}
        for name, payload in said
        if name == "states"
    ]


def test_viewers_wait_for_one_compression_and_miss_nothing_meanwhile(gated: Gated) -> None:
    # given two viewers of one audience that wait for their first states
    waiting = [gated.come("*"), gated.come("*")]
    assert [states_of(one) for one in waiting] == [[], []]

    # when a device changes meanwhile, which whoever is up to date learns at once
    gated.store.commit("a", {"n": 2})
    gated.tick()
    assert states_of(gated.first[0])[-1] == {"a": 2}
    assert [states_of(one) for one in waiting] == [[], []]

    # then both get what was compressed for them once, and after it what is newer
    gated.open_gate()
    assert [states_of(one) for one in waiting] == [[{"a": 1, "b": 1, "f/a": 1}, {"a": 2}]] * 2
    assert [len(one.messages) for one in waiting] == [2, 2]
    assert waiting[0].messages[0] is waiting[1].messages[0]
    assert gated.compression.compressed == [one.messages[0] for one in waiting[:1]] + [
        waiting[0].messages[1]
    ]
    assert [one.complete for one in waiting] == [1, 1]


def test_an_event_does_not_wait(gated: Gated) -> None:
    viewer = gated.come("*")
    viewer.watch(health=True)
    gated.loop.settle()
    assert [one.name for one in viewer.messages] == ["health"]
    gated.open_gate()
    assert [one.name for one in viewer.messages] == ["health", "states"]


def test_a_viewer_that_takes_no_compression_does_not_wait(gated: Gated) -> None:
    gated.come("*")
    assert states_of(gated.client("*")) == [{"a": 1, "b": 1, "f/a": 1}]


def test_one_message_is_compressed_at_a_time(gated: Gated) -> None:
    # given a viewer that waits for its states, then one of another audience, which waits in line
    first, second, third = gated.come("*"), gated.come("f/*"), gated.come("f/*")
    assert len(gated.loop.work) == 1

    # when the first message is ready, then the next one is made of what is there by then
    gated.store.commit("f/a", {"n": 2})
    gated.tick()
    gated.loop.let_pass()
    gated.loop.settle()
    assert len(gated.loop.work) == 1
    assert states_of(first) == [{"a": 1, "b": 1, "f/a": 1}]
    assert [states_of(second), states_of(third)] == [[], []]

    # and those who wait for it share it
    gated.open_gate()
    assert [states_of(second), states_of(third)] == [[{"f/a": 2}]] * 2
    assert states_of(first) == [{"f/a": 2}]


def test_what_was_taken_away_meanwhile_is_not_delivered(gated: Gated) -> None:
    # given a viewer whose first states are being compressed
    viewer = gated.come("*")

    # when its rights shrink
    viewer.reader = Reader(ANONYMOUS, Grants.of({"f/*": "read"}))
    gated.broadcaster.regrant([viewer])
    gated.loop.settle()
    gated.open_gate()

    # then it gets no state that it may not see any more
    assert states_of(viewer) == [{"f/a": 1}]
    assert all(b'"a"' not in one.payload for one in viewer.messages)


def test_who_asks_for_other_devices_meanwhile_gets_those(gated: Gated) -> None:
    viewer = gated.come("*")
    viewer.watch(["f/*"])
    gated.open_gate()
    assert states_of(viewer) == [{"f/a": 1}]


def test_who_leaves_meanwhile_gets_nothing(gated: Gated) -> None:
    # given viewers that share a compression, and one that waits in line
    viewers = [gated.come("*"), gated.come("*"), gated.come("f/*")]

    # when the first and the last one leave, and the first one returns for something else
    viewers[0].cut()
    viewers[2].cut()
    viewers[0].watch(["b"])
    gated.open_gate()

    # then the other one gets what it waited for
    assert [states_of(one) for one in viewers] == [[{"b": 1}], [{"a": 1, "b": 1, "f/a": 1}], []]


def test_a_viewer_that_is_full_meanwhile_gets_it_when_it_has_drained(gated: Gated) -> None:
    viewer = gated.come("*", capacity=1)
    viewer.fill()
    gated.store.commit("a", {"n": 2})
    gated.tick()
    gated.open_gate()
    assert viewer.messages == []
    viewer.read()
    gated.loop.settle()
    assert states_of(viewer) == [{"b": 1, "f/a": 1, "a": 2}]


def test_what_was_never_committed_is_not_delivered(gated: Gated) -> None:
    # given a backup, and a viewer whose first states are being compressed
    backup = gated.store.backup()
    gated.store.commit("a", {"n": 2})
    gated.tick()
    viewer = gated.come("*")

    # when the store is set back to the backup
    gated.store.restore(backup)
    gated.tick()
    gated.open_gate()

    # then the viewer gets only what the store has
    assert states_of(viewer) == [{"a": 1, "b": 1, "f/a": 1}]


def test_a_server_that_stops_meanwhile_calls_nobody_back(gated: Gated) -> None:
    viewers = [gated.come("*"), gated.come("f/*")]
    gated.broadcaster._compressor.stop()
    gated.open_gate()
    assert [one.messages for one in viewers] == [[], []]
    assert gated.loop.work == []


def test_what_cannot_be_compressed_goes_as_it_is(
    gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    gated.compression.fails = True
    viewer = gated.come("*")
    gated.open_gate()
    assert states_of(viewer) == [{"a": 1, "b": 1, "f/a": 1}]
    assert "could not be compressed" in caplog.text
    assert not viewer.messages[0].compressible


# Which messages, and the thread


def payload(size: int) -> bytes:
    return b'"%b"' % (b"ab " * size)[: size - 2]


@pytest.mark.parametrize(
    ("size", "compressible", "expected"),
    [
        (LEAST_IN_THREAD, True, True),
        (LEAST_IN_THREAD - 1, True, False),
        (LEAST_IN_THREAD, False, False),
        (MOST_DEFLATED + 1, True, False),  # it is not compressed at all
    ],
)
def test_which_messages_a_thread_compresses(size: int, compressible: bool, expected: bool) -> None:
    message = OutgoingMessage("states", payload(size), compressible=compressible)
    assert encoding.SOCKETIO.is_due(message) == expected
    encoding.SOCKETIO.compress(message)
    assert not encoding.SOCKETIO.is_due(message)


@pytest.mark.asyncio
async def test_what_the_thread_compresses_is_what_the_loop_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a viewer that compresses, and a long message
    threads = []
    compress = deflate.deflate
    monkeypatch.setattr(
        deflate, "deflate", lambda data: (threads.append(threading.get_ident()), compress(data))[1]
    )
    viewer: Any = SimpleNamespace(compression=encoding.SOCKETIO, name=None)
    subscriber = Subscriber(viewer, ("*",), Audience(("*",)), 0)
    message = OutgoingMessage("states", payload(LEAST_IN_THREAD), compressible=True)
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    told: list[dict[Subscriber, CatchUp | None]] = []
    compressor = Compressor(lambda viewers: (told.append(viewers), done.set())[0])

    # when it lags
    assert compressor.delays(loop, subscriber, message, 7)
    await done.wait()

    # then it is called back, and what it gets is compressed already
    assert told == [{subscriber: CatchUp.of(subscriber, message, 7)}]
    assert not compressor.delays(loop, subscriber, message, 7)
    expected = OutgoingMessage("states", message.payload, compressible=True)
    assert encoding.deflated_frame(message) == encoding.deflated_frame(expected)
    assert threads[0] != threading.get_ident() == threads[1] and len(threads) == 2
