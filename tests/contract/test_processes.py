"""Several real processes on one store, controlled by pipes: no test waits by the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from statecast.errors import LeaseLost
from statecast.model import Event, Position
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.stores.sqlite.file_lock import has_ended, lease_file
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change, message
from statecast.testing.values import START
from waiting import wait_for, wait_for_lease

PREAMBLE = """
import os, sys
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.testing.values import START, change, message
store = open_store(sys.argv[1], Limits(), lambda: START)
queue = EmbeddedQueue(store)
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline().strip()
"""

Starter = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(store_url: str, clock: VirtualClock) -> Iterator[Store]:
    opened = open_store(store_url, Limits(), clock)
    yield opened
    opened.close()


@pytest.fixture
def start(store: Store, store_url: str) -> Iterator[Starter]:
    children: list[subprocess.Popen[str]] = []

    def starter(script: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREAMBLE + script, store_url]
        children.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return children[-1]

    yield starter
    for child in children:
        child.kill()
        child.communicate()


def heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def tell(child: subprocess.Popen[str], words: str = "go") -> None:
    assert child.stdin is not None
    print(words, file=child.stdin, flush=True)


def killed(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()


def test_who_holds_a_lease_is_known_in_other_processes(store: Store, start: Starter) -> None:
    # given a process that holds the lease
    child = start("lease = store.lease('queue'); say(os.getpid()); hear()")
    pid = int(heard(child))
    holder = store.holder("queue")
    assert holder is not None and holder.pid == pid
    # when it is stopped, then it still holds it, and its note ages
    child.send_signal(signal.SIGSTOP)
    stopped = store.holder("queue")
    assert stopped is not None and stopped.idle_seconds >= holder.idle_seconds
    assert store.lease("queue") is None
    # a note that cannot be read says nothing
    if isinstance(store, SqliteStore):
        lease_file(store.path, "queue").write_bytes(b"")
        assert store.holder("queue") is None
    killed(child)
    assert wait_for_lease(store, "queue") is not None


def test_a_lease_is_free_when_its_holder_was_killed(store: Store, start: Starter) -> None:
    # given a process that holds the lease
    child = start("lease = store.lease('queue'); say(lease.term); hear()")
    term = int(heard(child))
    assert store.lease("queue") is None
    # when it is killed
    killed(child)
    # then the next one has it, with a higher term
    lease = wait_for_lease(store, "queue")
    assert lease.term == term + 1
    with pytest.raises(LeaseLost):
        store.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=term)
    lease.release()


def test_a_child_of_the_killed_holder_does_not_keep_the_lease(store: Store, start: Starter) -> None:
    child = start(
        "lease = store.lease('queue')\n"
        "say('held')\n"
        "child = os.fork()\n"
        "if child == 0: hear(); os._exit(0)\n"
        "say(child); os.waitpid(child, 0)\n"
    )
    assert heard(child) == "held"
    orphan = int(heard(child))
    try:
        killed(child)
        wait_for_lease(store, "queue").release()  # the orphan may be between its fork and its hook
        os.kill(orphan, 0)  # it runs nevertheless
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_process_that_takes_events_is_known_to_the_others_until_it_ends(
    store: Store, start: Starter
) -> None:
    # given a process that takes events, when it is the only one, then there are no others
    store.take_events()
    assert not store.others_take_events()

    # when another one begins, then it is known before it has read, and as long as it is stopped
    child = start(
        "store.take_events(); say('takes'); hear()\n"
        "cursor = store.read(ReadCursor()).cursor; say('reads'); hear()\n"
        "say(*[event.name for event in store.read(cursor).events]); hear()"
    )
    assert heard(child) == "takes"
    assert store.others_take_events()
    tell(child)
    assert heard(child) == "reads"
    child.send_signal(signal.SIGSTOP)
    assert store.others_take_events()
    store.emit([Event("/", "a"), Event("/", "b")])
    child.send_signal(signal.SIGCONT)
    tell(child)
    assert heard(child) == "a b"

    # and no longer when it was killed
    killed(child)
    wait_for(lambda: not store.others_take_events())


def test_a_process_that_only_uses_the_store_takes_no_events(store: Store, start: Starter) -> None:
    store.take_events()
    child = start("say('open'); hear(); say(store.others_take_events()); hear()")
    assert heard(child) == "open"
    assert not store.others_take_events()

    # what it emits itself has a reader, as far as it knows
    tell(child)
    assert heard(child) == "True"


def test_a_forked_child_takes_no_events_and_leaves_those_of_its_parent(
    store: Store, start: Starter
) -> None:
    # given a process that takes events, and forks a child that uses the store
    store.take_events()
    child = start(
        "store.take_events()\n"
        "child = os.fork()\n"
        "if child == 0: store.reports(); say('forked'); os._exit(0)\n"
        "os.waitpid(child, 0); say('over'); hear(); store.close(); say('closed'); hear()\n"
    )
    assert heard(child) == "forked"
    assert heard(child) == "over"

    # then the parent takes them still, until it closes the store
    assert store.others_take_events()
    tell(child)
    assert heard(child) == "closed"
    wait_for(lambda: not store.others_take_events())


def test_two_stores_of_one_process_take_events_each(
    store: Store, store_url: str, clock: VirtualClock
) -> None:
    store.take_events()
    second = open_store(store_url, Limits(), clock)
    second.take_events()
    assert store.others_take_events()
    assert second.others_take_events()
    second.close()
    wait_for(lambda: not store.others_take_events())


def test_a_commit_of_another_process_ends_a_wait(store: Store, start: Starter) -> None:
    child = start(
        "store.read(ReadCursor()); say('looked')\n"
        "while store.get('pillow') is None: store.wait(100)\n"  # it may return early, never late
        "say(store.get('pillow').version)"
    )
    assert heard(child) == "looked"
    store.edit(change("pillow", {"n": 1}, by="user"))
    assert heard(child) == "1"


def test_what_one_thread_has_no_use_for_ends_the_wait_of_another(
    store: Store, start: Starter
) -> None:
    # given a reader that waits for states, and a receiver that waits for messages
    cursor = store.read(ReadCursor(watch=0, access=0)).cursor
    queue, received, found = EmbeddedQueue(store), list[bytes](), list[str]()

    def receive() -> None:
        received.extend(one.body for one in queue.receive(1, 60))

    def read() -> None:
        at = cursor
        while not found:
            store.wait(60, at)
            changes = store.read(at)
            found.extend(update.device for update in changes.updates)
            at = changes.cursor

    threads = [threading.Thread(target=one, daemon=True) for one in (read, receive)]
    for thread in threads:
        thread.start()
    # when another process sends a message, then it is received
    other = start(
        "hear(); queue.send(b'{}'); hear(); store.edit(change('pillow', {'n': 1})); hear()"
    )
    tell(other)
    threads[1].join(20)
    assert received == [b"{}"]
    # and when it commits a state, then that is read
    tell(other)
    threads[0].join(20)
    assert found == ["pillow"]


def test_a_message_of_another_process_ends_a_receive(store: Store, start: Starter) -> None:
    child = start("say('ready'); (one,) = queue.receive(1, 100); say(one.body.decode())")
    assert heard(child) == "ready"
    EmbeddedQueue(store).send(b"hello")
    assert heard(child) == "hello"


def test_messages_in_flight_of_a_killed_process_appear_again(
    store: Store, start: Starter, clock: VirtualClock
) -> None:
    queue = EmbeddedQueue(store)
    queue.send_many([b"1", b"2", b"3"])
    # given a process that received three, acknowledged one and committed none
    child = start(
        "batch = queue.receive(10, 0); queue.acknowledge(batch[:1]); queue.flush()\n"
        "say(len(batch)); hear()"
    )
    assert heard(child) == "3"
    assert queue.receive(10, 0) == []
    # when it is killed, they appear again after their time and not before
    killed(child)
    assert queue.receive(10, 0) == []
    clock.advance(30)
    assert [(one.body, one.attempt) for one in queue.receive(10, 0)] == [(b"2", 2), (b"3", 2)]


def test_many_may_send_and_receive(store: Store, start: Starter, tmp_path: Path) -> None:
    # given senders and receivers at the same time
    sender = "hear()\nfor n in range(60): queue.send(b'%d' % n)\nsay('done')"
    receiver = (
        "hear()\nseen = 0\n"
        "while True:\n"
        "    page = queue.receive(7, 0.5)\n"
        "    seen += len(page)\n"
        "    queue.acknowledge(page)\n"
        f"    over = os.path.exists('{tmp_path}/over')\n"
        "    if not page and queue.waiting() == 0 and over: break\n"
        "say(seen)\n"
    )
    senders = [start(sender) for _ in range(2)]
    receivers = [start(receiver) for _ in range(2)]
    for child in senders + receivers:
        tell(child)
    for child in senders:
        assert heard(child) == "done"
    (tmp_path / "over").touch()
    # then each message was delivered to exactly one
    assert sum(int(heard(child)) for child in receivers) == 120
    assert EmbeddedQueue(store).waiting() == 0


def test_offsets_and_versions_stay_in_order_over_processes(store: Store, start: Starter) -> None:
    writer = (
        "hear()\n"
        "for n in range(40): store.edit(change('pillow', {'n': n, 'by': os.getpid()}, by='user'))\n"
        "say('done')"
    )
    children = [start(writer) for _ in range(2)]
    for child in children:
        tell(child)
    for child in children:
        assert heard(child) == "done"
    assert [row.version for row in store.history("pillow", limit=100)] == list(range(80, 0, -1))
    assert store.read_position().offset == 80


def test_every_process_names_the_newest_epoch(store: Store, start: Starter) -> None:
    before = store.read_position()
    child = start("say(*store.read_position()); hear()")
    epoch, offset = heard(child).split()
    assert epoch != before.epoch
    assert store.read_position() == Position(epoch, int(offset))
    assert store.is_valid(before)


def test_a_killed_writer_loses_nothing_it_confirmed(
    store: Store, store_url: str, start: Starter
) -> None:
    child = start(
        "for n in range(10_000):\n"
        "    one = message(f'm{n}', change('pillow', {'n': n}), sent_at=START + n)\n"
        "    store.commit('queue', 1, [one])\n"
        "    say(n)\n"
    )
    confirmed = [int(heard(child)) for _ in range(20)][-1]
    killed(child)
    update = store.get("pillow")
    assert update is not None and update.version > confirmed
    store.close()
    again = open_store(store_url)
    assert again.get("pillow") == update
    assert again.read(ReadCursor()).position.offset == update.offset
    again.close()


def test_a_killed_process_counts_no_more_and_leaves_nothing(
    store: Store, store_url: str, start: Starter
) -> None:
    # given two processes with viewers
    script = "store.announce({0}, {{}}); store.count_watching({0}, {{1: b'{{}}'}}); say(1); hear()"
    killed_one, other = start(script.format("'p'")), start(script.format("'q'"))
    for child in (killed_one, other):
        assert heard(child) == "1"
    cursor = store.read(ReadCursor(watch=0)).cursor
    reader = open_store(store_url, Limits(), lambda: START, begin_epoch=False)
    assert reader.reports().keys() == {"p", "q"}
    assert store.ended_processes() == []
    # when one is stopped, then it has not ended
    killed_one.send_signal(signal.SIGSTOP)
    assert store.ended_processes() == []
    # when it is killed, then its lock says so
    killed(killed_one)
    wait_for(lambda: store.ended_processes() == ["p"])
    assert reader.reports().keys() == {"q"}
    reader.close()
    assert [one.process for one in store.watch_parts([1])] == ["q"]
    # when what it left is removed, then readers learn it, and no file remains
    store.withdraw("p")
    changes = store.read(cursor).watch
    assert changes is not None
    assert changes.processes == {"q"}
    assert store.ended_processes() == []
    if isinstance(store, SqliteStore):
        files = [file.name for file in store.path.parent.glob("*lease*")]
        assert files == [f"{store.path.name}.lease-process%3Aq"]


def test_the_files_of_processes_that_nothing_else_knows_are_removed(
    store: Store, start: Starter
) -> None:
    if not isinstance(store, SqliteStore):
        return  # it has no files
    # given the lock file of a process whose rows were lost, with the power for example
    child = start("store.announce('p', {}); say('ready'); hear()")
    assert heard(child) == "ready"
    killed(child)
    with store.database.write() as connection:
        connection.execute("DELETE FROM reports")
    # when another process begins to serve, then only its own file is there
    store.announce("q", {})
    files = [file.name for file in store.path.parent.glob("*lease*")]
    assert files == [f"{store.path.name}.lease-process%3Aq"]
    store.close()
    # and a store that is closed has no lock
    assert has_ended(store.path, "q")


def test_a_child_that_outlives_a_serving_process_does_not_keep_it_alive(
    store: Store, start: Starter
) -> None:
    # given a serving process that has forked a child
    child = start(
        "store.announce('p', {})\n"
        "if os.fork():\n    say('ready'); hear()\n"
        "else:\n    say(os.getpid()); hear()\n"
    )
    lines = {heard(child), heard(child)}
    (pid,) = map(int, lines - {"ready"})
    try:
        assert store.ended_processes() == []
        # when the parent is killed, then it has ended, although the child runs
        killed(child)
        wait_for(lambda: store.ended_processes() == ["p"])
    finally:
        os.kill(pid, signal.SIGKILL)
