"""The broadcaster: states in memory, sent to each viewer from its position as fast as it reads."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statecast import names, strict_json
from statecast.access.grants import Grants
from statecast.access.identity import ANONYMOUS
from statecast.access.patterns import scope
from statecast.access.reader import Reader
from statecast.broadcast import broadcaster, encoding, latest_states
from statecast.broadcast.broadcaster import NOTHING_READABLE, Broadcaster
from statecast.broadcast.compressor import CatchUp
from statecast.broadcast.event_output import EventOutput
from statecast.broadcast.health import HEALTH_INTERVAL
from statecast.broadcast.latest_commands import KEPT
from statecast.broadcast.latest_states import Entry
from statecast.broadcast.state_patches import StatePatches
from statecast.broadcast.subscriber import Subscriber
from statecast.broadcast.subscriptions import Audience
from statecast.errors import Forbidden, Malformed, TooLarge
from statecast.merge.merge_patch import difference, patch_between
from statecast.model import Event, Position, Update
from tests.fakes.broadcast_harness import BroadcastHarness, FakeClient, FakeCompression


@pytest.fixture
def harness() -> BroadcastHarness:
    return BroadcastHarness()


def states_of(viewer: FakeClient) -> list[Any]:
    """Devices and versions of each states event since the last call, with what else it says."""
    viewer.read()
    said, viewer.received = viewer.received, []
    return [
        (
            {item["device"]: item["version"] for item in payload["states"]},
            payload["offset"],
            *(mark for mark in ("reset", "complete") if payload.get(mark)),
        )
        for name, payload in said
        if name == "states"
    ]


# A first watch, and what comes after


def test_a_new_viewer_gets_all_states_then_each_change(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {"n": 1})
    harness.store.commit("chair", {"n": 1})
    harness.store.commit("lamp", {"n": 1})
    harness.tick()
    viewer = harness.client("pillow", "lamp")
    answer = {"epoch": "e1", "offset": 0, "scope": scope(["lamp", "pillow"]), "reset": False}
    assert viewer.received[0] == ("answer", answer)
    assert states_of(viewer) == [({"pillow": 1, "lamp": 1}, 3, "complete")]
    # when a device changes that it does not watch, it gets nothing; else the newest, once per tick
    harness.store.commit("chair", {"n": 2})
    harness.tick()
    assert states_of(viewer) == []
    for number in range(2, 5):
        harness.store.commit("pillow", {"n": number})
    harness.store.commit("lamp", None)
    harness.tick()
    assert states_of(viewer) == [({"pillow": 4, "lamp": 2}, 8)]
    assert set(viewer.shown()) == {"pillow"}


def test_an_empty_answer_is_sent(harness: BroadcastHarness) -> None:
    assert states_of(harness.client("pillow")) == [({}, 0, "complete")]


def test_a_new_viewer_gets_no_removed_devices(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {})
    harness.store.commit("pillow", None)
    harness.tick()
    assert states_of(harness.client("*")) == [({}, 2, "complete")]


def test_viewers_of_one_watch_set_share_one_message(harness: BroadcastHarness) -> None:
    messages: list[Any] = []
    viewers = [harness.client("*", "pillow"), harness.client("pillow", "*", "pillow")]
    for viewer in viewers:
        viewer.deliver = messages.append  # type: ignore[method-assign]
    harness.store.commit("pillow", {})
    harness.tick()
    assert len(messages) == 2 and messages[0] is messages[1]
    assert len(harness.broadcaster.audiences) == 1


# Returning


def test_a_returning_viewer_gets_what_is_missing(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {"n": 1})
    harness.store.commit("chair", {"n": 1})
    harness.tick()
    viewer = harness.client("*")
    viewer.cut()
    harness.store.commit("chair", None)
    harness.tick()
    viewer.received = []
    answer = {"epoch": "e1", "offset": 2, "scope": scope(["*"]), "reset": False}
    assert viewer.watch() == answer
    harness.loop.settle()
    assert states_of(viewer) == [({"chair": 2}, 3, "complete")]


@pytest.mark.parametrize(
    ("since", "at_once"),
    [({"epoch": "unknown", "offset": 1}, False), ({"epoch": "e1", "offset": 3}, True)],
    ids=["of no epoch that is known", "past the end of its epoch"],
)
def test_an_unknown_position_is_answered_with_everything(
    harness: BroadcastHarness, since: dict[str, Any], at_once: bool
) -> None:
    harness.store.commit("pillow", {"n": 1})
    harness.store.commit("gone", {})
    harness.store.commit("gone", None)
    harness.tick()
    harness.store.restore(({"pillow": harness.store.latest["pillow"]}, (("e1", 1),), 2, 0))
    harness.tick()
    viewer = FakeClient(harness, ["*"])
    viewer.position = None
    # An epoch may have begun that is not known here, so the store is asked first.
    assert viewer.watch(since=since)["reset"] is at_once
    harness.loop.settle()
    assert states_of(viewer) == [({"pillow": 1}, 2, "reset", "complete")]


@contextmanager
def without_answers(harness: BroadcastHarness) -> Iterator[None]:
    """The store answers no question about a position meanwhile, as one that is away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness.change_feed, "read_once", lambda: None)
        yield


def client_at(
    harness: BroadcastHarness, epoch: str, offset: int
) -> tuple[FakeClient, dict[str, Any]]:
    """A client that another process has told so far, and the answer to its request."""
    viewer = FakeClient(harness, ["*"])
    viewer.position = None
    return viewer, viewer.watch(since={"epoch": epoch, "offset": offset})


@pytest.mark.parametrize("epochs", ["the same epoch", "a new epoch"])
def test_a_process_that_is_behind_sends_no_older_states_for_newer_ones(
    harness: BroadcastHarness, epochs: str
) -> None:
    # given a process that does not reach the store any more, where something changes
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    with without_answers(harness):
        if epochs == "a new epoch":
            harness.store.restart()
        harness.store.commit("pillow", {"n": 2})
        newest = harness.store.epochs[-1][0], 2
        # when viewers come that another process has told of it, and one is full for a while
        (viewer, answer), (full, other) = (client_at(harness, *newest) for _ in range(2))
        for said in (answer, other):
            assert (said["epoch"], said["offset"], said["reset"]) == (*newest, False)
        harness.broadcaster.pause(full)
        harness.loop.settle()
        harness.broadcaster.resume(full)
        harness.loop.settle()
        # then they keep what they have
        assert (states_of(viewer), states_of(full)) == ([], [])
    # and once the store can be read, they go on from there
    harness.store.commit("chair", {"n": 3})
    harness.tick()
    assert states_of(viewer) == states_of(full) == [({"chair": 1}, 3, "complete")]


OTHER_LISTS: dict[str, tuple[list[list[str]], dict[str, int]]] = {
    "fewer": ([["pillow"]], {"pillow": 3}),
    "more": ([["pillow", "chair", "lamp"]], {"pillow": 3, "lamp": 1}),
    "others": ([["lamp"]], {"lamp": 1}),
    "twice other ones": ([["pillow", "lamp"], ["pillow", "chair"]], {"pillow": 3, "chair": 1}),
    "others and back": ([["lamp"], ["pillow", "chair"]], {"pillow": 3, "chair": 1}),
}


@pytest.mark.parametrize("case", OTHER_LISTS)
def test_a_viewer_that_asks_for_other_devices_before_its_position_is_known_keeps_what_it_has(
    harness: BroadcastHarness, case: str
) -> None:
    lists, expected = OTHER_LISTS[case]
    # given a process that is behind, and a viewer that another one has told more
    for device in ("chair", "lamp", "pillow"):
        harness.store.commit(device, {"n": 1})
    harness.tick()
    with without_answers(harness):
        harness.store.commit("pillow", {"n": 2})
        viewer = FakeClient(harness, ["pillow", "chair"])
        viewer.watch(since={"epoch": "e1", "offset": 4})
        # when it asks for other devices, and the connection may break
        for devices in lists:
            answer = viewer.watch(devices)
            assert (answer["epoch"], answer["offset"], answer["reset"]) == ("e1", 0, False)
        harness.loop.settle()
        assert states_of(viewer) == []
    # then it gets what it lacks when its position is known: what changed, and what it had not
    harness.store.commit("pillow", {"n": 3})
    harness.tick()
    ((sent, _, *marks),) = states_of(viewer)
    assert (sent, marks) == (expected, ["complete"])


