"""The table of wrong clocks: what is said last is shown, whichever clock was wrong, and how.

Every process has a clock of its own, which is off from the true time. Messages take the whole way:
a sender, the embedded queue, the decoder, the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from statecast import strict_json, timestamps
from statecast.decoders import open_decoder
from statecast.ingest.pipeline import Pipeline
from statecast.model import Delivery
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing import VirtualClock, change
from statecast.testing.values import START

SECOND, MINUTES, DAY = 1.0, 5 * 60.0, 25 * 3600.0
SIZES = pytest.mark.parametrize("size", [SECOND, MINUTES, DAY], ids=["1 s", "5 min", "25 h"])
STORES = pytest.mark.parametrize("backend", ["memory", "sqlite"])


@dataclass
class OffsetClock:
    """The clock of one process."""

    truth: VirtualClock
    ahead: float = 0.0
    """By how many seconds it is ahead; below 0: behind."""

    def __call__(self) -> int:
        return self.truth.now + round(self.ahead * 1000)

    def uptime(self) -> int:
        return self.truth.running


@dataclass
class SharedClock:
    """A store in memory has one process only: it reads the clock of the process that acts."""

    current: OffsetClock

    def __call__(self) -> int:
        return self.current()

    def uptime(self) -> int:
        return self.current.uptime()


class Site:
    """A store, and processes that use it."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self.backend = folder, backend
        self.truth = VirtualClock()
        self.clocks: dict[str, OffsetClock] = {}
        self.stores: dict[str, Store] = {}
        self.shared: SharedClock | None = None
        self.number = 0
        self.seen_at = 0
        self.decode = open_decoder({}, "embedded:queue")

    def process(self, name: str, ahead: float = 0.0) -> Store:
        """The store of a process; at its first use it is opened."""
        clock = self.clocks.setdefault(name, OffsetClock(self.truth, ahead))
        if self.backend == "memory":
            self.shared = self.shared or SharedClock(clock)
            self.shared.current = clock
            if not self.stores:
                self.stores[name] = open_store("memory:", Limits(), self.shared)
            return next(iter(self.stores.values()))
        if name not in self.stores:
            url = f"sqlite:///{self.folder}/store.db"
            self.stores[name] = open_store(url, Limits(), clock)
        return self.stores[name]

    def set(self, name: str, ahead: float) -> None:
        self.clocks[name].ahead = ahead

    def restart(self, name: str) -> None:
        if self.backend == "sqlite":
            self.stores.pop(name).close()

    def close(self) -> None:
        for store in self.stores.values():
            store.close()

    # -- what processes do

    def send(self, sender: str, **message: Any) -> None:
        self.truth.advance(3)
        queue = self.process(sender).queue("queue")
        queue.append([json.dumps({"device": "pillow", **message}).encode()])

    def consume(self, server: str) -> None:
        store = self.process(server)
        source = EmbeddedQueue(store)
        lease = store.lease("queue")
        assert lease is not None
        with closing(source):
            Pipeline(source, self.decode, store, batch_size=100).step(lease.term, 0)
        lease.release()

    def edit(self, server: str, state: dict[str, Any], **more: Any) -> None:
        self.truth.advance(3)
        self.process(server).edit(change("pillow", state, by="user", **more))

    def true_time(self) -> str:
        return timestamps.iso(self.truth.now)

    # -- what is shown

    def state(self, server: str) -> Any:
        update = self.process(server).get("pillow")
        return None if update is None or update.state is None else strict_json.decode(update.state)

    def check(self, server: str, **expected: Any) -> None:
        """The last word is shown, nothing is dropped, no time is later than now."""
        store = self.process(server)
        state = self.state(server)
        assert {name: state.get(name) for name in expected} == expected
        update = store.get("pillow")
        assert update is not None
        now = self.clocks[server]()
        times = [update.changed_at, update.arrived_at, update.seen_at or 0, *update.fields.values()]
        times += [time for row in store.history("pillow") for time in (row.at, row.arrived_at)]
        assert max(times) <= now
        assert all(total.dropped == total.quarantined == 0 for total in store.totals().values())


@pytest.fixture
def site(tmp_path: Path, backend: str) -> Iterator[Site]:
    made = Site(tmp_path, backend)
    yield made
    made.close()


# What is said: each says a number, and it must be shown


def untimed(site: Site, sender: str, server: str) -> None:
    site.number += 1
    site.send(sender, state={"n": site.number})
    site.consume(server)
    site.check(server, n=site.number)


