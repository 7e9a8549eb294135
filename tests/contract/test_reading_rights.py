"""Rights that change while devices change: no viewer sees what it may not, and all end right.

Programs of commits, grants, revocations, watches, cuts and returns run against one or two serving
processes on one store. Each read of a process is one snapshot.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from statecast.access import secret_tokens
from statecast.access.credentials import Credentials
from statecast.access.directory import AccessDirectory
from statecast.access.grants import Grants
from statecast.access.patterns import any_covers
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.reader import READS_NOTHING
from statecast.broadcast import broadcaster as broadcaster_module
from statecast.broadcast.broadcaster import Broadcaster
from statecast.broadcast.change_feed import ChangeFeed
from statecast.broadcast.event_output import EventOutput
from statecast.broadcast.state_patches import StatePatches
from statecast.errors import Forbidden
from statecast.model import Change
from statecast.realtime.authenticator import Authenticator, NotAdmitted, Visit
from statecast.realtime.readers import Admission, Readers
from statecast.settings import Settings
from statecast.stores import open_store
from statecast.stores.changes import Changes, ReadCursor
from statecast.stores.contract import Store
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.limits import Limits
from statecast.testing.values import START
from tests.fakes.broadcast_harness import FakeClient, FakeCompression
from tests.fakes.fake_loop import FakeLoop

DEVICES = ("a", "b/1", "b/2", "c")
PATTERNS = ("*", "b/*", *DEVICES)
KEYS = ("k", "l")
VIEWERS = 4
PROTOCOLS = (2, 1, 2, 2)
"""Of the viewers; the third one is slow."""
PAD = "x" * 50
"""In each state, so that a patch is shorter."""
SECRET = "s" * secret_tokens.SECRET_CHARACTERS
DIGEST = secret_tokens.digest(SECRET)

some_patterns = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3)
viewers = st.integers(0, VIEWERS - 1)
steps = st.one_of(
    st.tuples(st.just("commit"), st.sampled_from(DEVICES)),
    st.tuples(st.just("remove"), st.sampled_from(DEVICES)),
    st.tuples(
        st.just("grant"),
        st.sampled_from(KEYS),
        st.lists(st.sampled_from(PATTERNS), max_size=2),
    ),
    st.tuples(st.just("revoke"), st.sampled_from(KEYS)),
    st.tuples(st.just("serve"), st.integers(0, 1)),
    st.tuples(st.just("watch"), viewers, some_patterns),
    st.tuples(st.just("move"), viewers, st.lists(some_patterns, max_size=2)),
    st.tuples(st.just("cut"), viewers),
    st.tuples(st.just("read"), viewers, st.integers(1, 3)),
    st.tuples(st.just("compress")),
)
programs = st.lists(steps, min_size=5, max_size=25)


class Page(FakeClient):
    """A page with a key, which comes back when it was cut, until it is disconnected."""

    ended = False

    def __init__(self, process: Process, key: str, capacity: int, protocol: int) -> None:
        super().__init__(process, ["*"], capacity, protocol)  # type: ignore[arg-type]
        self.process = process
        self.key = key
        self.reader = READS_NOTHING
        self.asked: list[list[str]] = []
        """The lists of the requests whose answers were not read yet."""
        self.seen: list[tuple[str, int]] = []
        """Devices and offsets that were put on its connection since the last check."""

    def deliver(self, message: Any) -> None:
        super().deliver(message)
        if message.name == "states":
            for item in json.loads(message.payload)["states"]:
                if not item.get("gone"):
                    assert any_covers(self.reader.readable, item["device"]), "it was taken away"
                    self.seen.append((item["device"], item["offset"]))

    def watch(self, patterns: list[str] | None = None, **more: Any) -> dict[str, Any]:
        answer = super().watch(patterns, **more)
        self.asked.append(self.patterns)
        return answer

    def read(self, messages: int = 10_000) -> None:
        """Read; with the answer to another list the devices of the old one are forgotten."""
        for _ in range(min(messages, len(self.transport))):
            is_answer = self.transport[0][0] == "answer"
            super().read(1)
            if is_answer:
                patterns = self.asked.pop(0)
                for device in [one for one in self.states if not any_covers(patterns, one)]:
                    del self.states[device], self.versions[device]

    def cut(self) -> None:
        super().cut()
        self.asked.clear()

    def end(self, sentence: str) -> None:
        self.cut()
        self.ended = True

    def come(self, patterns: list[str]) -> None:
        """Connect if need be, and watch."""
        if not self.connected:
            decisions: list[Admission | NotAdmitted] = []
            visit = Visit(Credentials(bearer=f"sk_{self.key}_{SECRET}"))
            self.process.readers.admit(visit, decisions.append)
            if isinstance(decisions[0], NotAdmitted):
                self.ended = True
                return
            self.ended = False
            self.process.readers.add(self, decisions[0])
        before = self.patterns
        try:
            self.watch(patterns)
        except Forbidden:
            self.patterns = before  # what it watches already goes on
            if not self.process.broadcaster.subscribers.get(self):
                self.go()

    def go(self) -> None:
        if self.connected:
            self.process.readers.remove(self)
            self.cut()


class Process:
    """A serving process: its own connection to the store, its broadcaster, its readers."""

    def __init__(self, store: Store, kind: type[Broadcaster]) -> None:
        self.store = store
        self.loop = FakeLoop()
        self.loop.gate_is_shut = True
        self.on_delivery = lambda: None
        self.broadcaster = kind(store, Settings(), clock=lambda: START)
        self.broadcaster.loop = self.loop  # type: ignore[assignment]
        policy = AccessPolicy(Rules(), lambda: store, lambda: START)
        self.readers = Readers(
            policy,
            Authenticator(policy, lambda: store, threads=1, inline=True),
            AccessDirectory(lambda: START),
            self.broadcaster.regrant,
            credentials_of=lambda head, address: Credentials(),
            clock=lambda: START,
            monotonic=self.loop.time,
        )
        self.broadcaster.on_access(self.readers.on_access)
        self.broadcaster.has_rules = lambda: True
        self.feed = ChangeFeed(store, self.loop, dict, self.broadcaster)  # type: ignore[arg-type]
        self.broadcaster._change_feed = self.feed
        self.serve()

    def serve(self) -> None:
        """Read one snapshot, and send what follows from it."""
        self.feed.read_once()
        assert not self.feed._reset_needed, "the listener failed"
        self.loop.settle()


class World:
    """One store, its processes and their viewers, and what was allowed at which time."""

    def __init__(self, stores: list[Store], kind: type[Broadcaster]) -> None:
        self.store = stores[0]
        self.allowed: dict[str, list[tuple[int, tuple[str, ...]]]] = {key: [] for key in KEYS}
        """For each key, from which time it might read what."""
        self.committed: dict[int, int] = {}
        """The time of each offset."""
        self.time = 0
        for key in KEYS:
            self.grant(key, ["*"])
        for device in DEVICES:
            self.commit(device)
        self.processes = [Process(store, kind) for store in stores]
        self.pages = [
            Page(
                self.processes[number % len(stores)],
                KEYS[number % 2],
                1 if number == 2 else 100,
                PROTOCOLS[number],
            )
            for number in range(VIEWERS)
        ]
        self.compression = FakeCompression()
        for number in range(VIEWERS):
            self.pages[number].compression = self.compression if number else None
            self.watch(number, ["*"])
            self.read(number, 10)

    def run(self, program: list[tuple[Any, ...]]) -> None:
        for name, *arguments in program:
            self.time += 1
            getattr(self, name)(*arguments)
            self.check()

    # Steps

    def commit(self, device: str) -> None:
        self._edit(Change(device, "merge", {"n": self.time, "pad": PAD}))

    def remove(self, device: str) -> None:
        present = self.store.get(device)
        if present is not None and present.state is not None:
            self._edit(Change(device, "delete", {}))

    def _edit(self, change: Change) -> None:
        self.store.edit(change)
        self.committed[self.store.read_position().offset] = self.time

    def grant(self, key: str, patterns: list[str]) -> None:
        grants = Grants.of(dict.fromkeys(patterns, "read"))
        self.store.put_access("key", key, {"digest": DIGEST, "grants": grants.as_table()})
        self.allowed[key].append((self.time, tuple(patterns)))

    def revoke(self, key: str) -> None:
        if self.store.access_record("key", key) is not None:
            self.store.put_access("key", key, None)
        self.allowed[key].append((self.time, ()))

    def serve(self, number: int) -> None:
        self.processes[number % len(self.processes)].serve()

    def watch(self, number: int, patterns: list[str]) -> None:
        self.pages[number].come(patterns)
        self.pages[number].process.loop.settle()

    def move(self, number: int, lists: list[list[str]]) -> None:
        """Read all, go to the next process, which may not have read that yet, and watch other
        devices before it does."""
        page = self.pages[number]
        page.process.serve()
        page.read()
        page.go()
        following = self.processes.index(page.process) + 1
        page.process = page.harness = self.processes[following % len(self.processes)]
        for patterns in [page.patterns, *lists]:
            page.come(patterns)

    def cut(self, number: int) -> None:
        self.pages[number].go()

    def read(self, number: int, messages: int) -> None:
        self.pages[number].read(messages)
        self.pages[number].process.loop.settle()

    def compress(self) -> None:
        """What waits for a thread is compressed, and delivered in the next turns."""
        for process in self.processes:
            process.loop.let_pass()

    # What must hold

    def check(self) -> None:
        for page in self.pages:
            seen, page.seen = page.seen, []
            for device, offset in seen:
                assert self.might_see(page.key, device, self.committed[offset]), (
                    f"{device} of time {self.committed[offset]} is shown at {self.time}"
                )

    def might_see(self, key: str, device: str, since: int) -> bool:
        """Whether a key might read a device at any time from ``since`` until now."""
        history = self.allowed[key]
        ends = [time for time, _ in history[1:]] + [self.time + 1]
        return any(
            any_covers(patterns, device)
            for (_, patterns), until in zip(history, ends, strict=True)
            if until > since
        )

    def check_end(self) -> None:
        """Once all is read, each page shows what it may read of what it watches, and no more."""
        for process in self.processes:
            process.loop.gate_is_shut = False
            process.serve()
        for page in self.pages:
            for _ in range(100):
                page.read()
                page.process.loop.settle()
            assert not page.mismatches, "each patch is of what its viewer has"
            allowed = self.allowed[page.key][-1][1]
            if not page.connected:
                continue
            expected = {
                update.device: json.loads(update.state)
                for update in self.store.read(ReadCursor()).updates
                if update.state is not None
                and any_covers(allowed, update.device)
                and any_covers(page.patterns, update.device)
            }
            assert {name: item["state"] for name, item in page.states.items()} == expected
        self.check()


@pytest.fixture(autouse=True)
def _all_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever viewers may share is compressed."""
    monkeypatch.setattr(broadcaster_module, "LEAST_CACHED", 1)
    monkeypatch.setattr(EventOutput, "may_compress", lambda *about: True)


