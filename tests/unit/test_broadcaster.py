"""The broadcaster: one question from many places, told in slices, to who can take them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from crowd import PaperViewer, Scene
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast.broadcast.broadcaster import Broadcaster, Entry, Subscriber
from statecast.broadcast.subscriptions import Audience
from statecast.errors import Malformed, TooLarge
from statecast.model import Event


@pytest.fixture
def scene() -> Scene:
    return Scene()


def told(viewer: PaperViewer) -> list[Any]:
    """Devices and versions of each states event since the last call, with what else it says."""
    viewer.take()
    said, viewer.said = viewer.said, []
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


def test_a_new_viewer_gets_all_states_then_each_change(scene: Scene) -> None:
    scene.store.commit("pillow", {"n": 1})
    scene.store.commit("chair", {"n": 1})
    scene.store.commit("lamp", {"n": 1})
    scene.tick()
    viewer = scene.viewer("pillow", "lamp")
    assert viewer.said[0] == ("answer", {"epoch": "e1", "offset": 0, "reset": False})
    assert told(viewer) == [({"pillow": 1, "lamp": 1}, 3, "complete")]
    # when what it does not watch changes, it hears nothing; else the newest, in one event per tick
    scene.store.commit("chair", {"n": 2})
    scene.tick()
    assert told(viewer) == []
    for number in range(2, 5):
        scene.store.commit("pillow", {"n": number})
    scene.store.commit("lamp", None)
    scene.tick()
    assert told(viewer) == [({"pillow": 4, "lamp": 2}, 8)]
    assert set(viewer.shown()) == {"pillow"}


def test_an_empty_answer_is_an_answer(scene: Scene) -> None:
    assert told(scene.viewer("pillow")) == [({}, 0, "complete")]


def test_who_has_nothing_is_not_told_what_was_removed(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.store.commit("pillow", None)
    scene.tick()
    assert told(scene.viewer("*")) == [({}, 2, "complete")]


def test_viewers_of_one_list_share_the_very_same_slice(scene: Scene) -> None:
    pieces: list[Any] = []
    viewers = [scene.viewer("*", "pillow"), scene.viewer("pillow", "*", "pillow")]
    for viewer in viewers:
        viewer.deliver = pieces.append  # type: ignore[method-assign]
    scene.store.commit("pillow", {})
    scene.tick()
    assert len(pieces) == 2 and pieces[0] is pieces[1]
    assert len(scene.broadcaster.audiences) == 1


# Returning


def test_a_returning_viewer_gets_what_is_missing(scene: Scene) -> None:
    scene.store.commit("pillow", {"n": 1})
    scene.store.commit("chair", {"n": 1})
    scene.tick()
    viewer = scene.viewer("*")
    viewer.cut()
    scene.store.commit("chair", None)
    scene.tick()
    viewer.said = []
    assert viewer.watch() == {"epoch": "e1", "offset": 2, "reset": False}
    scene.loop.settle()
    assert told(viewer) == [({"chair": 2}, 3, "complete")]


@pytest.mark.parametrize("since", [{"epoch": "unknown", "offset": 1}, {"epoch": "e1", "offset": 3}])
def test_a_place_that_never_was_is_answered_with_everything(
    scene: Scene, since: dict[str, Any]
) -> None:
    scene.store.commit("pillow", {"n": 1})
    scene.store.commit("gone", {})
    scene.store.commit("gone", None)
    scene.tick()
    scene.store.set_back(({"pillow": scene.store.latest["pillow"]}, (("e1", 1),), 2, 0))
    scene.tick()
    viewer = PaperViewer(scene, ["*"])
    viewer.position = None
    assert viewer.watch(since=since)["reset"] is True
    scene.loop.settle()
    assert told(viewer) == [({"pillow": 1}, 2, "reset", "complete")]


def test_a_restart_of_the_store_costs_nobody_anything(scene: Scene) -> None:
    scene.store.commit("pillow", {"n": 1})
    scene.tick()
    viewer, returning = scene.viewer("*"), scene.viewer("*")
    returning.cut()
    told(viewer), told(returning)
    scene.store.restart()
    scene.tick()
    assert returning.watch()["reset"] is False
    scene.store.commit("pillow", {"n": 2})
    scene.tick()
    assert told(viewer) == [({"pillow": 2}, 2)]
    assert told(returning)[-1] == ({"pillow": 2}, 2, "complete")
    assert viewer.position is not None and viewer.position.epoch == "e2"


def test_what_the_store_forgot_is_forgotten_here(scene: Scene) -> None:
    # given one who is up to date, one who is slow and one who is away
    for device in ("gone", "pillow"):
        scene.store.commit(device, {})
    scene.tick()
    viewer, slow, away = scene.viewer("*"), scene.viewer("*", room=1), scene.viewer("*")
    away.cut()
    scene.broadcaster.pause(slow)
    slow.full = True
    scene.store.commit("gone", None)
    scene.store.commit("pillow", {"n": 1})
    scene.tick()
    told(viewer)
    # when a week has passed
    scene.store.forget()
    scene.follower._epoch_history_at = -1e9
    scene.tick()
    assert list(scene.broadcaster.latest) == ["pillow"]
    # then nobody still shows what was removed, and who knew is not told anything
    assert told(viewer) == []
    assert away.watch()["reset"] is True
    scene.loop.settle()
    while slow.pipe or slow.full:
        slow.take()
    for one in (viewer, slow, away):
        one.take()
        assert one.shown() == scene.store.shown(["*"])


def test_a_store_set_back_resets_everybody(scene: Scene) -> None:
    scene.store.commit("pillow", {"n": 1})
    backup = scene.store.copy()
    scene.store.commit("pillow", {"n": 2})
    scene.store.commit("chair", {"n": 1})
    scene.tick()
    viewer = scene.viewer("*")
    told(viewer)
    scene.store.set_back(backup)
    scene.tick()
    assert told(viewer) == [({"pillow": 1}, 1, "reset", "complete")]
    assert viewer.shown() == scene.store.shown(["*"])


# Slow viewers


def test_a_paused_viewer_costs_its_place_and_gets_the_newest_of_everything(scene: Scene) -> None:
    viewer = scene.viewer("*", room=1)
    scene.store.commit("pillow", {"n": 0})
    scene.tick()
    assert viewer.full
    for number in range(1, 6):
        scene.store.commit("pillow", {"n": number})
        scene.store.commit("chair", {"n": number})
        scene.tick()
    assert len(viewer.pipe) == 1
    viewer.take(1)
    assert len(viewer.pipe) == 1
    assert told(viewer) == [
        ({}, 0, "complete"),
        ({"pillow": 1}, 1),
        ({"pillow": 6, "chair": 5}, 11),
    ]
    assert told(scene.viewer("*"))[-1][0] == {"pillow": 6, "chair": 5}


def test_a_big_answer_is_cut_and_only_its_last_slice_is_complete() -> None:
    scene = Scene(max_states_bytes=1_024)
    for number in range(9):
        scene.store.commit(f"d{number}", {"text": "x" * 300})
    scene.tick()
    viewer = scene.viewer("*", room=3)
    slices = told(viewer)
    while viewer.pipe:
        slices += told(viewer)
    assert [len(one[0]) for one in slices] == [1] * 9 or sum(len(one[0]) for one in slices) == 9
    assert [one[2:] for one in slices] == [()] * (len(slices) - 1) + [("complete",)]
    assert [one[1] for one in slices] == sorted({one[1] for one in slices})
    assert slices[-1][1] == 9


def test_a_viewer_paused_within_a_tick_goes_on_from_where_it_was() -> None:
    scene = Scene(max_states_bytes=1_024)
    slow, quick = scene.viewer("*", room=1), scene.viewer("*")
    for number in range(9):
        scene.store.commit(f"d{number}", {"text": "x" * 900})
    scene.tick()
    assert len(slow.pipe) == 1
    while slow.pipe:
        slow.take()
    quick.take()
    assert slow.shown() == quick.shown() == scene.store.shown(["*"])


def test_pause_and_resume_of_who_does_not_watch_are_nothing(scene: Scene) -> None:
    stranger = PaperViewer(scene, ["*"])
    scene.broadcaster.pause(stranger)
    scene.broadcaster.resume(stranger)
    scene.broadcaster.leave(stranger)
    assert scene.broadcaster.members == {}


# A further watch


def test_a_further_watch_tells_only_what_the_list_before_did_not(scene: Scene) -> None:
    for device in ("pillow", "chair", "lamp"):
        scene.store.commit(device, {})
    scene.tick()
    viewer = scene.viewer("pillow", "chair")
    told(viewer)
    viewer.watch(["pillow", "lamp"])
    scene.loop.settle()
    assert told(viewer) == [({"lamp": 1}, 3, "complete")]
    scene.store.commit("pillow", {"n": 1})
    scene.store.commit("chair", {"n": 1})
    scene.tick()
    assert told(viewer) == [({"pillow": 2}, 5)]


def test_the_same_watch_again_costs_one_empty_answer(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.tick()
    viewer = scene.viewer("pillow")
    told(viewer)
    assert viewer.watch()["offset"] == 1
    # and a place that is of no history is not asked for: what it has is known here
    assert viewer.watch(since={"epoch": "unknown", "offset": 9})["reset"] is False
    scene.loop.settle()
    assert told(viewer) == [({}, 1, "complete")]
    scene.store.commit("pillow", {"n": 1})
    scene.tick()
    assert told(viewer) == [({"pillow": 2}, 2)]
    assert len(scene.broadcaster.audiences) == 1


def test_a_further_watch_with_the_place_of_the_list_before_misses_nothing(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.store.commit("chair", {})
    scene.tick()
    viewer = scene.viewer("chair")
    told(viewer)
    viewer.watch(["*"], since={"epoch": "e1", "offset": 2})
    scene.loop.settle()
    assert told(viewer) == [({"pillow": 1}, 2, "complete")]


def test_a_further_watch_hears_what_was_removed_before_its_answer(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.tick()
    viewer = scene.viewer("*", room=1)
    viewer.full = True
    scene.broadcaster.pause(viewer)
    viewer.watch(["pillow", "chair"])
    scene.store.commit("pillow", None)
    scene.tick()
    while viewer.pipe:
        viewer.take()
    assert viewer.shown() == {}


def test_a_further_watch_before_the_first_was_answered(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.store.commit("chair", {})
    scene.tick()
    viewer = PaperViewer(scene, ["pillow"])
    viewer.watch()
    viewer.watch(["chair"])
    viewer.watch(["*"])
    scene.loop.settle()
    told(viewer)
    assert viewer.shown() == scene.store.shown(["*"])


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
        ({"devices": ["a"], "protocol": 2}, Malformed),
        ({"devices": ["a"], "health": "yes"}, Malformed),
        ({"devices": ["a"] * 1_001}, TooLarge),
    ],
)
def test_a_bad_watch_is_refused_and_changes_nothing(
    scene: Scene, request_: Any, error: type[Exception]
) -> None:
    viewer = scene.viewer("pillow")
    told(viewer)
    with pytest.raises(error):
        scene.broadcaster.watch(viewer, request_)
    scene.store.commit("pillow", {})
    scene.tick()
    assert told(viewer) == [({"pillow": 1}, 1)]


# Signs of life, health, events


def test_signs_of_life_are_told_once_a_second_and_only_for_devices_with_a_deadline() -> None:
    scene = Scene(deadlines={"pillow": 60})
    for device in ("pillow", "chair"):
        scene.store.commit(device, {})
    scene.tick()
    viewer, other = scene.viewer("*"), scene.viewer("chair")
    viewer.said = []
    for _ in range(3):
        scene.store.hear("pillow")
        scene.store.hear("chair")
        scene.tick()
    assert viewer.pipe == []
    scene.loop.advance(1)
    viewer.take(), other.take()
    assert [said for said in viewer.said if said[0] == "seen"] == [
        ("seen", {"pillow": "2026-01-01T00:00:00.007Z"})
    ]
    assert not [said for said in other.said if said[0] == "seen"]
    # who comes later finds it in the state
    late = scene.viewer("*")
    assert late.states["pillow"]["seen_at"] == "2026-01-01T00:00:00.007Z"
    assert late.states["chair"]["seen_at"] == "2026-01-01T00:00:00.008Z"
    assert (late.states["pillow"]["silent_after"], late.states["chair"]["silent_after"]) == (
        60,
        None,
    )


def test_who_was_away_is_told_the_signs_of_life_it_missed(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.tick()
    viewer = scene.viewer("*")
    viewer.cut()
    scene.store.hear("pillow")
    scene.tick()
    viewer.watch()
    scene.loop.settle()
    viewer.take()
    assert viewer.shown() == scene.store.shown(["*"])


def test_a_storm_of_returning_viewers_shares_what_it_missed(scene: Scene) -> None:
    for device in ("pillow", "chair"):
        scene.store.commit(device, {})
    scene.tick()
    viewers = [scene.viewer("*") for _ in range(3)]
    for viewer in viewers:
        viewer.cut()
    scene.store.hear("pillow")
    scene.tick()
    pieces: list[Any] = []
    for viewer in viewers:
        viewer.watch()
        viewer.deliver = pieces.append  # type: ignore[method-assign]
    scene.loop.settle()
    assert [message.name for message in pieces].count("seen") == 3
    assert len({id(message) for message in pieces}) == 2


def test_health_is_told_to_who_asked_on_change_and_as_a_beat(scene: Scene) -> None:
    scene.health = {"sources": {"queue": {"status": "connected", "sentence": None, "lag": 0}}}
    scene.tick()
    viewer, other = scene.viewer("*", health=True), scene.viewer("*")
    assert viewer.said[-1] == ("health", {"now": "2026-01-01T00:00:00.000Z", **scene.health})

    def beats() -> int:
        viewer.take(), other.take()
        assert not [said for said in other.said if said[0] == "health"]
        return sum(said[0] == "health" for said in viewer.said)

    assert beats() == 1
    scene.health = {"sources": {"queue": {"status": "connected", "sentence": None, "lag": 5}}}
    scene.tick()
    assert beats() == 1, "numbers wait for the beat"
    scene.health = {"sources": {"queue": {"status": "away", "sentence": "Gone.", "lag": 5}}}
    scene.tick()
    assert beats() == 2
    scene.broadcaster._beat()
    assert beats() == 3
    scene.loop.advance(1.5)
    assert beats() == 4
    scene.broadcaster.pause(viewer)
    scene.loop.advance(1.5)
    assert beats() == 4
    viewer.cut()
    assert scene.broadcaster.listeners == set()


def test_an_applications_events_are_handed_on(scene: Scene) -> None:
    heard: list[Event] = []
    scene.broadcaster.on_event(heard.append)
    scene.store.emit("before")
    scene.tick()
    scene.store.emit("hello")
    scene.tick()
    scene.tick()
    assert [event.name for event in heard][-1:] == ["hello"]
    assert len(heard) == len({event.number for event in heard})


def test_who_left_leaves_nothing_behind(scene: Scene) -> None:
    scene.store.commit("pillow", {})
    scene.tick()
    for _ in range(2):
        viewers = [
            scene.viewer("*", health=True),
            scene.viewer("pillow"),
            scene.viewer("a/*", "pillow"),
        ]
        viewers[1].watch(["chair"])
        for viewer in viewers:
            viewer.cut()
        scene.loop.settle()
    broadcaster = scene.broadcaster
    assert (len(broadcaster.members), len(broadcaster.listeners), len(broadcaster.audiences)) == (
        0,
        0,
        0,
    )
    assert broadcaster.audiences.concerned(["pillow", "a/b"]) == {}


def test_a_tick_asks_no_audience_about_each_device(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand audiences times a thousand changed devices would stop the loop for every tick."""
    viewers = [
        scene.viewer("*"),
        scene.viewer("pillow"),
        scene.viewer("a/*", "a/b/*", "a/b/c", "pillow"),
    ]
    scene.loop.settle()
    monkeypatch.setattr(
        "statecast.broadcast.subscriptions.Audience.matches", lambda *_: pytest.fail("it searched")
    )
    for device in ("pillow", "chair", "a/b/c"):
        scene.store.commit(device, {})
    for one in viewers:
        told(one)
    scene.tick()
    assert [told(one) for one in viewers] == [
        [({"pillow": 1, "chair": 1, "a/b/c": 1}, 3)], [({"pillow": 1}, 3)], [({"pillow": 1, "a/b/c": 1}, 3)]
    ]  # fmt: skip