def timed(site: Site, sender: str, server: str) -> None:
    """The device has the right time, and says it."""
    site.number += 1
    site.truth.advance(3)
    site.send(sender, state={"n": site.number}, time=site.true_time())
    site.consume(server)
    site.check(server, n=site.number)


def edit(site: Site, sender: str, server: str) -> None:
    """An edit, and the message after it."""
    site.number += 1
    site.edit(server, {"n": site.number})
    site.check(server, n=site.number)
    untimed(site, sender, server)


def delete(site: Site, sender: str, server: str) -> None:
    """A deletion, and the message after it."""
    site.edit(server, {}, kind="delete")
    assert site.state(server) is None
    site.number += 1
    site.send(sender, state={"m": site.number})
    site.consume(server)
    assert site.state(server) == {"m": site.number}
    untimed(site, sender, server)


def delete_by_message(site: Site, sender: str, server: str) -> None:
    site.send(sender, delete=True)
    site.consume(server)
    assert site.state(server) is None
    untimed(site, sender, server)


def replaced(site: Site, sender: str, server: str) -> None:
    site.number += 1
    site.send(sender, state={"n": site.number, "r": 1}, replace=True)
    site.consume(server)
    assert site.state(server) == {"n": site.number, "r": 1}
    untimed(site, sender, server)


def deadline(site: Site, sender: str, server: str) -> None:
    site.number += 1
    site.send(sender, state={"n": site.number}, silent_after=site.number)
    site.consume(server)
    site.check(server, n=site.number)
    update = site.process(server).get("pillow")
    assert update is not None and update.silent_after == site.number


KINDS = pytest.mark.parametrize(
    "say", [untimed, timed, edit, delete, delete_by_message, replaced, deadline]
)
Say = Callable[[Site, str, str], None]


@SIZES
@KINDS
@STORES
def test_the_senders_clock_is_ahead_while_the_server_runs(
    site: Site, say: Say, size: float
) -> None:
    site.process("server")
    say(site, "right", "server")
    site.process("ahead", size)
    say(site, "ahead", "server")
    say(site, "right", "server")
    say(site, "right", "server")


@SIZES
@KINDS
@STORES
def test_the_senders_clock_is_behind_while_the_server_runs(
    site: Site, say: Say, size: float
) -> None:
    site.process("server")
    say(site, "right", "server")
    site.process("behind", -size)
    if say is not timed:  # its own time is cut to the time of sending, which is long ago
        say(site, "behind", "server")
    say(site, "right", "server")


@SIZES
@KINDS
@STORES
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("way", [1, -1], ids=["ahead", "behind"])
def test_the_servers_clock_is_wrong_and_put_right(
    site: Site, say: Say, size: float, restarted: bool, way: int
) -> None:
    # given one clock of the host, which goes wrong while the server runs
    site.process("host")
    say(site, "host", "host")
    site.set("host", way * size)
    say(site, "host", "host")
    # when it is put right, with or without a restart
    site.set("host", 0)
    if restarted:
        site.restart("host")
    # then the device is not frozen, and the next wrong time does not freeze it either
    say(site, "host", "host")
    untimed(site, "host", "host")
    site.set("host", -way * size)
    say(site, "host", "host")
    site.set("host", 0)
    say(site, "host", "host")


@SIZES
@KINDS
@STORES
def test_the_host_is_behind_when_it_opens_the_store_and_right_later(
    site: Site, say: Say, size: float
) -> None:
    site.process("host")
    say(site, "host", "host")
    site.restart("host")
    site.set("host", -size)  # a board without a battery starts with an old time
    say(site, "host", "host")
    say(site, "host", "host")
    site.set("host", 0)
    say(site, "host", "host")


@SIZES
@KINDS
@STORES
@pytest.mark.parametrize("way", [1, -1], ids=["ahead", "behind"])
def test_two_processes_have_different_clocks(site: Site, say: Say, size: float, way: int) -> None:
    # given that either of them may be right, that both send, and that the lease moves
    site.process("one")
    site.process("other", way * size)
    for sender, server in (("one", "other"), ("one", "one"), ("other", "one")):
        if say is timed and size * way < 0 and sender == "other":
            continue  # the queue's clock is long before the device's own time
        say(site, sender, server)
    untimed(site, "one", "one")
    untimed(site, "other", "other")
    untimed(site, "one", "other")
    untimed(site, "other", "one")