def test_a_viewer_with_a_position_of_no_epoch_that_asks_for_other_devices_starts_over(
    harness: BroadcastHarness,
) -> None:
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    with without_answers(harness):
        viewer, _ = client_at(harness, "unknown", 7)
        viewer.watch(["pillow"])
        harness.loop.settle()
        assert states_of(viewer) == []
    harness.tick()
    assert states_of(viewer) == [({"pillow": 1}, 1, "reset", "complete")]


def test_a_viewer_that_asks_for_more_before_its_position_is_known_keeps_what_it_has(
    harness: BroadcastHarness,
) -> None:
    # given a viewer with a position that is not known in a process that is behind
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    with without_answers(harness):
        harness.store.commit("pillow", {"n": 2})
        viewer, _ = client_at(harness, "e1", 2)
        # when it watches the same devices, and asks who else does, as a page does
        answer = viewer.watch(presence=True)
        harness.loop.settle()
        # then it keeps what it has, and goes on from there
        assert (answer["offset"], answer["reset"]) == (2, False)
        assert states_of(viewer) == []
    harness.tick()
    assert states_of(viewer) == [({}, 2, "complete")]
    harness.store.commit("pillow", {"n": 3})
    harness.tick()
    assert states_of(viewer) == [({"pillow": 3}, 3)]


def test_a_viewer_that_leaves_before_its_position_is_known_is_forgotten(
    harness: BroadcastHarness,
) -> None:
    with without_answers(harness):
        viewer, _ = client_at(harness, "unknown", 7)
        viewer.cut()
    harness.tick()
    assert states_of(viewer) == []
    assert harness.broadcaster._unjudged == {}


def test_a_restart_of_the_store_costs_no_viewer_anything(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    viewer, returning = harness.client("*"), harness.client("*")
    returning.cut()
    states_of(viewer), states_of(returning)
    harness.store.restart()
    harness.tick()
    assert returning.watch()["reset"] is False
    harness.store.commit("pillow", {"n": 2})
    harness.tick()
    assert states_of(viewer) == [({"pillow": 2}, 2)]
    assert states_of(returning)[-1] == ({"pillow": 2}, 2, "complete")
    assert viewer.position is not None and viewer.position.epoch == "e2"


def test_what_the_store_forgot_is_forgotten_here(harness: BroadcastHarness) -> None:
    # given a viewer that is up to date, one that is slow and one that is away
    for device in ("gone", "pillow"):
        harness.store.commit(device, {})
    harness.tick()
    viewer, slow, away = harness.client("*"), harness.client("*", capacity=1), harness.client("*")
    away.cut()
    harness.broadcaster.pause(slow)
    slow.full = True
    harness.store.commit("gone", None)
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    states_of(viewer)
    # when a week has passed
    harness.store.forget()
    harness.change_feed._epoch_history_at = -1e9
    harness.tick()
    assert list(harness.broadcaster.states.entries) == ["pillow"]
    # then no viewer shows what was removed, and the first viewer gets nothing
    assert states_of(viewer) == []
    assert away.watch()["reset"] is True
    harness.loop.settle()
    while slow.transport or slow.full:
        slow.read()
    for one in (viewer, slow, away):
        one.read()
        assert one.shown() == harness.store.shown(["*"])


def test_positions_that_are_not_known_start_no_slow_viewer_over() -> None:
    # given a store that forgets removals, and a viewer that reads slowly what is older
    harness = BroadcastHarness(max_states_bytes=4_096)
    devices = [f"device/{number}" for number in range(20)]
    for device in devices:
        harness.store.commit(device, {"text": "x" * 1_000})

    def forget_one() -> None:
        harness.store.commit("gone", {})
        harness.store.commit("gone", None)
        harness.tick()
        harness.store.forget()

    forget_one()
    harness.change_feed._epoch_history_at = -1e9
    harness.tick()
    slow = FakeClient(harness, ["device/*"], capacity=1)
    slow.watch()
    harness.loop.settle()
    # when another viewer comes with one position after the other that no epoch has
    for number in range(50):
        if slow.complete:
            break
        forget_one()
        hostile = FakeClient(harness, ["nothing"])
        hostile.watch(since={"epoch": f"unknown{number}", "offset": 1})
        harness.loop.settle()
        hostile.cut()
        slow.read(1)
    # then the slow one gets each state once
    assert [device for part, *_ in states_of(slow) for device in part] == devices


def test_a_restored_store_resets_every_viewer(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {"n": 1})
    backup = harness.store.backup()
    harness.store.commit("pillow", {"n": 2})
    harness.store.commit("chair", {"n": 1})
    harness.tick()
    viewer = harness.client("*")
    states_of(viewer)
    harness.store.restore(backup)
    harness.tick()
    assert states_of(viewer) == [({"pillow": 1}, 1, "reset", "complete")]
    assert viewer.shown() == harness.store.shown(["*"])


# Slow viewers


def test_a_paused_viewer_costs_its_position_and_gets_the_newest_of_everything(
    harness: BroadcastHarness,
) -> None:
    viewer = harness.client("*", capacity=1)
    harness.store.commit("pillow", {"n": 0})
    harness.tick()
    assert viewer.full
    for number in range(1, 6):
        harness.store.commit("pillow", {"n": number})
        harness.store.commit("chair", {"n": number})
        harness.tick()
    assert len(viewer.transport) == 1
    viewer.read(1)
    assert len(viewer.transport) == 1
    assert states_of(viewer) == [
        ({}, 0, "complete"),
        ({"pillow": 1}, 1),
        ({"pillow": 6, "chair": 5}, 11),
    ]
    assert states_of(harness.client("*"))[-1][0] == {"pillow": 6, "chair": 5}


def test_a_big_answer_is_cut_and_only_its_last_message_is_complete() -> None:
    harness = BroadcastHarness(max_states_bytes=1_024)
    for number in range(9):
        harness.store.commit(f"d{number}", {"text": "x" * 300})
    harness.tick()
    viewer = harness.client("*", capacity=3)
    messages = states_of(viewer)
    while viewer.transport:
        messages += states_of(viewer)
    assert [len(one[0]) for one in messages] == [1] * 9 or sum(len(one[0]) for one in messages) == 9
    assert [one[2:] for one in messages] == [()] * (len(messages) - 1) + [("complete",)]
    assert [one[1] for one in messages] == sorted({one[1] for one in messages})
    assert messages[-1][1] == 9


@pytest.mark.parametrize("resumes", [False, True])
def test_a_big_answer_takes_turns_with_small_ones(
    monkeypatch: pytest.MonkeyPatch, resumes: bool
) -> None:
    # given turns of one message each, and nine devices that need a message each
    monkeypatch.setattr(broadcaster, "TURN_SECONDS", -1.0)
    harness = BroadcastHarness(max_states_bytes=1_024)
    for number in range(9):
        harness.store.commit(f"d{number}", {"text": "x" * 900})
    harness.tick()
    wide, narrow = FakeClient(harness, ["*"]), FakeClient(harness, ["d8"])
    turns = 0
    # when one viewer asks for all, or goes on after it was paused, and another one for one device
    wide.watch()
    if resumes:
        harness.broadcaster.pause(wide)
        harness.broadcaster.resume(wide)
    narrow.watch()
    while not harness.broadcaster.subscribers[narrow].up_to_date:
        call, arguments = harness.loop.soon.pop(0)
        call(*arguments)
        turns += 1
    # then the small answer does not wait for the big one
    wide.read()
    narrow.read()
    assert (sorted(narrow.states), narrow.complete) == (["d8"], 1)
    assert len(wide.states) < 9 and not wide.complete and turns <= 6
    # and what changes meanwhile reaches both, once the big answer has landed
    harness.store.commit("d8", {"text": "new"})
    harness.tick()
    for viewer in (wide, narrow):
        viewer.read()
        assert viewer.shown() == harness.store.shown(viewer.patterns)
    assert wide.complete == 1


def test_a_viewer_paused_within_a_tick_goes_on_from_where_it_was() -> None:
    harness = BroadcastHarness(max_states_bytes=1_024)
    slow, quick = harness.client("*", capacity=1), harness.client("*")
    for number in range(9):
        harness.store.commit(f"d{number}", {"text": "x" * 900})
    harness.tick()
    assert len(slow.transport) == 1
    while slow.transport:
        slow.read()
    quick.read()
    assert slow.shown() == quick.shown() == harness.store.shown(["*"])


def test_pause_and_resume_without_a_watch_do_nothing(harness: BroadcastHarness) -> None:
    stranger = FakeClient(harness, ["*"])
    harness.broadcaster.pause(stranger)
    harness.broadcaster.resume(stranger)
    harness.broadcaster.leave(stranger)
    assert harness.broadcaster.subscribers == {}


# A further watch


def test_a_further_watch_sends_only_what_the_set_before_did_not(harness: BroadcastHarness) -> None:
    for device in ("pillow", "chair", "lamp"):
        harness.store.commit(device, {})
    harness.tick()
    viewer = harness.client("pillow", "chair")
    states_of(viewer)
    viewer.watch(["pillow", "lamp"])
    harness.loop.settle()
    assert states_of(viewer) == [({"lamp": 1}, 3, "complete")]
    harness.store.commit("pillow", {"n": 1})
    harness.store.commit("chair", {"n": 1})
    harness.tick()
    assert states_of(viewer) == [({"pillow": 2}, 5)]


def test_the_same_watch_again_costs_one_empty_answer(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {})
    harness.tick()
    viewer = harness.client("pillow")
    states_of(viewer)
    assert viewer.watch()["offset"] == 1
    # and an unknown position does not matter: what the viewer has is known here
    assert viewer.watch(since={"epoch": "unknown", "offset": 9})["reset"] is False
    harness.loop.settle()
    assert states_of(viewer) == [({}, 1, "complete")]
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    assert states_of(viewer) == [({"pillow": 2}, 2)]
    assert len(harness.broadcaster.audiences) == 1


def test_a_further_watch_with_the_position_of_the_set_before_misses_nothing(
    harness: BroadcastHarness,
) -> None:
    harness.store.commit("pillow", {})
    harness.store.commit("chair", {})
    harness.tick()
    viewer = harness.client("chair")
    states_of(viewer)
    viewer.watch(["*"], since={"epoch": "e1", "offset": 2})
    harness.loop.settle()
    assert states_of(viewer) == [({"pillow": 1}, 2, "complete")]


def test_a_further_watch_gets_what_was_removed_before_its_answer(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {})
    harness.tick()
    viewer = harness.client("*", capacity=1)
    viewer.full = True
    harness.broadcaster.pause(viewer)
    viewer.watch(["pillow", "chair"])
    harness.store.commit("pillow", None)
    harness.tick()
    while viewer.transport:
        viewer.read()
    assert viewer.shown() == {}


def test_a_further_watch_before_the_first_was_answered(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {})
    harness.store.commit("chair", {})
    harness.tick()
    viewer = FakeClient(harness, ["pillow"])
    viewer.watch()
    viewer.watch(["chair"])
    viewer.watch(["*"])
    harness.loop.settle()
    states_of(viewer)
    assert viewer.shown() == harness.store.shown(["*"])


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (None, Malformed),
        ([], Malformed),
        ({}, Malformed),
        ({"devices": []}, Malformed),
        ({"devices": "pillow"}, Malformed),
        ({"devices": [5]}, Malformed),
        ({"devices": ["a*"]}, Malformed),
        ({"devices": ["a"], "sinse": 1}, Malformed),
        ({"devices": ["a"], "since": 5}, Malformed),
        ({"devices": ["a"], "since": {"epoch": "e1"}}, Malformed),
        ({"devices": ["a"], "since": {"epoch": "e1", "offset": -1}}, Malformed),
        ({"devices": ["a"], "since": {"epoch": "e1", "offset": True}}, Malformed),
        ({"devices": ["a"], "protocol": 3}, Malformed),
        ({"devices": ["a"], "reset": 1}, Malformed),
        ({"devices": ["a"], "health": "yes"}, Malformed),
        ({"devices": ["a"] * 1_001}, TooLarge),
    ],
)
def test_a_bad_watch_is_refused_and_changes_nothing(
    harness: BroadcastHarness, request_: Any, error: type[Exception]
) -> None:
    viewer = harness.client("pillow")
    states_of(viewer)
    with pytest.raises(error):
        harness.broadcaster.watch(viewer, request_)
    harness.store.commit("pillow", {})
    harness.tick()
    assert states_of(viewer) == [({"pillow": 1}, 1)]


