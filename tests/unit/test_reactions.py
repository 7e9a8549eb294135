"""Functions that are called when devices change: when, with what, how often, and what stops them.

The clock is virtual, and calls run when a test takes a step: no test waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask, current_app
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast import Statecast
from statecast.cli.main import main
from statecast.errors import BadSetting, StoreUnavailable
from statecast.model import Change
from statecast.reactions import chain
from statecast.reactions.agenda import FIRST_PAUSE, MAX_PAUSE, Agenda
from statecast.reactions.chain import SentMessages
from statecast.reactions.reaction import Reaction, reaction_of
from statecast.reactions.reactions import Reactions
from statecast.reactions.runner import ReactionRunner, is_same
from statecast.stores import lease_standby, open_store
from statecast.stores.contract import Store
from statecast.stores.lease_standby import TOLD
from statecast.stores.leases import LeaseHolder, reaction_lease
from statecast.stores.limits import Limits
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing.values import VirtualClock, change, message
from statecast.threads import ThreadPool
from tests.waiting import wait_for

Call = tuple[str, Any, Any]


class InlinePool:
    """Runs each call at once, on the thread of the test."""

    def try_submit(self, call: Callable[[], object]) -> bool:
        call()
        return True

    def close(self) -> None:
        """It has no threads."""


class Rig:
    """A store with reactions that a test runs step by step. A new process is ``restart``."""

    def __init__(self, url: str) -> None:
        self.clock = VirtualClock()
        self.store: Store = open_store(url, Limits(), self.clock)
        self.calls: list[Call] = []
        self.fails: set[str] = set()
        """Devices for which the recording function fails."""
        self.number = 0
        self.pool: Any = InlinePool()
        self.reactions: Reactions
        self.restart()

    def restart(self) -> None:
        """End the process without any farewell, and begin another one on the same store."""
        if hasattr(self, "reactions"):
            self.stop()
        make = partial(ReactionRunner, monotonic=lambda: self.clock.uptime() / 1000, pool=self.pool)
        self.reactions = Reactions(lambda: self.store, lambda: 4, self.clock, make)

    def stop(self) -> None:
        self.reactions.stop(0)

    def react(self, *patterns: str, name: str = "mail", function: Any = None) -> ReactionRunner:
        """Register a reaction that runs in steps, without a thread."""
        reaction = Reaction(name, patterns, function or self.record)
        make = self.reactions._make_runner
        runner = make(reaction, self.store, 4, self.clock, self.reactions.sent)
        self.reactions._runners.append(runner)
        self.reactions.step()
        return runner

    def record(self, device: str, before: Any, after: Any) -> None:
        self.calls.append((device, before, after))
        if device in self.fails:
            raise KeyError("mood")

    def say(self, device: str, **state: Any) -> None:
        self.clock.advance(0.001)
        self.number += 1
        one = message(f"m{self.number}", change(device, state), sent_at=self.clock())
        self.store.commit("queue", 1, [one])

    def remove(self, device: str) -> None:
        self.clock.advance(0.001)
        self.store.edit(Change(device, "delete", {}, by="user"))

    def release(self, lease: Any) -> None:
        """End another process; then it is time to ask for its lease.

        A thread that waited for it has its lock for a moment.
        """
        lease.release()
        wait_for(
            lambda: not any(one.name.startswith("standby-") for one in threading.enumerate()),
            "a thread waits for a lease that is free",
        )
        self.clock.advance(TOLD)

    def made(self) -> list[Call]:
        """The calls that the next step makes."""
        self.calls.clear()
        for _ in range(3):
            self.reactions.step()
        return list(self.calls)


@pytest.fixture(params=["memory", "sqlite"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"
    one = Rig(url)
    yield one
    one.stop()
    one.store.close()


# When, and with what


def test_a_reaction_gets_the_state_before_and_after(rig: Rig) -> None:
    # given a device that was there before the reaction
    rig.say("door", open=False)
    rig.react("door")
    assert rig.made() == []
    # when it changes, then the reaction is called once
    rig.say("door", open=True)
    assert rig.made() == [("door", {"open": False}, {"open": True})]
    assert rig.made() == []
    # and a message that changes nothing is no change
    rig.say("door", open=True)
    assert rig.made() == []


CASES: dict[str, tuple[list[dict[str, Any] | None], list[tuple[Any, Any]]]] = {
    "one change": ([{"n": 1}], [({"n": 0}, {"n": 1})]),
    "several are one": ([{"n": 1}, {"n": 2}, {"m": 3}], [({"n": 0}, {"n": 2, "m": 3})]),
    "taken back": ([{"n": 1}, {"n": 0}], []),
    "taken back in another order": ([{"m": 1}, None, {"n": 0}], []),
    "removed": ([None], [({"n": 0}, None)]),
    "removed and back": ([None, {"k": 1}], [({"n": 0}, {"k": 1})]),
    "the same": ([{"n": 0}], []),
}


@pytest.mark.parametrize("case", CASES)
def test_changes_between_two_calls_are_one(rig: Rig, case: str) -> None:
    states, expected = CASES[case]
    rig.say("pillow", n=0)
    rig.react("pillow")
    for state in states:
        if state is None:
            rig.remove("pillow")
        else:
            rig.say("pillow", **state)
    assert rig.made() == [("pillow", before, after) for before, after in expected]


PATTERNS = {
    "a name": (["pillow"], ["pillow"]),
    "a pattern": (["floor2/*"], ["floor2/a", "floor2/b/c"]),
    "everything": (["*"], ["pillow", "floor2/a", "floor2/b/c", "floor2", "chair"]),
    "several": (["chair", "floor2/*"], ["floor2/a", "floor2/b/c", "chair"]),
}


@pytest.mark.parametrize("case", PATTERNS)
def test_a_reaction_watches_names_and_patterns(rig: Rig, case: str) -> None:
    patterns, expected = PATTERNS[case]
    rig.react(*patterns)
    for device in ("pillow", "floor2/a", "floor2/b/c", "floor2", "chair"):
        rig.say(device, n=1)
    assert rig.made() == [(device, None, {"n": 1}) for device in expected]


def test_a_device_that_comes_goes_and_comes_back(rig: Rig) -> None:
    rig.react("*")
    rig.say("pillow", n=1)
    assert rig.made() == [("pillow", None, {"n": 1})]
    rig.remove("pillow")
    assert rig.made() == [("pillow", {"n": 1}, None)]
    rig.say("pillow", n=1)
    assert rig.made() == [("pillow", None, {"n": 1})]


def test_a_function_may_change_what_it_gets(rig: Rig) -> None:
    def spoil(device: str, before: Any, after: Any) -> None:
        rig.record(device, dict(before or {}), dict(after))
        after["n"] = 100

    rig.react("*", function=spoil)
    rig.say("pillow", n=1)
    rig.say("chair", n=1)
    rig.made()
    rig.say("pillow", n=2)
    assert rig.made() == [("pillow", {"n": 1}, {"n": 2})]


def test_two_encodings_of_one_state_are_the_same() -> None:
    assert is_same(b'{"a":1,"b":{"c":2,"d":3}}', b'{"b":{"d":3,"c":2},"a":1}')
    assert not is_same(b'{"a":1}', b'{"a":1.0}')
    assert not is_same(b"{}", None) and not is_same(None, b"{}") and is_same(None, None)


# Restarts


def test_a_restart_goes_on_where_the_last_process_stopped(rig: Rig) -> None:
    rig.say("door", open=False)
    rig.react("door", "bell")
    rig.say("door", open=True)
    assert len(rig.made()) == 1
    # given changes while no process runs
    rig.stop()
    rig.say("door", open=False, by="hand")
    rig.say("bell", rung=1)
    # when the next process starts
    rig.restart()
    rig.react("door", "bell")
    # then it calls for what has changed since the last call, and for nothing else
    assert rig.calls[-2:] == [
        ("door", {"open": True}, {"open": False, "by": "hand"}),
        ("bell", None, {"rung": 1}),
    ]
    rig.restart()
    rig.calls.clear()
    rig.react("door", "bell")
    assert rig.made() == []


def test_a_renamed_reaction_begins_with_the_present(rig: Rig, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    rig.react("door", name="app.mail")
    rig.stop()
    rig.say("door", open=True)
    rig.restart()
    caplog.clear()
    rig.react("door", name="app.send_mail")
    assert rig.made() == []
    assert "the reaction app.send_mail begins with the present states" in caplog.text


def test_one_process_at_a_time(rig: Rig) -> None:
    # given another process that has the lease
    lease = rig.store.lease(reaction_lease("mail"))
    assert lease is not None
    runner = rig.react("door")
    rig.say("door", open=True)
    assert rig.made() == [] and not runner.active
    # when it ends, then this one takes over, and has lost nothing since the other began
    rig.store.reaction("mail", ["door"]).begin(lease.term)
    rig.say("door", open=False)
    rig.release(lease)
    assert rig.made() == [("door", {"open": True}, {"open": False})]


def test_one_that_stands_by_asks_the_store_only_for_the_lease(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given another process that has the lease
    lease = rig.store.lease(reaction_lease("mail"))
    assert lease is not None
    read: list[str] = []
    for method in ("read_position", "read_names"):
        count_calls(monkeypatch, rig.store, method, read)
    rig.react("door")
    # when this one asks for it some times, then it reads nothing
    for _ in range(3):
        rig.clock.advance(TOLD)
        assert rig.made() == []
    assert read == []
    # and as soon as it has the lease, it reads from there on
    rig.release(lease)
    rig.made()
    assert read[:2] == ["read_position", "read_names"]


def count_calls(
    monkeypatch: pytest.MonkeyPatch, owner: object, method: str, calls: list[str]
) -> None:
    call = getattr(owner, method)

    def counted(*arguments: Any) -> Any:
        calls.append(method)
        return call(*arguments)

    monkeypatch.setattr(owner, method, counted)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())
    yield opened
    opened.close()


def test_one_that_stands_by_is_told_that_the_lease_is_free(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a reaction that another process calls; this one asks for its lease every hour
    monkeypatch.setattr(lease_standby, "TOLD", 3600.0)
    monkeypatch.setattr("statecast.reactions.reactions.IDLE_WAIT", 3600.0)
    lease = store.lease(reaction_lease("mail"))
    assert lease is not None
    called = threading.Event()
    reactions = Reactions(lambda: store, lambda: 1, store.clock)
    reactions.add(Reaction("mail", ("door",), lambda *arguments: called.set()))
    reactions.start()
    (runner,) = reactions._runners
    assert not runner.active
    # when the other process ends, then this one takes over, and calls
    lease.release()
    wait_for(lambda: runner.active, "the reaction was not taken over")
    store.commit("queue", 1, [message("m1", change("door", {"open": True}))])
    assert called.wait(20)
    reactions.stop(20)


def test_a_process_that_lost_its_lease_stands_by(rig: Rig) -> None:
    runner = rig.react("door")
    # given that another process takes the lease while this one believes to have it
    assert runner._lease is not None
    runner._lease.release()
    other = rig.store.lease(reaction_lease("mail"))
    assert other is not None
    # when a change comes, then its call cannot be noted, and this process stands by
    rig.say("door", open=True)
    assert rig.made() == [("door", None, {"open": True})]
    assert not runner.active
    rig.release(other)
    # and the next holder calls again: at least once
    assert rig.made() == [("door", None, {"open": True})]
    assert runner.active


def test_a_restored_backup_goes_on_from_its_own_position(tmp_path: Path) -> None:
    # given a backup that was made after a call
    url, backup = f"sqlite:///{tmp_path}/store.db", str(tmp_path / "backup.db")
    rig = Rig(url)
    rig.react("door")
    rig.say("door", open=True)
    assert len(rig.made()) == 1
    rig.stop()
    rig.store.close()
    commands = CliRunner()
    made = commands.invoke(main, ["store", "backup", backup, "--store", url])
    assert made.exit_code == 0, made.output
    # and a call after it
    rig = Rig(url)
    rig.clock.advance(60)
    rig.number = 100  # ids of messages that the store does not know
    rig.react("door")
    rig.say("door", open=False)
    assert rig.made() == [("door", {"open": True}, {"open": False})]
    rig.stop()
    rig.store.close()
    # when the backup is restored
    done = commands.invoke(main, ["store", "restore", backup, "--store", url])
    assert done.exit_code == 0, done.output
    # then the reaction has the position of the backup: its state is no change
    rig = Rig(url)
    rig.clock.advance(120)
    rig.number = 200
    rig.react("door")
    assert rig.made() == []
    # and what changes again is called for again
    rig.say("door", open=False)
    assert rig.made() == [("door", {"open": True}, {"open": False})]
    rig.stop()
    rig.store.close()


def test_more_changes_than_one_read_takes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statecast.reactions.reactions.PAGE", 3)
    rig.react("*")
    names = [f"d{n}" for n in range(10)]
    for name in names:
        rig.say(name, n=1)
    for _ in range(4):
        rig.reactions.step()
    assert [device for device, *_ in rig.calls] == names


# Failures


def test_a_device_that_fails_is_tried_again_beside_the_others(rig: Rig) -> None:
    rig.react("*")
    rig.fails.add("door")
    # when the call for one device fails
    rig.say("door", n=1)
    rig.say("bell", n=1)
    assert rig.made() == [("door", None, {"n": 1}), ("bell", None, {"n": 1})]
    (problem,) = rig.store.problems.current()
    assert (problem.kind, problem.subject) == ("reaction-failed", "reaction mail")
    assert "fails for the device door" in problem.sentence
    assert problem.detail == "KeyError: 'mood'"
    # then the others go on, and it is tried again after pauses that grow
    rig.say("bell", n=2)
    assert rig.made() == [("bell", {"n": 1}, {"n": 2})]
    for pause in (1, 2, 4):
        rig.clock.advance(pause - 0.1)
        assert rig.made() == []
        rig.clock.advance(0.1)
        assert rig.made() == [("door", None, {"n": 1})]
    # and a change in between does not shorten the pause, but the next attempt has it
    rig.say("door", n=2)
    assert rig.made() == []
    rig.fails.clear()
    rig.clock.advance(8)
    assert rig.made() == [("door", None, {"n": 2})]
    assert rig.store.problems.current() == []


def test_a_failure_is_logged_once_for_each_kind(rig: Rig, caplog: Any) -> None:
    rig.react("*")
    rig.fails.update(f"d{n}" for n in range(100))
    for n in range(100):
        rig.say(f"d{n}", n=1)
    rig.made()
    tracebacks = [one for one in caplog.records if one.exc_info]
    assert len(tracebacks) == 1
    assert "the reaction mail failed for the device d0" in tracebacks[0].message
    # nor is it logged at each attempt, but after all has worked again
    rig.clock.advance(1)
    rig.made()
    rig.fails.clear()
    rig.clock.advance(2)
    rig.made()
    assert rig.store.problems.current() == []
    assert len([one for one in caplog.records if one.exc_info]) == 1
    rig.fails.add("d5")
    rig.say("d5", n=2)
    rig.made()
    assert len([one for one in caplog.records if one.exc_info]) == 2


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StoreUnavailable("No.")])
def test_whatever_a_function_raises_ends_no_thread(rig: Rig, error: BaseException) -> None:
    raised: list[BaseException] = [error]

    def fail_once(device: str, before: Any, after: Any) -> None:
        rig.record(device, before, after)
        if raised:
            raise raised.pop()

    rig.react("*", function=fail_once)
    rig.say("door", n=1)
    assert len(rig.made()) == 1
    rig.clock.advance(FIRST_PAUSE)
    assert rig.made() == [("door", None, {"n": 1})]
    assert rig.store.problems.current() == []


def test_a_full_disk_repeats_the_note_and_not_the_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = rig.react("*")
    rig.say("door", n=1)
    # given a store that cannot be written
    with monkeypatch.context() as full:
        full.setattr(
            type(runner._kept), "note", lambda *_: (_ for _ in ()).throw(StoreUnavailable("Full."))
        )
        assert rig.made() == [("door", None, {"n": 1})]
        rig.clock.advance(10)
        assert rig.made() == []
        assert [one.kind for one in rig.store.problems.current()] == ["store-away"]
    # when it can be written again, then the call is noted, and the next change is a call
    rig.say("door", n=2)
    rig.clock.advance(MAX_PAUSE)
    assert rig.made() == [("door", {"n": 1}, {"n": 2})]


# Reactions that call themselves


def edit(rig: Rig, device: str, **state: Any) -> None:
    """What ``live.set`` does."""
    link = chain.current()
    rig.store.edit(
        Change(device, "merge", state, by="user"),
        cause_id=None if link is None else link.cause_id(),
    )


def test_a_reaction_may_set_what_it_watches(rig: Rig) -> None:
    def tidy(device: str, before: Any, after: Any) -> None:
        rig.record(device, before, after)
        edit(rig, device, checked=True)

    rig.react("*", function=tidy)
    rig.say("door", n=1)
    assert rig.made() == [
        ("door", None, {"n": 1}),
        ("door", {"n": 1}, {"n": 1, "checked": True}),
    ]


def test_a_reaction_that_calls_itself_is_stopped(rig: Rig) -> None:
    def count(device: str, before: Any, after: Any) -> None:
        rig.calls.append((device, before, after))
        edit(rig, device, n=after["n"] + 1)

    rig.react("pillow", function=count)
    rig.react("chair", name="other")
    rig.say("pillow", n=0)
    # when it changes what it watches, in each call
    for _ in range(200):
        rig.reactions.step()
        rig.clock.advance(0.02)
    # then it is stopped after 100 calls in a row, and it is said
    assert len(rig.calls) == chain.MAX_LINKS
    (problem,) = rig.store.problems.current()
    assert (problem.kind, problem.subject) == ("reaction-loop", "reaction mail")
    assert "called itself 100 times in a row and was stopped" in problem.sentence
    # and other reactions go on
    rig.say("chair", n=1)
    assert rig.made() == [("chair", None, {"n": 1})]
    # and no other process begins where this one was stopped
    assert rig.store.lease(reaction_lease("mail")) is None


def test_two_reactions_that_call_each_other_are_stopped(rig: Rig) -> None:
    def give(to: str, device: str, before: Any, after: Any) -> None:
        rig.calls.append((device, before, after))
        edit(rig, to, n=after["n"] + 1)

    rig.react("a", name="one", function=partial(give, "b"))
    rig.react("b", name="two", function=partial(give, "a"))
    rig.say("a", n=0)
    for _ in range(200):
        rig.reactions.step()
    assert len(rig.calls) == chain.MAX_LINKS
    assert [one.kind for one in rig.store.problems.current()] == ["reaction-loop"]


def test_a_chain_over_many_devices_is_a_loop_too(rig: Rig) -> None:
    def pass_on(device: str, before: Any, after: Any) -> None:
        rig.calls.append((device, before, after))
        edit(rig, f"d{len(rig.calls) % 30}", n=len(rig.calls))

    rig.react("*", function=pass_on)
    rig.say("d0", n=0)
    for _ in range(200):
        rig.reactions.step()
    assert len(rig.calls) == chain.MAX_LINKS


def test_a_loop_of_messages_is_stopped(rig: Rig) -> None:
    # given a reaction that sends messages to the queue, as live.send does
    def send(device: str, before: Any, after: Any) -> None:
        rig.calls.append((device, before, after))
        rig.reactions.sent.note(f"m{rig.number + 1}")
        rig.say(device, n=after["n"] + 1)

    rig.react("*", function=send)
    rig.say("pillow", n=0)
    for _ in range(200):
        rig.reactions.step()
    assert len(rig.calls) == chain.MAX_LINKS


def test_a_burst_of_many_devices_is_no_loop(rig: Rig) -> None:
    # given a reaction that puts each device in order once
    def tidy(device: str, before: Any, after: Any) -> None:
        rig.calls.append((device, before, after))
        edit(rig, device, checked=after["n"])

    rig.react("*", function=tidy)
    # when 120 devices change at once, twice within a second
    for turn in range(2):
        page = [
            message(f"{turn}-{n}", change(f"d{n}", {"n": turn}), sent_at=rig.clock())
            for n in range(120)
        ]
        rig.store.commit("queue", 1, page)
        assert len(rig.made()) == 240
        rig.clock.advance(0.05)
    # then nothing is stopped
    assert rig.store.problems.current() == []


def test_a_slow_circle_is_no_loop(rig: Rig) -> None:
    # given a reaction that works for two seconds and then sets what it watches
    def work(device: str, before: Any, after: Any) -> None:
        rig.calls.append((device, before, after))
        rig.clock.advance(2)
        edit(rig, device, n=after["n"] + 1)

    rig.react("*", function=work)
    rig.say("pillow", n=0)
    for _ in range(230):
        rig.reactions.step()
    assert len(rig.calls) > 2 * chain.MAX_LINKS
    assert rig.store.problems.current() == []


# The order, whatever happens


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.sampled_from("ab"), st.integers(0, 3)),
            st.tuples(st.just("remove"), st.sampled_from("ab"), st.just(0)),
            st.tuples(st.just("fail"), st.sampled_from("ab"), st.just(0)),
            st.tuples(st.just("crash"), st.sampled_from("ab"), st.just(0)),
            st.tuples(st.just("step"), st.just(""), st.integers(0, 20)),
            st.tuples(st.just("restart"), st.just(""), st.just(0)),
        ),
        max_size=25,
    )
)
def test_each_devices_calls_follow_each_other(program: list[tuple[str, str, int]]) -> None:
    """Per device, each call begins with the state of the last successful one, and the last call
    has the state that lasts. Failures and crashes repeat calls, and lose none."""
    rig = Rig("memory:")
    noted: dict[str, Any] = {}
    crashing: set[str] = set()

    def follow(device: str, before: Any, after: Any) -> None:
        assert before == noted.get(device), "each call begins where the last one ended"
        assert before != after
        if device in rig.fails:
            rig.fails.discard(device)
            raise KeyError(device)
        if device in crashing:  # after its effect, before its note
            crashing.discard(device)
            raise SystemExit
        noted[device] = after

    rig.react("*", function=follow)
    for step, device, number in program:
        if step == "say":
            rig.say(device, n=number)
        elif step == "remove":
            rig.remove(device)
        elif step == "fail":
            rig.fails.add(device)
        elif step == "crash":
            crashing.add(device)
        elif step == "step":
            rig.clock.advance(number)
            rig.reactions.step()
        else:
            rig.restart()
            rig.react("*", function=follow)
    # when all has calmed down
    for _ in range(4):
        rig.clock.advance(MAX_PAUSE)
        rig.reactions.step()
    # then the last call of each device had the state that it has
    for device in "ab":
        update = rig.store.get(device)
        state = None if update is None or update.state is None else update.state
        seen = noted.get(device)
        assert (b'{"n":%d}' % seen["n"] if seen else None) == state
    rig.stop()


# The agenda


def test_the_agenda_runs_one_call_per_device() -> None:
    agenda = Agenda()
    for device in ("a", "b", "a"):
        agenda.change(device)
    assert (agenda.take(0), agenda.take(0), agenda.take(0)) == ("a", "b", None)
    # a change meanwhile is called for after the call that runs
    agenda.change("a")
    agenda.change("a")
    assert agenda.take(0) is None
    agenda.succeed("a")
    assert (agenda.take(0), agenda.take(0)) == ("a", None)
    agenda.succeed("a")
    agenda.succeed("b")
    assert (agenda.take(0), agenda.ready(0), agenda.due_in(0)) == (None, 0, None)


def test_the_agenda_pauses_longer_after_each_failure() -> None:
    agenda, now, pauses = Agenda(), 0.0, []
    agenda.change("a")
    for _ in range(9):
        assert agenda.take(now) == "a"
        agenda.fail("a", now)
        pause = agenda.due_in(now)
        assert pause is not None and agenda.failing == ["a"]
        pauses.append(pause)
        assert agenda.take(now + pause - 0.01) is None
        now += pause
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert agenda.take(now) == "a"
    agenda.succeed("a")
    assert (agenda.failing, agenda.due_in(now)) == ([], None)


# Registering


def door_opened(device: str, before: Any, after: Any) -> None:
    """A function of this module."""


async def later(device: str, before: Any, after: Any) -> None:
    """No reaction."""


WRONG: dict[str, tuple[Any, list[str], Any, str]] = {
    "no pattern": (door_opened, [], None, "takes the name of a device, or a pattern"),
    "a wrong pattern": (door_opened, ["floor*"], None, "is not a pattern"),
    "a wrong name of a device": (door_opened, ["a b"], None, "is not a name of a device"),
    "a coroutine": (later, ["door"], None, "write `def` instead of `async def`"),
    "too few arguments": (lambda device: None, ["door"], "x", "is called with three arguments"),
    "no function": (5, ["door"], "x", "A reaction is a function"),
    "a lambda without a name": (lambda a, b, c: None, ["door"], None, "needs a name that stays"),
    "an empty name": (door_opened, ["door"], "", "is a text of 1 to 200 characters"),
    "no text": (door_opened, ["door"], 5, "is a text of 1 to 200 characters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_a_reaction_is_refused(case: str) -> None:
    function, patterns, name, sentence = WRONG[case]
    with pytest.raises(BadSetting, match=sentence):
        reaction_of(function, patterns, name)


def test_a_reaction_is_named_by_module_and_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def inner(device: str, before: Any, after: Any) -> None:
        """As in an application factory."""

    assert reaction_of(door_opened, ["door"], None).name == f"{__name__}.door_opened"
    assert reaction_of(inner, ["door"], None).name == (
        f"{__name__}.test_a_reaction_is_named_by_module_and_function.inner"
    )
    assert reaction_of(door_opened, ["door"], "mail").name == "mail"
    # and `python app.py` finds what `statecast run app:app` has noted
    monkeypatch.setattr(door_opened, "__module__", "__main__")
    monkeypatch.setattr("sys.modules", {"__main__": _program("/somewhere/app.py", None)})
    assert reaction_of(door_opened, ["door"], None).name == "app.door_opened"


def _program(file: str, spec: Any) -> Any:
    import types

    module = types.ModuleType("__main__")
    module.__file__, module.__spec__ = file, spec
    return module


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    one = Flask("house")
    one.config["STATECAST_STORE"] = f"sqlite:///{tmp_path}/store.db"
    yield one
    one.extensions["statecast"].stop()


def test_two_reactions_of_one_name_are_refused(app: Flask) -> None:
    live = Statecast(app)
    live.on_change("door")(door_opened)
    with pytest.raises(BadSetting, match=r"There are two reactions called '.*door_opened'"):
        live.on_change("window")(door_opened)
    live.on_change("window", name="windows")(door_opened)


def test_a_reaction_runs_while_the_app_serves(app: Flask) -> None:
    live = Statecast(app)
    called: list[Any] = []
    ended = threading.Event()

    @live.on_change("door", name="door")
    def door(device: str, before: Any, after: Any) -> None:
        called.append((current_app.name, before, after))
        live.set("lamp", on=after["open"])

    # given a process that only reads and sends, then nothing is called
    live.set("door", open=False)
    assert called == []

    # when it serves, and another reaction is registered while it does
    runtime = live.runtime
    runtime.reactions.start()

    @live.on_change("lamp", name="lamp")
    def lamp(device: str, before: Any, after: Any) -> None:
        called.append((device, before, after))
        ended.set()

    wait_for(lambda: all(one.active for one in runtime.reactions._runners), "not begun")
    live.set("door", open=True)
    assert ended.wait(20)
    # then each is called in the context of the app, and may change other devices
    assert called == [
        ("house", {"open": False}, {"open": True}),
        ("lamp", None, {"on": True}),
    ]


def test_what_waits_in_the_queue_at_the_first_start_is_a_change(app: Flask) -> None:
    live = Statecast(app)
    called: list[Any] = []
    live.on_change("*", name="all")(lambda *arguments: called.append(arguments))
    # given a state in the store, and a message in the queue, before any process serves
    live.set("lamp", on=True)
    live.send({"device": "door", "state": {"open": True}})
    # when the app is served for the first time
    live.runtime.start()
    wait_for(lambda: called, "the message made no call")
    # then the message is a change, and what was there is none
    assert called == [("door", None, {"open": True})]


def test_a_clean_stop_waits_for_the_call_that_runs(app: Flask) -> None:
    live = Statecast(app, shutdown_timeout=20.0)
    begun, goes_on = threading.Event(), threading.Event()

    @live.on_change("door", name="door")
    def door(device: str, before: Any, after: Any) -> None:
        begun.set()
        goes_on.wait(20)

    runtime = live.runtime
    runtime.reactions.start()
    wait_for(lambda: runtime.reactions._runners[0].active, "the reaction did not begin")
    live.set("door", open=True)
    assert begun.wait(20)
    # when the process stops during a call
    stopping = threading.Thread(target=runtime.stop)
    stopping.start()
    goes_on.set()
    stopping.join(20)
    # then the call has ended and is noted
    store = open_store(runtime.settings.store, begin_epoch=False)
    assert store.reaction("door", ["door"]).unhandled() == []
    assert store.lease(reaction_lease("door")) is not None
    store.close()


def test_a_slow_call_holds_up_no_other(app: Flask) -> None:
    live = Statecast(app, reaction_threads=2)
    goes_on, called = threading.Event(), threading.Barrier(3)

    @live.on_change("door/*", name="slow")
    def slow(device: str, before: Any, after: Any) -> None:
        if device == "door/stuck":
            goes_on.wait(60)
        else:
            called.wait(20)

    @live.on_change("*", name="other")
    def other(device: str, before: Any, after: Any) -> None:
        if device == "door/stuck":
            called.wait(20)

    live.runtime.reactions.start()
    begun = lambda: all(one.active for one in live.runtime.reactions._runners)  # noqa: E731
    wait_for(begun, "the reactions did not begin")
    # when the call for one device hangs
    live.set("door/stuck", n=1)
    live.set("door/other", n=1)
    # then another device of the same reaction, and the other reaction, are called for
    called.wait(20)
    goes_on.set()


def test_a_stop_that_takes_too_long_is_said(
    app: Flask, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    live = Statecast(app, shutdown_timeout=0.0)
    begun, goes_on = threading.Event(), threading.Event()

    @live.on_change("door", name="hangs")
    def hangs(device: str, before: Any, after: Any) -> None:
        begun.set()
        goes_on.wait(60)

    runtime = live.runtime
    runtime.reactions.start()
    (runner,) = runtime.reactions._runners
    wait_for(lambda: runner.active, "the reaction did not begin")
    live.set("door", open=True)
    assert begun.wait(20)
    runtime.stop()
    assert "reactions did not end in time (hangs); their calls are repeated" in caplog.text
    # and as long as the call runs, no other process begins it; then it is not noted
    store = open_store(f"sqlite:///{tmp_path}/store.db", begin_epoch=False)
    assert store.lease(reaction_lease("hangs")) is None
    goes_on.set()
    wait_for(lambda: store.holder(reaction_lease("hangs")) is None, "the lease is not free")
    assert store.reaction("hangs", ["door"]).unhandled() == ["door"]
    store.close()


def test_a_stop_while_calls_begin_waits_for_no_call_that_never_runs() -> None:
    clock = VirtualClock()
    store = open_store("memory:", Limits(), clock)
    closing: list[threading.Thread] = []

    class ClosingPool(ThreadPool):
        """Another thread closes the runner at the worst moment, if it can."""

        def try_submit(self, call: Callable[[], object]) -> bool:
            closing.append(threading.Thread(target=runner.close))
            closing[-1].start()
            closing[-1].join(0.1)
            return super().try_submit(call)

    pool = ClosingPool(4, name="reaction")
    reaction = Reaction("mail", ("*",), door_opened)
    runner = ReactionRunner(reaction, store, 4, clock, SentMessages(), pool=pool)
    assert runner.take_over(lambda: None)
    runner.offer(["door"])
    runner.start_calls()
    closing[0].join(20)
    assert runner.join(20)
    assert store.lease(reaction_lease("mail")) is not None


def test_a_process_that_does_not_serve_says_so(app: Flask, caplog: Any) -> None:
    live = Statecast(app)
    live.on_change("door", name="one")(door_opened)
    live.on_change("door", name="two")(door_opened)
    unserved = live.runtime.unserved
    unserved.note_request()
    assert "2 reactions are called only under `statecast run` or `live.run`" in caplog.text
    # and when another process calls one of them
    live.runtime.store.announce("other", {"sources": {}, "viewers": 0, "reactions": ["two"]})
    assert unserved.sentence().startswith("1 reaction is called only under")
    live.runtime.store.announce("other", {"sources": {}, "viewers": 0, "reactions": ["one", "two"]})
    assert unserved.sentence() == ""


def test_a_holder_that_has_stopped_is_shown(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # given another process that has the lease, and stands still
    lease = rig.store.lease(reaction_lease("mail"))
    assert lease is not None
    idle = [10.0]
    monkeypatch.setattr(rig.store, "holder", lambda source: LeaseHolder(4711, idle[0]))
    rig.react("*")
    assert rig.store.problems.current() == []
    idle[0] = 61.0
    rig.clock.advance(5)
    rig.reactions.step()
    (problem,) = rig.store.problems.current()
    assert (problem.kind, problem.subject) == ("lease-stalled", "reaction mail")
    assert problem.sentence.startswith("Process 4711 holds this reaction")
    # when that ends, then this one takes over, and the problem is over
    rig.release(lease)
    rig.reactions.step()
    assert rig.store.problems.current() == []


def test_an_app_without_reactions_reads_nothing(app: Flask) -> None:
    live = Statecast(app)
    live.runtime.reactions.start()
    assert not [one for one in threading.enumerate() if one.name == "reactions"]
    live.runtime.reactions.stop(0)


def test_the_how_to_sends_its_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the app of the page, and a mail server that fails once
    page = Path(__file__).parents[2] / "docs" / "how-to" / "react.md"
    monkeypatch.setenv("STATECAST_STORE", f"sqlite:///{tmp_path}/store.db")
    names: dict[str, Any] = {"__name__": "doorbell"}
    exec(page.read_text().partition("```python\n")[2].partition("```")[0], names)
    sent: list[str] = []

    class MailServer:
        away = True

        def __init__(self, host: str, port: int, timeout: float) -> None:
            if MailServer.away:
                MailServer.away = False
                raise ConnectionRefusedError("no mail server")

        def __enter__(self) -> MailServer:
            return self

        def __exit__(self, *error: object) -> None:
            """The connection ends."""

        def send_message(self, mail: Any) -> None:
            sent.append(mail["Subject"])

    monkeypatch.setattr("smtplib.SMTP", MailServer)
    runtime = names["app"].extensions["statecast"]
    # when the door opens, stays open while more is told, and is opened again
    runtime.reactions.start()
    (runner,) = runtime.reactions._runners
    wait_for(lambda: runner.active, "the reaction did not begin")
    kept = runtime.store.reaction(runner.reaction.name, ["door"])
    for state in ({"open": True}, {"battery": 5}, {"open": False}, {"open": True}):
        names["live"].set("door", state)
        wait_for(lambda: kept.unhandled() == [], "the change was not handled")
    runtime.stop()
    # then there is a mail for each time
    assert sent == ["The door is open"] * 2
