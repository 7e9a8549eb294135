"""Who watches what, over several processes: the counts come to the truth, and who asks is told."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast import names, strict_json
from statecast.access.grants import Grants
from statecast.access.identity import ANONYMOUS
from statecast.access.reader import READS_EVERYTHING, Reader
from statecast.broadcast import presence_exchange
from statecast.broadcast.broadcaster import Broadcaster
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.presence import INTERVAL, TURN
from statecast.broadcast.presence_exchange import PresenceExchange
from statecast.broadcast.watch_counts import part_of
from statecast.errors import StoreUnavailable
from statecast.model import Watching
from statecast.problems import Problems
from statecast.realtime.rooms import Namespace, Socket
from statecast.settings import Settings
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import VirtualClock
from tests.fakes.fake_loop import FakeLoop

DEVICES = ["a", "b", "f/a", "f/g/c"]


class OneViewer:
    """A viewer that keeps what it is told."""

    outlet = compression = None

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.reader = READS_EVERYTHING
        self.told: list[Any] = []

    def deliver(self, message: OutgoingMessage) -> None:
        if message.name == "watching":
            self.told.append(json.loads(message.payload))

    def news(self) -> list[Any]:
        """What it was told since the last call."""
        told, self.told = self.told, []
        return told


class Process:
    """The broadcaster of one serving process, on a store that others share."""

    def __init__(self, store: MemoryStore, name: str, **options: Any) -> None:
        self.store = store
        self.name = name
        self.loop = FakeLoop()
        self.broadcaster = Broadcaster(store, Settings(), clock=store.clock, origin=name, **options)
        self.broadcaster.loop = self.loop  # type: ignore[assignment]
        self.presence = self.broadcaster.presence
        self.problems = Problems()
        self.ended: list[str] = []
        self.exchange = PresenceExchange(
            lambda: store, name, self.presence.to_write, self.ended.append, self.problems
        )
        self.cursor = ReadCursor(watch=0)
        self.announce()

    def announce(self) -> None:
        self.store.announce(self.name, {})

    def watch(self, viewer: OneViewer, *devices: str, **more: Any) -> None:
        self.broadcaster.watch(viewer, {"devices": list(devices), **more})

    def tick(self) -> None:
        """Let the time of one tick pass, write, and read what the others have written."""
        self.loop.advance(INTERVAL)
        self.write()
        self.read()

    def write(self) -> None:
        self.exchange.exchange()

    def read(self) -> None:
        changes = self.store.read(self.cursor)
        self.cursor = changes.cursor
        if changes.watch is not None:
            self.presence.take(changes.watch)

    def count(self, device: str = "a") -> int:
        return self.broadcaster.who_watches(device).count


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryStore:
    return MemoryStore(Limits(), clock)


def two(store: MemoryStore) -> tuple[Process, Process]:
    return Process(store, "p"), Process(store, "q")


def settle(*processes: Process) -> None:
    for _ in range(3):
        for process in processes:
            process.tick()


def told(count: int, device: str = "a", *known: str) -> list[dict[str, Any]]:
    return [{"device": device, "count": count, "names": list(known)}]


# Counting


def test_a_viewer_counts_at_once_in_its_own_process(store: MemoryStore) -> None:
    here, there = two(store)
    viewer = OneViewer("Ada")
    here.watch(viewer, "a")
    assert here.broadcaster.who_watches("a") == Watching(1, ("Ada",))
    # and in the others after a tick
    assert there.count() == 0
    settle(here, there)
    assert there.broadcaster.who_watches("a") == Watching(1, ("Ada",))
    # when it watches something else, it counts there
    here.watch(viewer, "f/*")
    settle(here, there)
    assert [there.count(device) for device in DEVICES] == [0, 0, 1, 1]
    # when it leaves, nothing stays
    here.broadcaster.leave(viewer)
    settle(here, there)
    assert [there.count(device) for device in DEVICES] == [0, 0, 0, 0]


def test_ten_thousand_viewers_of_everything_are_one_row_and_one_write(store: MemoryStore) -> None:
    # given very many viewers of one pattern, which come and leave
    here, _ = two(store)
    writes: list[dict[int, bytes]] = []
    store.count_watching = lambda process, parts: writes.append(dict(parts))  # type: ignore[method-assign,assignment]
    viewers = [OneViewer() for _ in range(10_000)]
    for viewer in viewers:
        here.watch(viewer, "*")
    # when a second passes, then one part was written, once
    here.loop.advance(INTERVAL)
    here.write()
    ((part,),) = writes
    assert writes == [{part: b'{"numbers":{"*":10000},"names":{}}'}]
    # when nothing changes, nothing is written
    here.loop.advance(10 * INTERVAL)
    here.write()
    assert len(writes) == 1
    assert here.loop.timers == []


def test_a_process_writes_at_most_once_a_second(store: MemoryStore) -> None:
    here, _ = two(store)
    writes: list[Any] = []
    store.count_watching = lambda process, parts: writes.append(parts)  # type: ignore[method-assign,assignment]
    for _ in range(100):  # ten seconds
        here.watch(OneViewer(), "a")
        here.loop.advance(0.1)
        here.write()
    assert 9 <= len(writes) <= 11


def test_a_stop_that_comes_within_an_exchange_ends_the_thread(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that stops just as its thread takes what is to be written
    for interval in ("INTERVAL", "ALONE_INTERVAL"):
        monkeypatch.setattr(presence_exchange, interval, 3600.0)
    here, _ = two(store)
    taken = here.presence.to_write.take

    def take() -> dict[int, bytes]:
        here.exchange.stop()
        return taken()

    monkeypatch.setattr(here.presence.to_write, "take", take)
    # when the thread runs, then it ends after that exchange
    thread = threading.Thread(target=here.exchange._run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


Step = tuple[int, int, Any]
steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 2),
        st.one_of(
            st.none(),
            st.just("tick"),
            st.just("read"),
            st.sampled_from(["Ada", "Bob"]),
            st.sets(st.sampled_from(["*", "f/*", "f/g/*", *DEVICES]), min_size=1, max_size=3),
        ),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_whatever_viewers_do_the_counts_come_to_the_truth(program: list[Step]) -> None:
    """Viewers of two processes watch, are named, and leave; ticks and reads come at any time."""
    store = MemoryStore(Limits(), VirtualClock())
    processes = two(store)
    viewers = [[OneViewer() for _ in range(3)] for _ in processes]
    truth: dict[OneViewer, set[str]] = {}
    for number, index, step in program:
        process, viewer = processes[number], viewers[number][index]
        if step == "tick":
            process.tick()
        elif step == "read":
            process.read()
        elif isinstance(step, str):
            viewer.name = step
            process.broadcaster.rename(viewer)
        elif step is None:
            process.broadcaster.leave(viewer)
            truth.pop(viewer, None)
        else:
            process.watch(viewer, *step, presence=True)
            truth[viewer] = step
    settle(*processes)
    for device in DEVICES:
        there = [
            viewer
            for viewer, patterns in truth.items()
            if any(names.match(pattern, device) for pattern in patterns)
        ]
        known = tuple(sorted({viewer.name for viewer in there if viewer.name}))
        for process in processes:
            assert process.broadcaster.who_watches(device) == Watching(len(there), known)
        # and who asked for it by name was told so last
        for viewer in there:
            if device in truth[viewer]:
                newest = [one for event in viewer.told for one in event if one["device"] == device]
                assert newest[-1:] == told(len(there), device, *known)


# Processes that end


def test_a_process_that_withdraws_takes_its_viewers_along(store: MemoryStore) -> None:
    here, there = two(store)
    asker = OneViewer()
    here.watch(asker, "a", presence=True)
    there.watch(OneViewer(), "*")
    settle(here, there)
    assert asker.news()[-1] == told(2)
    store.withdraw("q")
    settle(here)
    assert (here.count(), asker.news()) == (1, [told(1)])


def test_a_process_whose_report_is_old_does_not_count_and_comes_back(
    store: MemoryStore, clock: VirtualClock
) -> None:
    # given two processes with a viewer each, of which one is stopped
    here, there = two(store)
    here.watch(OneViewer(), "a")
    there.watch(OneViewer(), "a")
    settle(here, there)
    assert here.count() == 2
    clock.advance(11)
    here.announce()
    settle(here)
    assert here.count() == 1
    # when it goes on, then it finds its counts gone, and writes them again
    there.announce()
    settle(there, here)
    assert (here.count(), there.count()) == (2, 2)


def test_a_process_that_has_ended_is_forgotten_before_its_rows_are(store: MemoryStore) -> None:
    """On a full disk they stay."""
    here, there = two(store)
    there.watch(OneViewer(), "a")
    settle(there, here)
    assert here.count() == 1

    def full(process: str) -> None:
        raise StoreUnavailable("the disk is full")

    store.ended_processes = lambda: ["q"]  # type: ignore[method-assign]
    store.withdraw = full  # type: ignore[method-assign]
    here.write()
    assert here.ended == ["q"]
    here.presence.forget("q")
    assert here.count() == 0


def test_a_store_that_cannot_be_written_loses_no_count(store: MemoryStore) -> None:
    here, there = two(store)
    viewer = OneViewer()
    here.watch(viewer, "a")
    here.watch(OneViewer(), "b")
    # given a store that takes nothing
    write = store.count_watching

    def full(process: str, parts: Any) -> None:
        raise StoreUnavailable("the disk is full")

    store.count_watching = full  # type: ignore[method-assign]
    here.tick()
    here.broadcaster.leave(viewer)
    here.tick()
    # when it takes writes again, then the newest counts are written
    store.count_watching = write  # type: ignore[method-assign]
    settle(here, there)
    assert [there.count(device) for device in "ab"] == [0, 1]


def test_after_a_store_was_set_back_everything_is_written_again(store: MemoryStore) -> None:
    here, there = two(store)
    here.watch(OneViewer(), "a")
    settle(here, there)
    # given a backup that was restored: it has other counts of this process
    store.count_watching("p", {part_of("a"): b'{"numbers":{"a":7},"names":{}}'})
    there.read()
    assert there.count() == 7
    here.broadcaster._start_over()
    settle(here, there)
    assert there.count() == 1


# The event


def test_who_asks_is_told_and_who_does_not_is_not(store: MemoryStore) -> None:
    here, there = two(store)
    asker, other = OneViewer("Ada"), OneViewer()
    here.watch(asker, "a", presence=True)
    here.watch(other, "a")
    settle(here, there)
    assert (asker.news(), other.news()) == ([told(2, "a", "Ada")], [])
    # when one comes in another process, by a pattern
    before = here.broadcaster.sent_bytes
    there.watch(OneViewer("Bob"), "*")
    settle(there, here)
    sent = here.broadcaster.sent_bytes - before
    assert (asker.news(), other.news()) == ([told(3, "a", "Ada", "Bob")], [])
    # and it counts among what was sent
    assert sent == len(strict_json.encode(told(3, "a", "Ada", "Bob")))
    # when it does not ask any more
    here.watch(asker, "a")
    here.broadcaster.leave(other)
    settle(here, there)
    assert asker.news() == []


def test_patterns_count_and_bring_no_counts(store: MemoryStore) -> None:
    here, _ = two(store)
    asker = OneViewer()
    here.watch(asker, "*", "f/a", presence=True)
    settle(here)
    assert asker.news() == [told(1, "f/a")]
    here.watch(OneViewer(), "b")
    settle(here)
    assert asker.news() == []


@pytest.mark.parametrize(
    ("watched", "told_of"),
    [("a", ["a"]), ("*", ["a", "f/a", "f/g/c"]), ("f/*", ["f/a", "f/g/c"]), ("f/g/*", ["f/g/c"])],
)
def test_a_change_tells_of_the_devices_that_it_concerns(
    store: MemoryStore, watched: str, told_of: list[str]
) -> None:
    here, _ = two(store)
    asker = OneViewer()
    here.watch(asker, "a", "f/a", "f/g/c", presence=True)
    settle(here)
    asker.news()
    here.watch(OneViewer(), watched)
    settle(here)
    assert asker.news() == [[{"device": device, "count": 2, "names": []} for device in told_of]]


def test_a_device_is_told_of_at_most_once_a_second(store: MemoryStore) -> None:
    here, _ = two(store)
    asker = OneViewer()
    here.watch(asker, "a", presence=True)
    here.loop.advance(INTERVAL)
    asker.news()
    for _ in range(50):  # five seconds
        here.watch(OneViewer(), "a")
        here.loop.advance(0.1)
    here.loop.advance(INTERVAL)
    news = asker.news()
    assert 5 <= len(news) <= 7
    assert news[-1] == told(51)


def test_a_viewer_that_was_slow_is_told_when_it_goes_on(store: MemoryStore) -> None:
    here, _ = two(store)
    asker = OneViewer()
    here.watch(asker, "a", presence=True)
    here.loop.settle()
    settle(here)
    asker.news()
    # given a viewer whose transport is full
    here.broadcaster.pause(asker)
    here.watch(OneViewer(), "a")
    settle(here)
    assert asker.news() == []
    # when it has drained, then it gets the newest
    here.broadcaster.resume(asker)
    settle(here)
    assert asker.news() == [told(2)]


def test_very_many_who_ask_are_told_over_several_turns_of_the_loop(store: MemoryStore) -> None:
    here, _ = two(store)
    askers = [OneViewer() for _ in range(3 * TURN)]
    for number, asker in enumerate(askers):
        here.watch(asker, f"d{number}", presence=True)
    here.loop.advance(3 * INTERVAL)
    for asker in askers:
        asker.news()
    # when one more watches everything
    here.watch(OneViewer(), "*")
    here.loop.advance(0.06)
    assert sum(bool(asker.told) for asker in askers) == TURN
    here.loop.advance(INTERVAL)
    for number, asker in enumerate(askers):
        assert asker.news() == [told(2, f"d{number}")]


def test_who_may_not_read_a_device_neither_counts_nor_is_told(store: MemoryStore) -> None:
    # given a viewer that may read nothing but b
    here = Process(store, "p")
    guest, other = OneViewer("guest"), OneViewer()
    guest.reader = Reader(ANONYMOUS, Grants.of({"b": "read"}))
    here.watch(guest, "a", "b", presence=True)
    here.watch(other, "a", presence=True)
    settle(here)
    assert (here.count("a"), here.count("b")) == (1, 1)
    assert guest.news() == [told(1, "b", "guest")]
    assert other.news() == [told(1, "a")]


def test_a_process_that_cannot_tell_all_says_so(store: MemoryStore) -> None:
    # given more different devices in one part than a row takes
    here, _ = two(store)
    for number in range(64 * 700):
        here.presence.add(f"{'x' * 100}{number}", 1)
    here.tick()
    (problem,) = here.problems.current()
    assert (problem.kind, problem.severity) == ("presence-partial", "notice")
    # when they have gone, then it is over
    for number in range(64 * 700):
        here.presence.add(f"{'x' * 100}{number}", -1)
    here.tick()
    assert here.problems.current() == []


# Rooms


def test_who_is_in_a_room_is_known_in_every_process(store: MemoryStore) -> None:
    here, there = two(store)
    # given two viewers in a room here, one of them with a name, and one in the room there
    chat = Namespace("/chat", count=here.broadcaster.count_room)
    other = Namespace("/chat", count=there.broadcaster.count_room)
    ada, bob = Socket(OneViewer("Ada"), chat, "1"), Socket(OneViewer(), chat, "2")  # type: ignore[arg-type]
    eve = Socket(OneViewer("Eve"), other, "3")  # type: ignore[arg-type]
    for socket in (ada, bob, ada, eve):  # who enters twice is in it once
        socket.namespace.enter(socket, "smith/")
    # then each process knows all of them, and the device of that name has no viewers
    settle(here, there)
    for process in (here, there):
        found = process.broadcaster.who_is_in("/chat", "smith/")
        assert found == Watching(3, ("Ada", "Eve"))
        assert process.broadcaster.who_is_in("/", "smith/") == Watching(0)
        assert process.count("smith/pillow") == 0
    # when one gets another name, one leaves, and the process there ends
    chat.rename(ada, "Ada L.")
    ada.viewer.name = "Ada L."
    chat.leave(bob, "smith/")
    chat.leave(bob, "smith/")
    here.presence.forget("q")
    settle(here)
    assert here.broadcaster.who_is_in("/chat", "smith/") == Watching(1, ("Ada L.",))
    # and who disconnects leaves every room
    chat.enter(ada, "jones")
    chat.remove(ada)
    for room in ("smith/", "jones"):
        assert here.broadcaster.who_is_in("/chat", room) == Watching(0)


def test_a_room_that_is_entered_before_the_start_is_told_after_it(store: MemoryStore) -> None:
    # given a broadcaster without a loop yet, and a viewer that is in a room already
    broadcaster = Broadcaster(store, Settings(), clock=store.clock, origin="p")
    broadcaster.count_room("/", "smith", 1, "Ada")
    assert broadcaster.who_is_in("/", "smith") == Watching(1, ("Ada",))
    # when it starts
    loop = FakeLoop()
    broadcaster.start(loop, follow=False)  # type: ignore[arg-type]
    loop.advance(INTERVAL)
    # then the other processes are told
    assert broadcaster.presence.to_write.take()