# Sightings, health, events


def test_sightings_are_sent_once_a_second_and_only_for_devices_with_a_deadline() -> None:
    harness = BroadcastHarness(deadlines={"pillow": 60})
    for device in ("pillow", "chair"):
        harness.store.commit(device, {})
    harness.tick()
    viewer, other = harness.client("*"), harness.client("chair")
    viewer.received = []
    for _ in range(3):
        harness.store.see("pillow")
        harness.store.see("chair")
        harness.tick()
    assert viewer.transport == []
    harness.loop.advance(1)
    viewer.read(), other.read()
    assert [said for said in viewer.received if said[0] == "seen"] == [
        ("seen", {"pillow": "2026-01-01T00:00:00.007Z"})
    ]
    assert not [said for said in other.received if said[0] == "seen"]
    # a viewer that comes later finds them in the states
    late = harness.client("*")
    assert late.states["pillow"]["seen_at"] == "2026-01-01T00:00:00.007Z"
    assert late.states["chair"]["seen_at"] == "2026-01-01T00:00:00.008Z"
    assert (late.states["pillow"]["silent_after"], late.states["chair"]["silent_after"]) == (
        60,
        None,
    )


def test_a_returning_viewer_gets_the_sightings_that_it_missed(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {})
    harness.tick()
    viewer = harness.client("*")
    viewer.cut()
    harness.store.see("pillow")
    harness.tick()
    viewer.watch()
    harness.loop.settle()
    viewer.read()
    assert viewer.shown() == harness.store.shown(["*"])


def test_many_returning_viewers_share_what_they_missed(harness: BroadcastHarness) -> None:
    for device in ("pillow", "chair"):
        harness.store.commit(device, {})
    harness.tick()
    viewers = [harness.client("*") for _ in range(3)]
    for viewer in viewers:
        viewer.cut()
    harness.store.see("pillow")
    harness.tick()
    messages: list[Any] = []
    for viewer in viewers:
        viewer.watch()
        viewer.deliver = messages.append  # type: ignore[method-assign]
    harness.loop.settle()
    assert [message.name for message in messages].count("seen") == 3
    assert len({id(message) for message in messages}) == 2


def statuses(viewer: FakeClient) -> list[str]:
    viewer.read()
    return [one["status"] for one in viewer.commands.values()]


def test_what_became_of_a_command_is_sent_to_those_who_watch_its_device(
    harness: BroadcastHarness,
) -> None:
    # given a viewer of everything, one of another device, and one that comes later
    for device in ("pillow", "chair"):
        harness.store.commit(device, {})
    harness.tick()
    viewer, other = harness.client("*"), harness.client("chair")
    # when a command begins, and is done
    id_ = harness.store.ask("pillow")
    harness.tick()
    assert statuses(viewer) == ["waiting"]
    harness.store.become(id_, "done")
    harness.tick()
    # then those who watch the device know, also the late one
    late = harness.client("pillow")
    assert (statuses(viewer), statuses(late), statuses(other)) == (["done"], ["done"], [])


def test_a_viewer_that_was_away_or_slow_gets_what_became_of_commands(
    harness: BroadcastHarness,
) -> None:
    harness.store.commit("pillow", {})
    harness.tick()
    away, slow = harness.client("*"), harness.client("*")
    first, second = harness.store.ask("pillow"), harness.store.ask("pillow")
    harness.tick()
    assert statuses(away) == statuses(slow) == ["waiting", "waiting"]
    # given that one is cut off, and the transport of the other is full
    away.cut()
    slow.full = True
    harness.broadcaster.pause(slow)
    harness.store.become(first, "delivered")
    harness.tick()
    harness.store.become(first, "done")
    harness.store.become(second, "expired")
    harness.tick()
    assert slow.transport == []
    # when both are back, then each has the newest of each command, once
    away.watch()
    slow.full = False
    harness.broadcaster.resume(slow)
    harness.loop.settle()
    for viewer in (away, slow):
        assert statuses(viewer) == ["done", "expired"]
        told = [said for said in viewer.received if said[0] == "commands"]
        assert len(told) == 2 and len(told[-1][1]) == 2


def test_a_viewer_that_is_filled_by_commands_gets_the_next_ones_later(
    harness: BroadcastHarness,
) -> None:
    harness.store.commit("pillow", {})
    harness.tick()
    # given a transport that one message fills, and a command
    viewer = harness.client("*", capacity=1)
    first = harness.store.ask("pillow")
    harness.tick()
    harness.store.become(first, "delivered")
    harness.tick()
    # when it reads slowly, then it ends with the newest
    for _ in range(6):
        viewer.read(1)
        harness.loop.settle()
    harness.store.become(first, "done")
    harness.tick()
    for _ in range(6):
        viewer.read(1)
        harness.loop.settle()
    assert statuses(viewer) == ["done"]