@STORES
def test_a_backlog_of_both_clocks_counts_in_the_order_of_the_queue(site: Site) -> None:
    # given messages that were sent before, during and after a wrong time, and no server
    site.process("host")
    for ahead in (0, DAY, 0, -DAY, MINUTES, 0):
        site.set("host", ahead)
        site.number += 1
        site.send("host", state={"n": site.number, f"f{site.number}": 1})
    # when one starts, then the last of them is shown, and none is lost
    site.consume("host")
    site.check("host", n=6, **{f"f{number}": 1 for number in range(1, 7)})


@STORES
@pytest.mark.parametrize("hours", [-2, -1, 1, 2])
def test_a_changed_zone_of_the_clock_is_no_trouble(site: Site, hours: int) -> None:
    """Summer time by hand, or local time taken for UTC."""
    site.process("host")
    for ahead in (0, hours * 3600.0, 0, hours * 3600.0):
        site.set("host", ahead)
        untimed(site, "host", "host")
        edit(site, "host", "host")


@STORES
def test_times_around_the_end_of_summer_and_a_leap_second_are_in_their_order(site: Site) -> None:
    site.process("server")
    site.truth.now = timestamps.parse_time("2027-01-01T00:00:00Z")
    times = [
        "2026-10-25T02:59:59+02:00",
        "2026-10-25T02:00:00+01:00",  # a second later, although the clock shows an hour less
        "2026-10-25T02:30:00+01:00",
        "2026-12-31T23:59:59.900Z",
        "2026-12-31T23:59:60Z",
    ]
    for number, time in enumerate(times):
        site.send("server", state={"n": number}, time=time)
        site.consume("server")
        site.check("server", n=number)
    # and in any other order of arrival the newest stays
    for time in reversed(times[:-1]):
        site.send("server", state={"n": "late"}, time=time)
        site.consume("server")
        assert site.state("server") == {"n": 4}


@STORES
def test_time_of_a_suspended_machine_is_no_step(site: Site) -> None:
    store = site.process("host")
    untimed(site, "host", "host")
    site.truth.advance(8 * DAY)  # clock and uptime both count it
    untimed(site, "host", "host")
    assert store.problems.current() == []


@STORES
def test_a_machine_that_stood_still_is_put_right_and_says_so(site: Site) -> None:
    """A virtual machine that was paused: its uptime does not know of it."""
    store = site.process("host")
    untimed(site, "host", "host")
    site.truth.set(3 * 3600)
    untimed(site, "host", "host")
    (problem,) = store.problems.current()
    assert problem.sentence.startswith(
        "The server's clock was set forward by 3 h, or the machine stood still for so long."
    )


@STORES
def test_a_step_is_known_to_other_processes(site: Site) -> None:
    # given a server whose clock was ahead and is right now
    site.process("server", DAY)
    untimed(site, "server", "server")
    site.set("server", 0)
    untimed(site, "server", "server")
    # then another process that opens the store says it
    if site.backend == "sqlite":
        site.clocks["doctor"] = OffsetClock(site.truth)
        url = f"sqlite:///{site.folder}/store.db"
        reader = open_store(url, Limits(), site.clocks["doctor"], begin_epoch=False)
        with closing(reader):
            (problem,) = reader.problems.current()
            assert "went back by 24 h" in problem.sentence  # 25 hours, and some seconds passed


@STORES
def test_vendors_sequences_do_not_doubt_each_other(site: Site) -> None:
    """With ``order=sequence`` no clock decides; without a sequence, arrival does."""
    decode = open_decoder({"order": "sequence"}, "embedded:queue")
    store = site.process("host")

    def say(sequence: int, n: int) -> Any:
        site.number += 1
        site.truth.advance(3)
        body = {"device": "pillow", "state": {"n": n}, "sequence": sequence}
        delivery = Delivery(f"m{site.number}", json.dumps(body).encode(), site.clocks["host"]())
        store.commit("hub", 1, [decode(delivery)])
        return site.state("host")

    assert say(5, 5) == {"n": 5}
    site.set("host", DAY)
    assert say(7, 7) == {"n": 7}
    store.edit(change("pillow", {"n": "by hand"}, by="user"))
    assert site.state("host") == {"n": "by hand"}
    site.set("host", 0)
    # an earlier sequence stays earlier, a later one is later, and a repeated one counts as it comes
    assert say(6, 6) == {"n": "by hand"}
    assert say(7, 77) == {"n": 77}
    assert say(8, 8) == {"n": 8}
    store.edit(change("pillow", kind="delete", by="user"))
    assert site.state("host") is None
    assert say(8, 88) == {"n": 88}
    assert site.truth.now > START
