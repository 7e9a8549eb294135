"""Random programs of two processes: what they do to a viewer arrives in the order of the calls.

A viewer of the process that runs a program has exactly what the program sends to it. A viewer of
another process has that too while the store works; else it misses some of it, and nothing comes
twice, late or in another order.

``TEST_STATECAST_PROGRAMS`` is the number of programs: 1 000, and more in a campaign.
"""

from __future__ import annotations

import json
import os
import queue
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statecast.broadcast import event_relay
from statecast.broadcast.event_relay import EventRelay
from statecast.errors import StoreUnavailable
from statecast.model import Event
from tests.fakes.event_program import ROOMS, VIEWERS, Model, Step
from tests.fakes.harness import FakeClient
from tests.fakes.serving_process import ServingProcess

PROGRAMS = int(os.environ.get("TEST_STATECAST_PROGRAMS", "1000"))
viewer, room = st.sampled_from(VIEWERS), st.sampled_from(ROOMS)
STEP: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.sampled_from(["emit", "bytes"]), st.lists(viewer | room, max_size=3, unique=True)),
    st.tuples(st.just("skip"), viewer | room),
    st.tuples(st.just("ask"), st.sampled_from(VIEWERS[:2])),
    st.tuples(st.sampled_from(["enter", "leave"]), viewer, room),
    st.tuples(st.just("close_room"), room),
    st.tuples(st.just("disconnect"), viewer),
)
PROGRAM = st.lists(STEP, max_size=14)
HERE, ELSEWHERE = VIEWERS[:2], set(VIEWERS[2:])


class Stage:
    """Two processes with fresh viewers, for one program or for one of each."""

    def __init__(self, processes: list[ServingProcess]) -> None:
        self.processes: list[ServingProcess] = []
        self.clients: list[dict[str, FakeClient]] = []
        """Of each process, by "driver", "0" and "1"."""
        self.sids: list[dict[str, str]] = []
        for process in processes:
            self.add(process)

    def add(self, process: ServingProcess) -> None:
        clients = {name: process.client() for name in ("driver", "0", "1")}
        self.processes.append(process)
        self.clients.append(clients)
        self.sids.append({name: joined(client) for name, client in clients.items()})

    def target(self, origin: int, name: str) -> str:
        """The room, or the sid of a viewer as the program of process ``origin`` names it."""
        if name in ROOMS:
            return name
        where, _, number = name.partition(" ")
        return self.sids[origin if where == "here" else 1 - origin][number]

    def perform(self, origin: int, program: list[Step], mark: str) -> None:
        """Run a program, on a thread of process ``origin``. ``mark`` begins its events' names."""
        runtime = self.processes[origin].runtime
        for number, (kind, *arguments) in enumerate(program):
            event = f"{mark}{number}"
            if kind in ("emit", "bytes"):
                to = [self.target(origin, name) for name in arguments[0]]
                data = [b"%d" % number] if kind == "bytes" else []
                runtime.viewers.emit(event, *data, to=to or None)
            elif kind == "skip":
                runtime.viewers.emit(event, skip=self.target(origin, arguments[0]))
            elif kind == "ask":
                to_one = self.target(origin, arguments[0])
                runtime.viewers.emit(event, to=to_one, callback=lambda *answer: None)
            elif kind == "close_room":
                runtime.viewers.move("close_room", "/", "", arguments[0])
            else:
                room = arguments[1] if len(arguments) > 1 else ""
                runtime.viewers.move(kind, "/", room, self.target(origin, arguments[0]))

    def run(self, programs: dict[int, tuple[list[Step], str]]) -> None:
        """Run a program in each named process at the same time, as handlers of their drivers."""
        for origin, (program, mark) in programs.items():
            handlers = self.processes[origin].hub.open("/").handlers

            def go(sid: str, origin: int = origin, one: Any = (program, mark)) -> str:
                self.perform(origin, *one)
                return "end"

            handlers["go"] = go
        for origin in programs:
            self.clients[origin]["driver"].send('429["go"]')
        self.views: list[dict[str, list[Any]]] = [
            {name: [] for name in clients} for clients in self.clients
        ]
        for origin in programs:
            view, driver = self.views[origin]["driver"], self.clients[origin]["driver"]
            while '439["end"]' not in view:
                view += plain(driver.wait_for(1))

    def tell_the_other(self, origin: int, mark: str) -> None:
        """Let the other process read all that this one has relayed."""
        self.processes[origin].runtime.viewers.emit(mark, to="empty room")
        self.processes[origin].wait_until_written(mark)
        self.processes[1 - origin].read()

    def take_views(self) -> list[dict[str, list[Any]]]:
        for views, clients in zip(self.views, self.clients):
            for name, client in clients.items():
                views[name] += plain(client.received())
        return self.views

    def leave(self) -> None:
        for process, clients in zip(self.processes, self.clients):
            for client in clients.values():
                client.lose()
            process.settle()