def test_many_commands_come_in_messages_of_a_bounded_size() -> None:
    # given two viewers, one of which is filled by two messages, and one that comes later
    harness = BroadcastHarness(max_states_bytes=1_200)
    harness.store.commit("pillow", {})
    harness.tick()
    quick, slow = harness.client("*"), harness.client("*", capacity=2)
    for viewer in (quick, slow):
        viewer.read()
    # when so many commands change at once as fit into no message of that size
    ids = [harness.store.ask("pillow") for _ in range(20)]
    harness.tick()
    late = harness.client("*", capacity=2)
    # then nothing more is written to a viewer that is full
    assert len(slow.transport) == len(late.transport) == 2
    # and each has all of them in the end, in parts that none exceeds
    for _ in range(30):
        for viewer in (quick, slow, late):
            viewer.read()
        harness.loop.settle()
    for viewer in (quick, slow, late):
        assert list(viewer.commands) == ids
        parts = [said for name, said in viewer.received if name == "commands"]
        assert len(parts) >= 5
        assert all(len(json.dumps(part, separators=(",", ":"))) <= 1_200 for part in parts)


def test_messages_about_commands_are_kept_for_a_moment_and_only_to_be_shared(
    harness: BroadcastHarness,
) -> None:
    harness.store.commit("pillow", {})
    harness.store.ask("pillow")
    harness.tick()
    # given viewers that came back, two of one watch set and one of another
    for pattern in ("*", "*", "pillow"):
        harness.client(pattern)
    kept = {
        one.patterns: one.missed_commands for one in harness.broadcaster.audiences._all.values()
    }
    assert [None if one is None else len(one[1]) for one in kept.values()] == [1, None]
    # when the next heartbeat comes, then nothing holds them any more
    harness.broadcaster._heartbeat()
    assert {one.missed_commands for one in harness.broadcaster.audiences._all.values()} == {None}


def test_a_broadcaster_knows_the_commands_from_before_its_start() -> None:
    harness = BroadcastHarness()
    harness.store.commit("pillow", {})
    ids = [harness.store.ask("pillow") for _ in range(KEPT + 5)]
    harness.broadcaster.commands.latest.update(
        sorted(harness.store.commands(limit=KEPT), key=lambda one: one.change)
    )
    harness.tick()
    viewer = harness.client("*")
    viewer.read()
    assert list(viewer.commands) == ids[5:]


def test_health_is_sent_on_request_on_changes_and_as_a_heartbeat(harness: BroadcastHarness) -> None:
    harness.health = {"sources": {"queue": {"status": "connected", "sentence": None, "lag": 0}}}
    harness.tick()
    viewer, other = harness.client("*", health=True), harness.client("*")
    assert viewer.received[-1] == ("health", {"now": "2026-01-01T00:00:00.000Z", **harness.health})

    def heartbeats() -> int:
        viewer.read(), other.read()
        assert not [said for said in other.received if said[0] == "health"]
        return sum(said[0] == "health" for said in viewer.received)

    assert heartbeats() == 1
    harness.health = {"sources": {"queue": {"status": "connected", "sentence": None, "lag": 5}}}
    harness.tick()
    assert heartbeats() == 1, "numbers wait for the heartbeat"
    harness.health = {"sources": {"queue": {"status": "away", "sentence": "Gone.", "lag": 5}}}
    harness.tick()
    assert heartbeats() == 2
    harness.broadcaster._heartbeat()
    assert heartbeats() == 3
    harness.loop.advance(1.5)
    assert heartbeats() == 4
    harness.broadcaster.pause(viewer)
    harness.loop.advance(1.5)
    assert heartbeats() == 4
    viewer.cut()
    assert harness.broadcaster.health.subscribers == set()


def test_no_report_is_made_while_no_viewer_asks_for_it(harness: BroadcastHarness) -> None:
    harness.health = {"sources": {"queue": {"status": "connected", "sentence": None, "lag": 0}}}
    made = 0
    report = harness.broadcaster.report

    def counted() -> dict[str, Any]:
        nonlocal made
        made += 1
        return report()

    harness.broadcaster.report = counted
    # given a viewer that does not ask, and changes
    harness.broadcaster._heartbeat()
    harness.client("*")
    harness.store.commit("pillow", {})
    harness.tick()
    harness.loop.advance(60)
    assert made == 0
    # when the first one asks, long after the status has changed
    harness.health = {"sources": {"queue": {"status": "away", "sentence": "Gone.", "lag": 5}}}
    viewer = harness.client("*", health=True)
    # then it gets the report of now, and others that come get the same one
    assert viewer.received[-1][1]["sources"] == harness.health["sources"]
    harness.client("*", health=True)
    assert made == 1
    # and one is made for each heartbeat as long as somebody asks
    harness.loop.advance(3)
    assert made == 3


def test_application_events_are_passed_on(harness: BroadcastHarness) -> None:
    events: list[Event] = []
    harness.broadcaster.on_event(events.append)
    harness.store.emit("before")
    harness.tick()
    harness.store.emit("hello")
    harness.tick()
    harness.tick()
    assert [event.name for event in events] == ["hello"]  # not what was there before


def test_viewers_that_left_leave_nothing_behind(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {})
    harness.tick()
    for _ in range(2):
        viewers = [
            harness.client("*", health=True),
            harness.client("pillow"),
            harness.client("a/*", "pillow"),
        ]
        viewers[1].watch(["chair"])
        for viewer in viewers:
            viewer.cut()
        harness.loop.settle()
    broadcaster = harness.broadcaster
    assert (
        len(broadcaster.subscribers),
        len(broadcaster.health.subscribers),
        len(broadcaster.audiences),
    ) == (
        0,
        0,
        0,
    )
    assert broadcaster.audiences.watching(["pillow", "a/b"]) == {}