@contextmanager
def world(
    kind: str, processes: int, broadcaster: type[Broadcaster] = Broadcaster
) -> Iterator[World]:
    limits = Limits.from_settings(Settings())
    if kind == "memory":
        store = open_store("memory:", limits, lambda: START)
        yield World([store] * processes, broadcaster)
        store.close()
        return
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'store.db'}"
        stores = [open_store(url, limits, lambda: START) for _ in range(processes)]
        try:
            yield World(stores, broadcaster)
        finally:
            for store in stores:
                store.close()


def run(
    kind: str, processes: int, program: Any, broadcaster: type[Broadcaster] = Broadcaster
) -> None:
    with world(kind, processes, broadcaster) as made:
        made.run(program)
        made.check_end()
        # and who comes back sees the same
        for number, page in enumerate(made.pages):
            made.cut(number)
            made.watch(number, page.patterns)
        made.check_end()


@pytest.mark.parametrize(
    ("kind", "processes", "examples"),
    [("memory", 1, 150), ("memory", 2, 150), ("sqlite", 1, 20), ("sqlite", 2, 30)],
)
def test_no_viewer_sees_what_it_may_not_and_each_ends_with_what_it_may(
    kind: str, processes: int, examples: int
) -> None:
    @given(programs)
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def holds(program: list[tuple[Any, ...]]) -> None:
        run(kind, processes, program)

    holds()