def joined(client: FakeClient) -> str:
    client.send("40")
    return str(json.loads(client.received()[-1][2:])["sid"])


def plain(frames: list[Any]) -> list[Any]:
    """Frames without the numbers under which an answer is awaited."""
    return [re.sub(r"^42\d+\[", "42[", one) if isinstance(one, str) else one for one in frames]


def is_subsequence(part: list[Any], whole: list[Any]) -> bool:
    rest = iter(whole)
    return all(one in rest for one in part)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServingProcess]]:
    url = f"sqlite:///{tmp_path_factory.mktemp('programs')}/store.db"
    both = [ServingProcess(url), ServingProcess(url)]
    for process in both:  # the relay's thread begins with the first event
        process.runtime.viewers.emit("begin", to="empty room")
        process.wait_until_written("begin")
    yield both
    for process in both:
        process.close()


def programs(number: int) -> settings:
    return settings(
        max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


_marks = iter(range(10**9))


@programs(PROGRAMS)
@given(program=PROGRAM, origin=st.sampled_from([0, 1]))
def test_every_viewer_has_what_one_program_says_in_its_order(
    processes: list[ServingProcess], program: list[Step], origin: int
) -> None:
    # given two processes with viewers, when a handler of one of them runs a program
    stage = Stage(processes)
    stage.run({origin: (program, "e")})
    stage.tell_the_other(origin, f"end {next(_marks)}")
    views = stage.take_views()
    stage.leave()

    # then each viewer of both has exactly what it was there for
    expected = Model().run(program)
    found = {
        **{f"here {number}": views[origin][number] for number in "01"},
        **{f"there {number}": views[1 - origin][number] for number in "01"},
        "driver": views[origin]["driver"],
    }
    assert found == expected


@programs(PROGRAMS // 20)
@given(alone=st.lists(STEP.filter(lambda step: "there" not in str(step)), max_size=6), both=PROGRAM)
def test_a_process_that_starts_later_has_all_from_its_first_viewer_on(
    tmp_path_factory: pytest.TempPathFactory, alone: list[Step], both: list[Step]
) -> None:
    # given a process that is the only one, and runs a program
    folder = tmp_path_factory.mktemp("later")
    here = ServingProcess(f"sqlite:///{folder}/store.db")
    stage, model = Stage([here]), Model()
    model.present -= ELSEWHERE
    stage.run({0: (alone, "e")})
    found = stage.take_views()[0]
    expected = model.run(alone)
    assert found == {name.removeprefix("here "): expected[name] for name in (*HERE, "driver")}

    # and nothing is written, because no other process reads
    here.wait_until_decided()
    assert here.written.empty()

    # when another process starts, and viewers come to it, and the first one runs a program
    there = ServingProcess(f"sqlite:///{folder}/store.db")
    stage.add(there)
    model.views = {name: [] for name in model.views}
    model.present |= ELSEWHERE
    stage.run({0: (both, "e")})
    stage.tell_the_other(0, "end")
    views = stage.take_views()
    stage.leave()

    # then each viewer of both has exactly what it was there for
    expected = model.run(both)
    here.close()
    there.close()
    assert {
        **{f"here {number}": views[0][number] for number in "01"},
        **{f"there {number}": views[1][number] for number in "01"},
        "driver": views[0]["driver"],
    } == expected


@programs(PROGRAMS // 4)
@given(both=st.tuples(PROGRAM, PROGRAM))
def test_two_programs_at_once_keep_their_orders(
    processes: list[ServingProcess], both: tuple[list[Step], list[Step]]
) -> None:
    # given a program in each of two processes, at the same time
    stage = Stage(processes)
    stage.run({origin: (program, "ab"[origin]) for origin, program in enumerate(both)})
    for origin in (0, 1):
        stage.tell_the_other(origin, f"end {next(_marks)}")
    views = stage.take_views()
    stage.leave()

    # then what a viewer has of one of them is in the order of its calls, and nothing comes twice
    for view in (one for of_process in views for one in of_process.values()):
        texts = [one for one in view if isinstance(one, str)]
        for mark in "ab":
            numbers = [int(found[1]) for one in texts if (found := re.search(mark + r"(\d+)", one))]
            assert numbers == sorted(set(numbers))
        # and after the disconnect there is nothing
        assert "41" not in texts[:-1]


class Gate:
    """In front of the store of a process: writes wait until it opens, or fail."""

    def __init__(self, process: ServingProcess, *, fails: bool) -> None:
        self.put = 0
        """Events that went to the relay."""
        self._process = process
        self._fails = fails
        self._open = threading.Event()
        self._asked: queue.Queue[str] = queue.Queue()
        """The names of the events that came to the gate."""
        self._write, process._write = process._write, self._wait
        self._relay = process.runtime.viewers.relay
        self._relay.put = self._count  # type: ignore[method-assign]

    def _count(self, event: Event) -> None:
        self.put += 1
        EventRelay.put(self._relay, event)

    def _wait(self, events: Sequence[Event]) -> None:
        for event in events:
            self._asked.put(event.name)
        if self._fails:
            raise StoreUnavailable("The disk is full.")
        assert self._open.wait(10)
        self._write(events)

    def wait_for(self, name: str) -> None:
        """Until an event has come to the gate."""
        while self._asked.get(timeout=10) != name:
            pass

    def open(self) -> None:
        self._process._write = self._write
        self._open.set()
        del self._relay.put


@pytest.mark.parametrize("away", [False, True], ids=["full", "away"])
@programs(PROGRAMS // 4)
@given(program=PROGRAM)
def test_without_the_store_local_viewers_lose_nothing_and_no_caller_waits(
    processes: list[ServingProcess], away: bool, program: list[Step]
) -> None:
    # given a store that cannot be written, or hangs in a write while two events more may wait
    here, there = processes
    relay, stage, gate = here.runtime.viewers.relay, Stage(processes), Gate(here, fails=away)
    before, most = relay.dropped, event_relay.MAX_EVENTS
    dropped_there = there.hub.dropped.total
    event_relay.MAX_EVENTS = most if away else 2
    here.runtime.viewers.emit("first", to="empty room")
    gate.wait_for("first")

    # when a program runs, then it comes to its end
    stage.run({0: (program, "e")})
    if away:
        here.runtime.viewers.emit("last", to="empty room")
        gate.wait_for("last")
    event_relay.MAX_EVENTS = most
    gate.open()
    stage.tell_the_other(0, f"end {next(_marks)}")
    views = stage.take_views()
    stage.leave()

    # and each viewer of its process has everything
    expected = Model().run(program)
    assert views[0] == {
        "0": expected["here 0"],
        "1": expected["here 1"],
        "driver": expected["driver"],
    }

    # and what those of the other process miss is counted; they have the rest in order
    first_and_waiting = 0 if away else 3
    assert relay.dropped - before == max(0, gate.put - first_and_waiting)
    for view in (views[1]["0"], views[1]["1"]):
        numbers = [int(found[1]) for one in view if (found := re.search(r"e(\d+)", str(one)))]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= first_and_waiting
    assert there.hub.dropped.total == dropped_there