def test_a_tick_does_not_search_the_audiences(
    harness: BroadcastHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand audiences times a thousand changed devices would block the loop in every tick."""
    viewers = [
        harness.client("*"),
        harness.client("pillow"),
        harness.client("a/*", "a/b/*", "a/b/c", "pillow"),
    ]
    harness.loop.settle()
    monkeypatch.setattr(
        "statecast.broadcast.subscriptions.Audience.matches", lambda *_: pytest.fail("it searched")
    )
    for device in ("pillow", "chair", "a/b/c"):
        harness.store.commit(device, {})
    for one in viewers:
        states_of(one)
    harness.tick()
    assert [states_of(one) for one in viewers] == [
        [({"pillow": 1, "chair": 1, "a/b/c": 1}, 3)],
        [({"pillow": 1}, 3)],
        [({"pillow": 1, "a/b/c": 1}, 3)],
    ]


def test_after_a_defect_everything_is_sent_again(
    harness: BroadcastHarness, caplog: pytest.LogCaptureFixture
) -> None:
    # given a viewer whose delivery fails by a defect of ours, and another viewer
    broken, viewer = harness.client("*"), harness.client("*")
    broken.deliver = lambda message: 1 / 0  # type: ignore[method-assign, assignment]
    harness.store.commit("pillow", {})
    harness.tick()
    assert "everything is sent again" in caplog.text
    # when the defect is gone, every viewer gets everything
    del broken.deliver  # type: ignore[method-assign]
    harness.tick()
    for one in (broken, viewer):
        one.read()
        assert one.shown() == harness.store.shown(["*"])


# The simulation

DEVICES = ["a", "b", "f/a", "f/b", "g"]
WATCH_SETS = [["*"], ["a"], ["a", "b"], ["f/*"], ["a", "f/*"], ["f/a", "g"]]


def some_state(dice: random.Random, number: int) -> dict[str, Any]:
    """A state in which objects come, change and go."""
    state = {"n": number, "t": "x" * dice.choice([300, 300, 300, 300, 1, 700])}
    inner = dice.choice([None, 5, [None], {}, {"x": 1}, {"y": 2}, {"x": {"z": 1}}])
    return state if inner is None else {**state, "o": inner}


def filling(by_delivery: dict[int, FakeClient]) -> Callable[[], None]:
    """Fill the transports of these viewers with these deliveries, whoever gets them.

    It is decided before the first one: the order in which viewers get a message is not.
    """
    numbers = count(1)

    def on_delivery() -> None:
        viewer = by_delivery.get(next(numbers))
        if viewer is not None:
            viewer.fill()

    return on_delivery


def simulate(dice: random.Random, kind: type[Broadcaster] = Broadcaster) -> None:
    """Random commits, pauses, cuts, restarts and backups; then every page equals the store."""
    harness = BroadcastHarness(kind, max_states_bytes=1_024)
    store, compression = harness.store, FakeCompression()
    viewers = [
        FakeClient(
            harness,
            dice.choice(WATCH_SETS),
            capacity=dice.choice([1, 2, 100]),
            protocol=dice.choice([1, 2, 2]),
        )
        for _ in range(4)
    ]
    harness.loop.gate_is_shut = True
    for viewer in viewers:
        viewer.compression = dice.choice([None, compression, compression])
    harness.on_delivery = filling(
        {dice.randint(1, 80): dice.choice(viewers) for _ in range(dice.randint(0, 8))}
    )
    for viewer in viewers:
        if dice.random() < 0.7:
            viewer.watch()
    backup, set_back = store.backup(), False

    def meanwhile() -> None:
        """The viewers go on while a thread compresses the next tick."""
        viewer = dice.choice(viewers)
        match dice.choice("vwxsfp--"):
            case "v":
                viewer.read(dice.randint(1, 3))
            case "w":
                viewer.watch(dice.choice(WATCH_SETS) if viewer.connected else None)
            case "x":
                viewer.cut()
            case "s":
                harness.loop.settle()
            case "f":
                viewer.fill()
            case "p":
                harness.loop.let_pass()

    for _ in range(dice.randint(5, 40)):
        match dice.choice("cccccchkkttttvvvwwxxslbBrfTTTpppp"):
            case "c":
                device = dice.choice(DEVICES)
                for _ in range(dice.choice([1, 1, 2, 3])):
                    gone = dice.random() < 0.2
                    store.commit(device, None if gone else some_state(dice, store.offset))
            case "h":
                store.see(dice.choice(DEVICES))
            case "k" if store.asked and dice.random() < 0.7:
                store.become(dice.choice(list(store.asked)), dice.choice(["delivered", "done"]))
            case "k":
                store.ask(dice.choice(DEVICES))
            case "t" if dice.random() < 0.5:
                harness.change_feed.read_once()
            case "t":
                harness.tick_prepared(meanwhile)
            case "T":  # as when nothing goes wrong: everybody gets and reads what there is
                harness.tick()
                for viewer in viewers:
                    viewer.read()
                harness.loop.settle()
            case "s":
                harness.loop.settle()
            case "l":
                harness.loop.advance(1)
            case "p":
                harness.loop.let_pass()
            case "v":
                dice.choice(viewers).read(dice.randint(1, 3))
            case "w":
                viewer = dice.choice(viewers)
                viewer.protocol = dice.choice([viewer.protocol, viewer.protocol, 1, 2])
                viewer.watch(dice.choice(WATCH_SETS) if viewer.connected else None)
            case "x":
                dice.choice(viewers).cut()
            case "r":
                store.restart()
            case "b":
                backup = store.backup()
            case "B":
                store.restore(backup)
                set_back = True  # of commands from before, a set-back server tells nothing
            case "f":  # a week after the removal: no connected viewer lags that far
                harness.tick()
                for viewer in viewers:
                    while viewer.transport:
                        viewer.read()
                store.forget()
                harness.change_feed._epoch_history_at = -1e9
    for viewer in viewers:
        if not viewer.connected:
            viewer.watch()
    harness.loop.gate_is_shut = False
    harness.tick()
    for _ in range(30):
        harness.loop.advance(1)
        for viewer in viewers:
            viewer.read()
    for viewer in viewers:
        page, truth = viewer.shown(), store.shown(viewer.patterns)
        assert {device: one[:2] for device, one in page.items()} == {
            device: one[:2] for device, one in truth.items()
        }
        # a sighting that a backup does not have has happened all the same
        assert all(page[device][2] >= one[2] for device, one in truth.items())  # type: ignore[operator]
        assert viewer.complete
        assert not viewer.mismatches, "each patch is of what its viewer has"
        if not set_back:
            asked = {
                id_: (one.change, one.status)
                for id_, one in store.asked.items()
                if any(names.match(pattern, one.device) for pattern in viewer.patterns)
            }
            told = {id_: (one["change"], one["status"]) for id_, one in viewer.commands.items()}
            assert asked.items() <= told.items()


@pytest.fixture(params=[2, latest_states.LONGEST_LOOK], ids=["short looks", "long looks"])
def _looks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many devices one look of a viewer that lags goes through."""
    monkeypatch.setattr(latest_states, "LONGEST_LOOK", request.param)


@pytest.mark.usefixtures("_looks")
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.randoms(use_true_random=False))
def test_whatever_happens_every_page_equals_the_store(dice: random.Random) -> None:
    simulate(dice)


@pytest.fixture(autouse=True)
def _all_is_long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a simulation, whatever viewers may share is compressed."""
    if "simulation" in request.node.name or "whatever" in request.node.name:
        monkeypatch.setattr(broadcaster, "LEAST_CACHED", 1)
        monkeypatch.setattr(broadcaster, "FAR_BEHIND", 3)
        monkeypatch.setattr(EventOutput, "compresses", lambda *about: True)


class PositionAhead(Broadcaster):
    """A paused viewer counts as up to date."""

    def pause(self, viewer: Any) -> None:
        super().pause(viewer)
        if viewer in self.subscribers:
            self.subscribers[viewer].position = self.position.offset


class PausedAhead(Broadcaster):
    """A viewer that is paused counts as having what any audience has."""

    def pause(self, viewer: Any) -> None:
        if viewer in self.subscribers:
            audience = self.subscribers[viewer].audience
            newest = max(self._sent_states._within.values(), default=0)
            self._sent_states.serve(audience, max(newest, self._sent_states.of(audience)))
        super().pause(viewer)


class WholeLook(Broadcaster):
    """A look that did not reach the head counts as one that did."""

    def _next_message(self, subscriber: Subscriber) -> Any:
        message = super()._next_message(subscriber)
        if not json.loads(message.payload)["states"]:
            message.position = self.position.offset
        return message


class GreaterOrEqual(Broadcaster):
    """A viewer that lags misses the entry after its position."""

    def _missed(self, subscriber: Subscriber, entries: Iterable[Entry]) -> list[Entry]:
        missed = super()._missed(subscriber, entries)
        return [entry for entry in missed if entry.offset > subscriber.position + 1]


class NoTombstones(Broadcaster):
    """A viewer that lags is not sent what was removed."""

    def _missed(self, subscriber: Subscriber, entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in super()._missed(subscriber, entries) if entry.exists]


class ForgottenReset(Broadcaster):
    """An invalid position is answered with everything, but without a reset."""

    def _next_message(self, subscriber: Subscriber) -> Any:
        message = super()._next_message(subscriber)
        payload = json.loads(message.payload)
        payload.pop("reset", None)
        message.payload = json.dumps(payload).encode()
        return message


class HadEverything(Broadcaster):
    """A further watch counts as having all of the new set."""

    def _change_audience(self, subscriber: Subscriber, audience: Audience) -> None:
        super()._change_audience(subscriber, audience)
        if subscriber.covered is not None:
            subscriber.covered = (audience, self.position.offset)


class StaleSeen(Broadcaster):
    """A returning viewer is not sent the sightings that it missed."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sightings.send_missed = lambda subscriber, head: None  # type: ignore[method-assign]


class MissedCommands(Broadcaster):
    """A returning viewer is not sent the commands that it missed."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.commands.send_missed = lambda subscriber: None  # type: ignore[method-assign]


class CommandsAhead(Broadcaster):
    """A viewer whose watch set changes counts as having the commands of the new one."""

    def _change_audience(self, subscriber: Subscriber, audience: Audience) -> None:
        super()._change_audience(subscriber, audience)
        subscriber.command = self.commands.latest.newest


class CompressedForever(Broadcaster):
    """What is being compressed is not out of date with all else that lags."""

    def _forget_messages(self) -> None:
        self.audiences.forget_messages()


class CompressedForAll(Broadcaster):
    """A viewer that moved meanwhile gets what was compressed for the place where it was."""

    def _send_next(self, subscriber: Subscriber, compressed: CatchUp | None = None) -> bool:
        if compressed is not None:
            here = subscriber.audience, subscriber.standing
            compressed = compressed._replace(audience=here[0], standing=here[1])
        return super()._send_next(subscriber, compressed)


class ComposedPatches(Broadcaster):
    """A patch is composed of those of the versions since the head before."""

    def _send_states(self, changed: list[str], patches: StatePatches) -> None:
        super()._send_states(changed, Composed(patches, self.store.versions))  # type: ignore[attr-defined]


class Composed(StatePatches):
    def __init__(self, patches: StatePatches, versions: list[Update]) -> None:
        super().__init__(patches._before, patches._settings)
        self._versions = versions

    def _patch(self, entry: Entry) -> bytes | None:
        if super()._patch(entry) is None:
            return None
        update, before = entry, self._before[entry.device]
        states = [
            json.loads(one.state or b"{}")
            for one in self._versions
            if one.device == update.device and before.offset <= one.offset <= update.offset
        ]
        patch: dict[str, Any] = {}
        for one, next_ in pairwise(states):
            patch = composed(patch, difference(one, next_))
        return encoding.patch_item(before, update, strict_json.encode(patch), self._settings)


def composed(one: Any, other: Any) -> Any:
    """As if patches could be merged like states."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {
        name: composed(one[name], other[name])
        if name in one and name in other
        else {**one, **other}[name]
        for name in {**one, **other}
    }