# The test finds what it is for


class AppliesRightsLate(Broadcaster):
    """Applies the rights of a snapshot after its states."""

    def on_changes(
        self,
        changes: Changes,
        epoch_history: EpochHistory | None,
        report: dict[str, Any],
        reset: bool,
    ) -> None:
        states = dataclasses.replace(changes, access=())
        super().on_changes(states, epoch_history, report, False)
        self._apply_access(changes.access, reset)


class KeepsThePositions(Broadcaster):
    """Takes every position for good, whatever the rights were."""

    def _resume(self, subscriber: Any, request: Any) -> None:
        scope = subscriber.audience.scope
        super()._resume(subscriber, dataclasses.replace(request, scope=scope))


class TellsNothingGone(Broadcaster):
    """Sends nothing more of what may not be read, and does not say so."""

    def _gone(self, before: Any, after: Any) -> list[Any]:
        return []


class PatchesWhatIsNew(Broadcaster):
    """Sends a viewer whose rights grew the patches of the last tick."""

    def _send_states(self, changed: list[str], patches: StatePatches) -> None:
        self.patches = patches
        super()._send_states(changed, patches)

    def _states_message(self, audience: Any, *rest: Any, **more: Any) -> Any:
        if audience.protocol == 2 and "item_of" not in more:
            more["item_of"] = self.patches.item
        return super()._states_message(audience, *rest, **more)


class DeliversWhatWasCompressed(Broadcaster):
    """Sends what has been compressed, whatever the rights are by now."""

    def _send_next(self, subscriber: Any, compressed: Any = None) -> bool:
        if compressed is not None:
            here = subscriber.audience, subscriber.standing
            compressed = compressed._replace(audience=here[0], standing=here[1])
        return super()._send_next(subscriber, compressed)


@pytest.mark.requests_resets
@pytest.mark.parametrize(
    "planted",
    [
        *(AppliesRightsLate, KeepsThePositions, TellsNothingGone, PatchesWhatIsNew),
        DeliversWhatWasCompressed,
    ],
)
def test_a_planted_fault_is_found(planted: type[Broadcaster]) -> None:
    def fails(program: list[tuple[Any, ...]]) -> bool:
        try:
            run("memory", 1, program, planted)
        except AssertionError:
            return True
        return False

    without_shrinking = settings(
        max_examples=3_000, phases=[Phase.generate], derandomize=True, database=None, deadline=None
    )
    assert find(programs, fails, settings=without_shrinking)
