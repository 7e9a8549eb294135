"""What one turn of the loop has for many connections leaves in order, and in one write to each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.recipients import FEW, UpToDate
from statecast.model import Event
from statecast.realtime.turn_writer import TURN_BYTES, ConnectionGroup, TurnWriter
from tests.fakes.broadcast_harness import BroadcastHarness
from tests.fakes.harness import FakeClient, Harness

AUDIENCES = "audiences"
"""The lane of groups that have no connection in common."""


class RecordedConnection:
    """A connection, and its transport: what is written to it, call by call."""

    def __init__(self, writer: TurnWriter) -> None:
        self.transport: Any = self
        self.writer = writer
        self.kept: list[bytes] = []
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def put(self, frame: bytes) -> None:
        if not self.kept:
            self.writer.put_first(self)
        self.kept.append(frame)

    def flush(self) -> None:
        if self.kept:
            kept, self.kept = self.kept, []
            self.write(b"".join(kept))


class Scene:
    """Six connections: all, a room of the first four, and two audiences of three each."""

    def __init__(self) -> None:
        self.turns = 0
        self.writer = TurnWriter(lambda message: message.payload, self.count_turn)
        self.connections = [RecordedConnection(self.writer) for _ in range(6)]
        members = {"all": range(6), "room": range(4), "left": range(3), "right": range(3, 6)}
        self.members = {name: list(numbers) for name, numbers in members.items()}
        self.groups = {
            name: ConnectionGroup([self.connections[number] for number in numbers])
            for name, numbers in self.members.items()
        }
        self.expected: list[list[bytes]] = [[] for _ in range(6)]

    def count_turn(self, call: object) -> None:
        self.turns += 1

    def do(self, step: str, text: bytes) -> None:
        """Write to a group by its name, or to one connection by its number."""
        if step.isdigit():
            self.connections[int(step)].put(text)
            self.expected[int(step)].append(text)
            return
        lane = AUDIENCES if step in ("left", "right") else self.groups[step]
        self.writer.write(self.groups[step], OutgoingMessage("x", text), lane)
        for number in self.members[step]:
            self.expected[number].append(text)

    def writes(self) -> list[int]:
        return [len(connection.writes) for connection in self.connections]


@pytest.mark.parametrize(
    ("steps", "writes"),
    [
        # One message, and many: one write to each.
        ("all", [1, 1, 1, 1, 1, 1]),
        ("all all all", [1, 1, 1, 1, 1, 1]),
        # The states of a tick for audiences that have no viewer in common.
        ("left right left right", [1, 1, 1, 1, 1, 1]),
        # States and events of one turn leave together.
        ("left right all", [1, 1, 1, 1, 1, 1]),
        ("all left right", [1, 1, 1, 1, 1, 1]),
        ("all room all", [1, 1, 1, 1, 1, 1]),
        # What one connection had before leaves before; what it gets after, after.
        ("0 all", [2, 1, 1, 1, 1, 1]),
        ("all 0", [2, 1, 1, 1, 1, 1]),
        ("0 all 0", [3, 1, 1, 1, 1, 1]),
        # A turn that alternates costs two writes, not one for each step.
        ("all 0 all 1 all 2 all", [2, 2, 2, 2, 2, 2]),
    ],
)
def test_a_turn_is_one_write_to_each_connection(steps: str, writes: list[int]) -> None:
    # given connections, and a turn of the loop in which this is written
    scene = Scene()
    for number, step in enumerate(steps.split()):
        scene.do(step, b"%d;" % number)

    # when it ends
    scene.writer.end_turn()

    # then each has all of it in order, in so many writes, and the loop was asked for one turn
    assert [one.writes and b"".join(one.writes) for one in scene.connections] == [
        b"".join(texts) for texts in scene.expected
    ]
    assert scene.writes() == writes
    assert scene.turns == 1


@given(
    turns=st.lists(
        st.lists(
            st.sampled_from(["all", "room", "left", "right", "0", "3", "5", "large"]), max_size=12
        ),
        max_size=4,
    )
)
def test_whatever_is_written_each_connection_has_it_in_order(turns: list[list[str]]) -> None:
    scene, number = Scene(), 0
    for steps in turns:
        for step in steps:
            number += 1
            text = b"%d;" % number
            if step == "large":  # more than waits for the end of a turn
                step, text = "all", text * TURN_BYTES
            scene.do(step, text)
        scene.writer.end_turn()
        for connection, expected in zip(scene.connections, scene.expected, strict=True):
            assert b"".join(connection.writes) == b"".join(expected)
            assert not connection.kept


def test_more_than_a_turn_may_hold_is_written_at_once() -> None:
    scene = Scene()
    scene.do("all", b"x" * TURN_BYTES)
    assert scene.writes() == [0] * 6
    scene.do("all", b"x")
    assert scene.writes() == [1] * 6


def test_every_turn_is_announced() -> None:
    # given a turn that is over
    scene = Scene()
    scene.do("all", b"1")
    scene.writer.end_turn()

    # when there is more later, then the loop is asked again, once
    scene.do("0", b"2")
    scene.do("1", b"3")
    assert scene.turns == 2


# With the hub, its rooms, and connections whose transports are full


@pytest.fixture
def harness() -> Harness:
    return Harness()


def clients(harness: Harness, number: int = FEW + 2) -> list[FakeClient]:
    return [harness.client().join() for _ in range(number)]


def test_a_full_transport_gets_no_event_and_the_others_do(harness: Harness) -> None:
    # given a group of viewers that has had an event
    slow, *others = clients(harness)
    harness.hub.emit(Event("/", "first", b"[1]"))
    assert [one.received() for one in (slow, *others)] == [['42["first",1]']] * len([slow, *others])

    # when one of them does not read, then its events are dropped and counted
    slow.connection.pause_writing()
    assert harness.hub.emit(Event("/", "second", b"[2]")) == len(others)
    assert [one.received() for one in others] == [['42["second",2]']] * len(others)
    assert slow.received() == []
    assert harness.hub.dropped.total == 1

    # and when it reads again, it is one of the group again
    slow.connection.resume_writing()
    assert harness.hub.emit(Event("/", "third", b"[3]")) == len(others) + 1
    assert slow.received() == ['42["third",3]']


def test_who_fills_up_while_a_group_is_written_to_is_left_out_from_then_on(
    harness: Harness,
) -> None:
    slow, *others = clients(harness)
    write = slow.transport.write

    def write_and_pause(data: bytes) -> None:
        write(data)
        slow.connection.pause_writing()

    slow.transport.write = write_and_pause  # type: ignore[method-assign]
    harness.hub.emit(Event("/", "first", b"[1]"))
    harness.websockets.writer.end_turn()
    assert harness.hub.emit(Event("/", "second", b"[2]")) == len(others)
    assert [one.received() for one in others] == [['42["first",1]', '42["second",2]']] * len(others)
    assert slow.received() == ['42["first",1]']


@pytest.mark.parametrize("of", ["states", "seen", "commands"])
def test_who_fills_up_while_another_audience_is_served_misses_nothing(of: str) -> None:
    # given many viewers of one device, and one of all, which has been answered in this turn
    told = BroadcastHarness()
    harness = Harness(broadcaster=told.broadcaster, loop=told.loop)  # type: ignore[arg-type]
    many, slow = clients(harness, FEW + 1), harness.client().join()
    told.store.commit("pillow", {"n": 1})
    told.tick()
    for one in many:
        one.send('42["watch",{"devices":["pillow"],"protocol":1}]')
    slow.send('42["watch",{"devices":["*"],"protocol":1}]')
    told.loop.settle()
    for one in (*many, slow):
        one.received()
    slow.connection.send(b'430["answer"]')
    write = slow.transport.write

    def write_and_pause(data: bytes) -> None:
        write(data)
        slow.connection.pause_writing()

    slow.transport.write = write_and_pause  # type: ignore[method-assign]

    # when a tick for the many writes the answer as well, and the answer fills its transport
    if of == "states":
        told.store.commit("pillow", {"n": 2})
    elif of == "seen":
        told.store.see("pillow")
    else:
        told.store.ask("pillow")
    told.change_feed.read_once()
    if of == "seen":
        told.loop.advance(1)
    assert slow.connection.paused
    assert slow.received() == ['430["answer"]']

    # then it gets what the tick had, when it has read
    slow.transport.write = write  # type: ignore[method-assign]
    slow.connection.resume_writing()
    told.loop.settle()
    assert [one.partition(",")[0] for one in slow.received()] == [f'42["{of}"']
    assert [one.partition(",")[0] for one in many[0].received()] == [f'42["{of}"']


def test_a_connection_lost_before_the_turn_ends_costs_the_others_nothing(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    # given an event for a group, one of which is lost before the frames are written
    lost, *others = clients(harness)
    harness.hub.emit(Event("/", "first", b"[1]"))
    lost.lose()

    def write_after_the_end(data: bytes) -> None:  # as a transport of uvloop does
        raise RuntimeError("unable to perform operation; the handler is closed")

    lost.transport.write = write_after_the_end  # type: ignore[method-assign]
    lost.transport.close()

    # when the turn ends, then the others have it
    assert [one.received() for one in others] == [['42["first",1]']] * len(others)
    assert not caplog.records


@pytest.mark.parametrize("how", ["abort", "close", "lost", "leave"])
def test_who_has_left_gets_nothing_more(harness: Harness, how: str) -> None:
    # given a group that has had an event
    leaving, *others = clients(harness)
    harness.hub.emit(Event("/", "first", b"[1]"))
    for one in (leaving, *others):
        one.received()

    # when one of them leaves
    if how == "abort":
        leaving.connection.abort()
    elif how == "close":
        leaving.connection.close(1000, "")
    elif how == "lost":
        leaving.connection.connection_lost(None)
    else:
        leaving.send("41")
    leaving.received()

    # then the next event is not for it
    assert harness.hub.emit(Event("/", "second", b"[2]")) == len(others)
    assert leaving.received() == []
    assert [one.received() for one in others] == [['42["second",2]']] * len(others)


@pytest.mark.parametrize("moved_by", ["enter", "leave", "close_room"])
def test_rooms_change_between_two_events_of_one_turn(harness: Harness, moved_by: str) -> None:
    # given a room that was emitted to
    inside = clients(harness)
    sids = list(harness.hub.open("/").sockets)
    for sid in sids[:-1] if moved_by == "enter" else sids:
        harness.hub.apply_event(Event("/", "room", rooms=(sid,), kind="enter"))
    harness.hub.emit(Event("/", "first", b"[1]", rooms=("room",)))

    # when its members change in the same turn
    if moved_by == "close_room":
        harness.hub.apply_event(Event("/", "room", rooms=("room",), kind="close_room"))
    else:
        harness.hub.apply_event(
            Event("/", "room", rooms=(sids[-1],), kind="enter" if moved_by == "enter" else "leave")
        )
    harness.hub.emit(Event("/", "second", b"[2]", rooms=("room",)))

    # then each event reached those who were in the room when it was emitted
    first, second = '42["first",1]', '42["second",2]'
    last = {"enter": [second], "leave": [first], "close_room": [first]}[moved_by]
    rest = [first] if moved_by == "close_room" else [first, second]
    assert [one.received() for one in inside] == [rest] * (len(inside) - 1) + [last]


def test_the_order_of_an_answer_and_an_event_to_all_is_kept(harness: Harness) -> None:
    # given a viewer whose handler answers, and an event to all before and after
    asking, *others = clients(harness)
    harness.hub.emit(Event("/", "before", b"[]"))
    asking.connection.send(b'430["answer"]')
    harness.hub.emit(Event("/", "after", b"[]"))

    assert asking.received() == ['42["before"]', '430["answer"]', '42["after"]']
    assert [one.received() for one in others] == [['42["before"]', '42["after"]']] * len(others)


def test_few_viewers_need_no_group() -> None:
    # given as many viewers as a loop over them is cheap for
    class Plain:
        outlet = name = None
        reader: Any = None

        def __init__(self) -> None:
            self.got: list[OutgoingMessage] = []

        def deliver(self, message: OutgoingMessage) -> None:
            self.got.append(message)

    viewers, current, message = (
        [Plain() for _ in range(FEW + 1)],
        UpToDate(),
        OutgoingMessage("x", b""),
    )
    for viewer in viewers[:FEW]:
        current.add(viewer)
    current.deliver(message)
    current.add(viewers[-1])  # and one more, which has no outlet either
    current.deliver(message)
    assert [len(viewer.got) for viewer in viewers] == [2] * FEW + [1]
    current.discard(viewers[0])
    assert viewers[0] not in current
    assert current.size == FEW


def test_a_lone_viewer_is_written_to_by_what_carries_it_now() -> None:
    # given a viewer whose connection takes whatever comes
    class Carried:
        name = None
        reader: Any = None

        def __init__(self) -> None:
            self.got: list[str] = []
            self.outlet: Any = Outlet(self.got, "first")

        def deliver(self, message: OutgoingMessage) -> None:
            self.got.append("none")

    class Outlet:
        def __init__(self, got: list[str], name: str) -> None:
            self.got, self.name = got, name

        def deliver(self, message: OutgoingMessage) -> None:
            self.got.append(self.name)

    viewer, current, message = Carried(), UpToDate(), OutgoingMessage("x", b"")
    current.add(viewer)
    current.deliver(message)
    # when another one carries it, then none that takes whatever comes
    viewer.outlet = Outlet(viewer.got, "second")
    current.forget_groups()
    current.deliver(message)
    viewer.outlet = None
    current.forget_groups()
    current.deliver(message)
    # then each message went to the one of its time
    assert viewer.got == ["first", "second", "none"]