class PatchesForAll(Broadcaster):
    """Viewers that are not at the head get the patches of the last tick too."""

    def _send_states(self, changed: list[str], patches: StatePatches) -> None:
        self.patches = patches
        super()._send_states(changed, patches)

    def _states_message(
        self, audience: Audience, entries: list[Entry], *more: Any, **other: Any
    ) -> Any:
        if audience.protocol == 2 and hasattr(self, "patches"):
            other["item_of"] = self.patches.item
        return super()._states_message(audience, entries, *more, **other)


class PatchesOfTheLastVersion(Broadcaster):
    """A patch is of the version before, whatever was sent."""

    def _send_states(self, changed: list[str], patches: StatePatches) -> None:
        versions = {(one.device, one.version): one for one in self.store.versions}  # type: ignore[attr-defined]
        for device in changed:
            update = self.states.entries[device]
            before = versions.get((device, update.version - 1))
            if before is not None and device in patches._before:
                patches._before[device] = before  # type: ignore[index]
        super()._send_states(changed, patches)


class OneProtocol(Broadcaster):
    """Viewers of both protocols are one audience."""

    def watch(self, viewer: Any, request: Any) -> dict[str, Any]:
        if not self.subscribers:
            self.protocol = request["protocol"]
        return super().watch(viewer, {**request, "protocol": self.protocol})


@pytest.mark.requests_resets
@pytest.mark.parametrize(
    "bug",
    [
        *(PositionAhead, GreaterOrEqual, NoTombstones, ForgottenReset, HadEverything, StaleSeen),
        *(MissedCommands, CommandsAhead, PausedAhead, WholeLook),
        *(CompressedForever, CompressedForAll),
        *(ComposedPatches, PatchesForAll, PatchesOfTheLastVersion, OneProtocol),
    ],
)
def test_the_simulation_finds_planted_bugs(
    bug: type[Broadcaster], monkeypatch: pytest.MonkeyPatch
) -> None:
    if bug is WholeLook:
        monkeypatch.setattr(latest_states, "LONGEST_LOOK", 2)
    for seed in range(2_000):
        try:
            simulate(random.Random(seed), bug)
        except AssertionError:
            return
    raise AssertionError(f"{bug.__doc__} and no assertion failed")


# Patches

PAD = "x" * 300


def entries_of(viewer: FakeClient) -> list[dict[str, Any]]:
    """The entries of the states events since the last call."""
    viewer.read()
    said, viewer.received = viewer.received, []
    return [item for name, payload in said if name == "states" for item in payload["states"]]


def kinds_of(viewer: FakeClient) -> list[str]:
    return ["patch" if "from" in item else "full" for item in entries_of(viewer)]


def test_an_up_to_date_viewer_gets_what_changed_since_the_head_before(
    harness: BroadcastHarness,
) -> None:
    # given a viewer of each protocol, with one state
    harness.store.commit("pillow", {"mood": "happy", "battery": 82, "note": PAD})
    harness.tick()
    simple, patched = harness.client("*"), harness.client("*", protocol=2)
    assert kinds_of(simple) == kinds_of(patched) == ["full"]
    # when the state changes twice in one tick
    harness.store.commit("pillow", {"mood": "sad", "battery": 82, "note": PAD, "x": 1})
    harness.store.commit("pillow", {"mood": "happy", "battery": 81, "note": PAD})
    harness.tick()
    # then one has all of it, the other the difference between the two heads
    (full,) = entries_of(simple)
    (patch,) = entries_of(patched)
    assert (full["version"], full["state"]["battery"], full.get("from")) == (3, 81, None)
    assert (patch["from"], patch["version"], patch["offset"]) == (1, 3, 3)
    assert patch["patch"] == {"battery": 81}
    assert "state" not in patch and PAD not in str(patch)
    # and both hold the same, with all members
    assert patched.states == simple.states


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ({"n": 1, "t": PAD}, {"n": 2, "t": PAD}, "patch"),
        ({"n": 1, "t": PAD}, {"n": 1, "t": PAD}, "patch"),  # as by another deadline
        ({"n": 1, "t": PAD}, {"t": PAD}, "patch"),
        ({"t": PAD}, {"t": PAD * 2}, "full"),  # the patch would be all of it
        ({"n": 1, "t": PAD}, {"m": 1}, "full"),  # two names are longer than one
        ({"n": 1, "t": PAD}, {"n": None, "t": PAD}, "full"),  # what no patch can say
        ({"n": [1, 2], "t": PAD}, {"n": [1, None], "t": PAD}, "patch"),  # an array is a value
        ({"n": 1, "t": PAD}, None, "full"),
        (None, {"n": 1, "t": PAD}, "full"),
    ],
)
def test_what_no_shorter_patch_can_say_is_sent_in_full(
    harness: BroadcastHarness, before: Any, after: Any, kind: str
) -> None:
    harness.store.commit("pillow", {"n": 0})
    harness.store.commit("pillow", before)
    harness.tick()
    viewer = harness.client("*", protocol=2)
    entries_of(viewer)
    harness.store.commit("pillow", after)
    harness.tick()
    assert kinds_of(viewer) == [kind]
    assert viewer.shown() == harness.store.shown(["*"])


def test_a_viewer_that_is_not_at_the_head_gets_full_states(harness: BroadcastHarness) -> None:
    def commit(number: int) -> None:
        harness.store.commit("pillow", {"n": number, "t": PAD})
        harness.tick()

    commit(1)
    # given one that was cut, one that is slow, and one at the head
    cut, head = harness.client("*", protocol=2), harness.client("*", protocol=2)
    slow = harness.client("*", protocol=2, capacity=1)
    cut.cut()
    for viewer in (cut, slow, head):
        entries_of(viewer)
    for number in (2, 3, 4):
        commit(number)
    cut.watch()
    harness.loop.settle()
    # then the slow one has the patch that filled it, and the newest state of all it missed
    slow.read(1)
    assert [(kinds_of(one), one.states["pillow"]["version"]) for one in (cut, slow, head)] == [
        (["full"], 4),
        (["patch", "full"], 4),
        (["patch", "patch", "patch"], 4),
    ]
    # when all are at the head
    commit(5)
    assert [kinds_of(one) for one in (cut, slow, head)] == [["patch"]] * 3