def test_what_could_not_be_told_is_told_anew(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    # given a viewer that meets a defect of ours, and one beside it
    broken, viewer = scene.viewer("*"), scene.viewer("*")
    broken.deliver = lambda message: 1 / 0  # type: ignore[method-assign, assignment]
    scene.store.commit("pillow", {})
    scene.tick()
    assert "told anew" in caplog.text
    # when the defect is gone, everybody gets everything
    del broken.deliver  # type: ignore[method-assign]
    scene.tick()
    for one in (broken, viewer):
        one.take()
        assert one.shown() == scene.store.shown(["*"])


# The simulation

DEVICES = ["a", "b", "f/a", "f/b", "g"]
LISTS = [["*"], ["a"], ["a", "b"], ["f/*"], ["a", "f/*"], ["f/a", "g"]]


def simulate(dice: random.Random, kind: type[Broadcaster] = Broadcaster) -> None:
    """Commits, pauses, cuts, restarts and backups as the dice fall; then quiet, and every page equals the store."""
    scene = Scene(kind, max_states_bytes=1_024)
    store = scene.store
    viewers = [
        PaperViewer(scene, dice.choice(LISTS), room=dice.choice([1, 2, 100])) for _ in range(3)
    ]
    backup = store.copy()
    for _ in range(dice.randint(5, 40)):
        match dice.choice("cccccchttttvvvwwxxslbBrf"):
            case "c":
                gone = dice.random() < 0.25
                store.commit(
                    dice.choice(DEVICES),
                    None if gone else {"n": store.offset, "t": "x" * dice.choice([1, 700])},
                )
            case "h":
                store.hear(dice.choice(DEVICES))
            case "t":
                scene.follower.read_once()
            case "s":
                scene.loop.settle()
            case "l":
                scene.loop.advance(1)
            case "v":
                dice.choice(viewers).take(dice.randint(1, 3))
            case "w":
                viewer = dice.choice(viewers)
                viewer.watch(dice.choice(LISTS) if viewer.connected else None)
            case "x":
                dice.choice(viewers).cut()
            case "r":
                store.restart()
            case "b":
                backup = store.copy()
            case "B":
                store.set_back(backup)
            case "f":  # a week after the removal: nobody who is connected is that far behind
                scene.tick()
                for viewer in viewers:
                    while viewer.pipe:
                        viewer.take()
                store.forget()
                scene.follower._epoch_history_at = -1e9
    for viewer in viewers:
        if not viewer.connected:
            viewer.watch()
    scene.tick()
    for _ in range(30):
        scene.loop.advance(1)
        for viewer in viewers:
            viewer.take()
    for viewer in viewers:
        page, truth = viewer.shown(), store.shown(viewer.patterns)
        assert {device: one[:2] for device, one in page.items()} == {
            device: one[:2] for device, one in truth.items()
        }
        # a sign of life that a backup has not heard of was one all the same
        assert all(page[device][2] >= one[2] for device, one in truth.items())  # type: ignore[operator]
        assert viewer.complete


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whatever_happens_every_page_equals_the_store(dice: random.Random) -> None:
    simulate(dice)


class PlaceAhead(Broadcaster):
    """Who is paused is taken to have everything."""

    def pause(self, viewer: Any) -> None:
        super().pause(viewer)
        if viewer in self.members:
            self.members[viewer].position = self.position.offset


class GreaterOrEqual(Broadcaster):
    """The question is asked from the place itself: one too few."""

    def _missed(self, member: Subscriber) -> list[Entry]:
        return [
            entry for entry in super()._missed(member) if entry.update.offset > member.position + 1
        ]


class NoTombstones(Broadcaster):
    """Who catches up is never told what was removed."""

    def _missed(self, member: Subscriber) -> list[Entry]:
        return [entry for entry in super()._missed(member) if entry.update.state is not None]


class ForgottenReset(Broadcaster):
    """A bad place is answered with everything, but the client is not told to forget."""

    def _answer(self, member: Subscriber) -> Any:
        message = super()._answer(member)
        payload = json.loads(message.payload)
        payload.pop("reset", None)
        message.payload = json.dumps(payload).encode()
        return message


class HadEverything(Broadcaster):
    """A further watch is taken to have all that the new list has."""

    def _change_audience(self, member: Subscriber, audience: Audience) -> None:
        super()._change_audience(member, audience)
        if member.had is not None:
            member.had = (audience, self.position.offset)


class StaleSeen(Broadcaster):
    """Who comes back is not told the signs of life it missed."""

    def _refresh_seen(self, member: Subscriber) -> None:
        pass


@pytest.mark.parametrize(
    "bug", [PlaceAhead, GreaterOrEqual, NoTombstones, ForgottenReset, HadEverything, StaleSeen]
)
def test_the_simulation_finds_planted_bugs(bug: type[Broadcaster]) -> None:
    for seed in range(2_000):
        try:
            simulate(random.Random(seed), bug)
        except AssertionError:
            return
    raise AssertionError(f"{bug.__doc__} and nobody noticed")