def test_a_patch_is_made_once_for_all_audiences_and_only_for_those_at_the_head(
    harness: BroadcastHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []

    def count(before: bytes, after: bytes) -> bytes | None:
        made.append(after)
        return patch_between(before, after)

    monkeypatch.setattr("statecast.broadcast.state_patches.patch_between", count)
    harness.store.commit("f/pillow", {"n": 1, "t": PAD})
    harness.tick()
    # given viewers of no patches, and one of patches that is slow
    simple = harness.client("*")
    slow = harness.client("*", protocol=2)
    harness.broadcaster.pause(slow)
    harness.store.commit("f/pillow", {"n": 2, "t": PAD})
    harness.tick()
    assert made == []
    # when several audiences of patches are at the head
    viewers = [harness.client(one, protocol=2) for one in ("*", "f/*", "f/pillow", "f/pillow")]
    for viewer in viewers:
        entries_of(viewer)
    harness.store.commit("f/pillow", {"n": 3, "t": PAD})
    harness.tick()
    assert len(made) == 1
    assert [kinds_of(viewer) for viewer in viewers] == [["patch"]] * 4
    assert kinds_of(simple) == ["full", "full", "full"]


def test_a_burst_of_many_devices_compares_a_bounded_number_of_bytes(
    harness: BroadcastHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given time for two states per tick
    monkeypatch.setattr("statecast.broadcast.state_patches.MOST_COMPARED", 2 * len(PAD) + 50)
    for number in range(4):
        harness.store.commit(f"d{number}", {"n": 0, "t": PAD})
    harness.tick()
    viewers = [harness.client("*", protocol=2) for _ in range(2)]
    for viewer in viewers:
        entries_of(viewer)
    # when four change in one tick
    for number in range(4):
        harness.store.commit(f"d{number}", {"n": 1, "t": PAD})
    harness.tick()
    # then two come as patches, and the others in full
    assert [kinds_of(viewer) for viewer in viewers] == [["patch", "patch", "full", "full"]] * 2
    # and the next tick has as much time
    harness.store.commit("d3", {"n": 2, "t": PAD})
    harness.tick()
    assert [kinds_of(viewer) for viewer in viewers] == [["patch"]] * 2
    assert [viewer.shown() for viewer in viewers] == [harness.store.shown(["*"])] * 2


def test_a_viewer_changes_its_protocol_and_gets_nothing_twice(harness: BroadcastHarness) -> None:
    harness.store.commit("pillow", {"n": 1, "t": PAD})
    harness.tick()
    viewer = harness.client("*")
    entries_of(viewer)
    for number, protocol, kind in ((2, 2, "patch"), (3, 1, "full"), (4, 2, "patch")):
        viewer.watch(protocol=protocol)
        harness.loop.settle()
        assert kinds_of(viewer) == []
        harness.store.commit("pillow", {"n": number, "t": PAD})
        harness.tick()
        assert kinds_of(viewer) == [kind]


def test_viewers_of_patches_are_told_the_epoch_once_and_again_when_it_is_new(
    harness: BroadcastHarness,
) -> None:
    def commit(number: int) -> None:
        harness.store.commit("pillow", {"n": number, "t": PAD})
        harness.tick()

    def named(viewer: FakeClient) -> list[str | None]:
        viewer.read()
        said, viewer.received = viewer.received, []
        return [payload.get("epoch") for name, payload in said if name == "states"]

    commit(1)
    simple, first = harness.client("*"), harness.client("*", protocol=2)
    assert (named(simple), named(first)) == (["e1"], ["e1"])
    for number in (2, 3):
        commit(number)
    # one that comes later is told in its answer
    later = harness.client("*", protocol=2)
    commit(4)
    assert [named(one) for one in (simple, first, later)] == [
        ["e1", "e1", "e1"],
        ["e1", None, None],
        ["e1", None],
    ]
    # when another process begins an epoch
    harness.store.restart()
    for number in (5, 6):
        commit(number)
    assert [named(one) for one in (simple, first, later)] == [
        ["e2", "e2"],
        ["e2", None],
        ["e2", None],
    ]
    # then the positions are of it, and hold
    for one in (first, later):
        assert one.position == Position("e2", 6)
        one.cut()
        assert not one.watch()["reset"]


def test_a_position_holds_for_both_protocols(harness: BroadcastHarness) -> None:
    for device in ("pillow", "chair"):
        harness.store.commit(device, {"n": 1, "t": PAD})
    harness.tick()
    viewer = harness.client("*", protocol=2)
    viewer.cut()
    entries_of(viewer)
    viewer.watch(protocol=1)
    harness.loop.settle()
    assert states_of(viewer) == [({}, 2, "complete")]


@pytest.mark.requests_resets
def test_a_viewer_that_lost_what_it_had_gets_everything_again_and_is_counted() -> None:
    # given a server with a defect: it sends patches to viewers that are not at the head
    harness = BroadcastHarness(PatchesForAll)
    harness.store.commit("pillow", {"n": 1, "t": PAD})
    harness.store.commit("chair", {"n": 1})
    harness.tick()
    viewer = harness.client("*", protocol=2)
    viewer.cut()
    for number in (2, 3):
        harness.store.commit("pillow", {"n": number, "t": PAD})
        harness.tick()
    assert harness.broadcaster.counts()["requested_resets"] == 0
    # when the patch is of a version that the viewer does not have
    viewer.watch()
    harness.loop.settle()
    harness.broadcaster.patches = StatePatches({}, harness.broadcaster.settings)  # type: ignore[attr-defined]
    viewer.read()
    harness.loop.settle()
    # then it asks for everything, and has it
    assert viewer.mismatches == 1
    assert harness.broadcaster.counts()["requested_resets"] == 1
    assert states_of(viewer)[-1] == ({"chair": 1, "pillow": 3}, 4, "reset", "complete")
    assert viewer.shown() == harness.store.shown(["*"])


@pytest.mark.requests_resets
def test_a_viewer_may_ask_for_everything_while_it_lags_or_as_it_comes(
    harness: BroadcastHarness,
) -> None:
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    slow = harness.client("*", protocol=2)
    harness.broadcaster.pause(slow)
    slow.watch(reset=True)
    harness.loop.settle()
    slow.full = True
    slow.read()
    harness.loop.settle()
    new = harness.client("*", protocol=2, reset=True)
    for viewer in (slow, new):
        assert states_of(viewer)[-1] == ({"pillow": 1}, 1, "reset", "complete")
    assert harness.broadcaster.counts()["requested_resets"] == 2


def test_rights_that_change_leave_the_protocol_as_it_is(harness: BroadcastHarness) -> None:
    for device in ("pillow", "f/lamp"):
        harness.store.commit(device, {"n": 1, "t": PAD})
    harness.tick()
    viewer = harness.client("*", protocol=2)
    entries_of(viewer)

    def change(number: int) -> list[str]:
        for device in ("pillow", "f/lamp"):
            harness.store.commit(device, {"n": number, "t": PAD})
        harness.tick()
        return [
            f"{item['device']} {'patch' if 'from' in item else item.get('gone', 'full')}"
            for item in entries_of(viewer)
        ]

    def may_read(*patterns: str) -> None:
        viewer.reader = Reader(ANONYMOUS, Grants.of(dict.fromkeys(patterns, "read")))
        harness.broadcaster.regrant([viewer])
        harness.loop.settle()

    assert change(2) == ["pillow patch", "f/lamp patch"]
    may_read("f/*")
    assert change(3) == ["pillow forbidden", "f/lamp patch"]
    # when the right comes back, so does the device, in full
    may_read("*")
    assert change(4) == ["pillow full", "pillow patch", "f/lamp patch"]
    assert viewer.mismatches == 0


# What a viewer may read


def reader(*readable: str) -> Reader:
    return Reader(ANONYMOUS, Grants.of(dict.fromkeys(readable, "read")))


def test_a_viewer_gets_what_it_may_read_of_what_it_asks_for(harness: BroadcastHarness) -> None:
    for device in ("smith/pillow", "smith/lamp", "jones/pillow"):
        harness.store.commit(device, {"n": 1})
    harness.tick()
    # given two viewers with the same rights that ask in different words, and one that has all
    first, second = FakeClient(harness, ["*"]), FakeClient(harness, ["smith/*", "jones/pillow"])
    first.reader = second.reader = reader("smith/*")
    first.watch()
    second.watch()
    everything = harness.client("*")
    harness.loop.settle()
    # then each has its part, and the two are one audience
    for viewer in (first, second):
        assert states_of(viewer) == [({"smith/pillow": 1, "smith/lamp": 1}, 3, "complete")]
    assert len(harness.broadcaster.audiences) == 2
    # and nothing of the others comes later
    harness.store.commit("jones/pillow", {"n": 2})
    harness.store.see("jones/pillow")
    harness.tick()
    assert states_of(first) == states_of(second) == []
    assert len(states_of(everything)) == 2


@pytest.mark.parametrize(
    ("before", "after", "resets", "returns"),
    [
        ("*", "smith/*", [True], False),  # they shrank
        ("smith/*", "*", [], False),  # they grew: what it has stays
        ("smith/*", "jones/*", [True], False),
        ("smith/*", "smith/*", [], False),
        ("*", "smith/*", [True], True),
        ("smith/*", "*", [True], True),
        ("smith/*", "jones/*", [True], True),
        ("smith/*", "smith/*", [], True),
    ],
)
def test_who_was_behind_when_its_rights_changed_learns_that_by_the_scope_of_the_reset(
    harness: BroadcastHarness, before: str, after: str, resets: list[bool], returns: bool
) -> None:
    # given a viewer that lags, or that was away
    for device in ("smith/pillow", "jones/pillow"):
        harness.store.commit(device, {"n": 1})
    harness.tick()
    viewer = FakeClient(harness, ["*"])
    viewer.reader = reader(before)
    viewer.watch()
    harness.loop.settle()
    viewer.read()
    known = viewer.scope
    viewer.fill()
    if returns:
        viewer.cut()
    viewer.received.clear()
    # when its rights change
    viewer.reader = reader(after)
    if returns:
        viewer.watch()
    else:
        harness.broadcaster.regrant([viewer])
    harness.loop.settle()
    viewer.full = True
    viewer.read()
    harness.loop.settle()
    viewer.read()
    # then a reset with another scope says so, and it has what it may see
    said = [payload for name, payload in viewer.received if name == "states"]
    assert [one["scope"] != known for one in said if one.get("reset")] == resets
    shown = harness.store.shown([after])
    assert {device: one[:2] for device, one in viewer.shown().items()} == {
        device: one[:2] for device, one in shown.items()
    }


def test_a_viewer_that_lags_and_may_read_more_gets_only_what_it_lacks(
    harness: BroadcastHarness,
) -> None:
    for device in ("smith/pillow", "smith/lamp", "jones/pillow"):
        harness.store.commit(device, {"n": 1})
    harness.tick()
    # given a slow viewer that has what it may read, but for the newest change
    viewer = FakeClient(harness, ["*"])
    viewer.reader = reader("smith/*")
    viewer.watch()
    harness.loop.settle()
    states_of(viewer)
    viewer.fill()
    harness.store.commit("smith/lamp", {"n": 2})
    harness.tick()
    # when it may read more
    viewer.reader = reader("*")
    harness.broadcaster.regrant([viewer])
    viewer.read()
    harness.loop.settle()
    # then it gets that and the change, and nothing again
    assert states_of(viewer) == [({"jones/pillow": 1, "smith/lamp": 2}, 4)]
    assert viewer.shown() == harness.store.shown(["*"])


@pytest.mark.parametrize(("after", "marks"), [("*", []), ("jones/*", ["reset"])])
def test_rights_that_change_before_a_position_is_known_cost_what_was_lost(
    harness: BroadcastHarness, after: str, marks: list[str]
) -> None:
    for device in ("smith/pillow", "jones/pillow"):
        harness.store.commit(device, {"n": 1})
    harness.tick()
    viewer = FakeClient(harness, ["*"])
    viewer.reader = reader("smith/*")
    with without_answers(harness):
        harness.store.commit("smith/lamp", {"n": 1})
        viewer.watch(since={"epoch": "e1", "offset": 3, "scope": scope(["smith/*"])})
        # when its rights change
        viewer.reader = reader(after)
        harness.broadcaster.regrant([viewer])
        harness.loop.settle()
        # then one that lost devices gets what it may read at once, the other keeps what it has
        assert [one[2:] for one in states_of(viewer)] == [(*marks, "complete")] * len(marks)
    harness.store.commit("jones/pillow", {"n": 2})
    harness.tick()
    ((sent, *_),) = states_of(viewer)
    assert sent == {"jones/pillow": 2}


@pytest.mark.parametrize("exists", [True, False])
def test_what_may_not_be_read_is_refused_whether_it_exists_or_not(
    harness: BroadcastHarness, exists: bool
) -> None:
    if exists:
        harness.store.commit("jones/pillow", {"n": 1})
        harness.tick()
    viewer = FakeClient(harness, ["jones/pillow", "jones/*"])
    viewer.reader = reader("smith/*")
    with pytest.raises(Forbidden) as refused:
        viewer.watch()
    assert str(refused.value) == NOTHING_READABLE
    assert viewer not in harness.broadcaster.subscribers


@pytest.mark.parametrize(
    ("then", "before", "wanted", "now", "reset"),
    [
        ("*", ["*"], ["*"], "*", False),
        ("smith/*", ["*"], ["*"], "smith/*", False),
        ("smith/*", ["*"], ["smith/*"], "*", False),  # the same devices, in other words
        ("smith/*", ["*"], ["*"], "*", True),  # the rights grew
        ("*", ["*"], ["*"], "smith/*", True),  # they shrank
        ("*", ["smith/pillow"], ["*"], "*", True),  # another list
        ("*", ["smith/pillow", "*"], ["*"], "*", False),
    ],
)
def test_a_position_holds_for_the_devices_for_which_it_was_given(
    harness: BroadcastHarness,
    then: str,
    before: list[str],
    wanted: list[str],
    now: str,
    reset: bool,
) -> None:
    harness.store.commit("smith/pillow", {"n": 1})
    harness.store.commit("jones/pillow", {"n": 1})
    harness.tick()
    viewer = FakeClient(harness, before)
    viewer.reader = reader(then)
    viewer.watch()
    harness.loop.settle()
    viewer.read()
    viewer.cut()
    viewer.reader = reader(now)
    assert viewer.watch(wanted)["reset"] is reset
    harness.loop.settle()
    viewer.read()
    narrow = "smith/*" in (now, *wanted)
    expected = {"smith/pillow"} if narrow else {"smith/pillow", "jones/pillow"}
    assert set(viewer.states) == expected


@pytest.mark.parametrize("has_rules", [True, False])
def test_a_position_without_a_scope_holds_where_everybody_reads_everything(has_rules: bool) -> None:
    harness = BroadcastHarness(has_rules=lambda: has_rules)
    harness.store.commit("pillow", {"n": 1})
    harness.tick()
    viewer = FakeClient(harness, ["*"])
    assert viewer.watch(since={"epoch": "e1", "offset": 1})["reset"] is has_rules


def test_with_patches_health_says_what_changed(harness: BroadcastHarness) -> None:
    # given viewers of both protocols
    queue = {"status": "connected", "sentence": None, "lag": None}
    harness.health = {"sources": {"queue": queue}, "viewers": 2, "problems": []}
    harness.tick()
    viewers = [harness.client("*", health=True, protocol=number) for number in (1, 2)]

    def beat() -> list[Any]:
        harness.broadcaster.health.beat(harness.health)
        found = []
        for viewer in viewers:
            viewer.read()
            (said,) = [payload for name, payload in viewer.received if name == "health"]
            viewer.received.clear()
            found.append({name: value for name, value in said.items() if name != "now"})
        return found

    for viewer in viewers:  # the first one has all
        viewer.read()
        assert viewer.received[-1][1]["sources"] == {"queue": queue}
        viewer.received.clear()
    # when something changes, then the one of protocol 2 gets that
    assert beat() == [harness.health, {"changed": {}}]
    harness.health = {**harness.health, "sources": {"queue": {**queue, "lag": 0.5}}}
    assert beat() == [harness.health, {"changed": {"sources": {"queue": {"lag": 0.5}}}}]
    # and after one that it did not get, all
    harness.broadcaster.pause(viewers[1])
    harness.health = {**harness.health, "viewers": 3}
    harness.broadcaster.health.beat(harness.health)
    harness.broadcaster.resume(viewers[1])
    viewers[0].read()
    viewers[0].received.clear()
    assert beat() == [harness.health, harness.health]
    assert beat() == [harness.health, {"changed": {}}]


def test_health_says_of_others_nothing(harness: BroadcastHarness) -> None:
    def problem(subject: str) -> dict[str, Any]:
        return {"kind": "k", "subject": subject, "sentence": subject, "severity": "notice"}

    of_source = {"status": "connected", "since": "t", "received_at": "t", "sentence": None}
    harness.health = {
        "sources": {name: {**of_source, "lag": 1.0, "waiting": 7} for name in ("q", "jones-queue")},
        "viewers": 3,
        "version": "1",
        "problems": [
            problem(of)
            for of in (
                *("store", "clock", "source q", "source jones-queue", "device smith/pillow"),
                *("device jones/pillow", "events", "commands jones-queue", "history of jones/x"),
            )
        ],
        "quarantined": 5,
        "totals": {"jones-queue": {"messages": 9}},
    }
    harness.store.commit("smith/pillow", {"n": 1}, source="q")
    harness.store.commit("jones/pillow", {"n": 1}, source="jones-queue")
    harness.tick()
    viewer = FakeClient(harness, ["*"])
    viewer.reader = reader("smith/*")
    viewer.watch(health=True)
    everything = harness.client("*", health=True)
    harness.loop.settle()

    def health_of(one: FakeClient) -> Any:
        one.read()
        return [payload for name, payload in one.received if name == "health"][-1]

    assert health_of(everything)["viewers"] == 3
    part = health_of(viewer)
    assert part.pop("now")
    assert part == {
        "version": "1",
        "sources": {"q": of_source},
        "problems": [problem(of) for of in ("store", "clock", "source q", "device smith/pillow")],
    }
    # when a device of its own begins to report through another source, then it learns of that
    harness.store.commit("smith/lamp", {"n": 1}, source="jones-queue")
    harness.tick()
    harness.loop.advance(HEALTH_INTERVAL)
    harness.broadcaster.health.beat(harness.health)
    assert set(health_of(viewer)["sources"]) == {"q", "jones-queue"}
