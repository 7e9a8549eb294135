"""The pillow of ``examples/huggable_cloud``: what it does, remembers and reports."""

from __future__ import annotations

import pytest
from pillow_commands import DAY, NOON, body, command

from examples.huggable_cloud import pillow as pillows


@pytest.fixture
def pillow() -> pillows.Pillow:
    return pillows.Pillow("pillow")


# A command, and what becomes of it

OUTCOMES = [
    # what happened before, name, seconds until its deadline: outcome, reason, hugs
    ("awake", [], "hug", 60.0, "done", None, 1),
    ("in the last moment", [], "hug", 0.001, "done", None, 1),
    ("at its deadline", [], "hug", 0.0, "refused", "It came too late.", 0),
    ("a day late", [], "hug", -DAY, "refused", "It came too late.", 0),
    ("asleep", ["sleep"], "hug", 60.0, "refused", "The pillow is asleep.", 0),
    ("asleep and late", ["sleep"], "hug", 0.0, "refused", "It came too late.", 0),
    ("woken", ["sleep", "wake"], "hug", 60.0, "done", None, 1),
    ("hugged by a hand before", ["hug"], "hug", 60.0, "done", None, 2),
    ("a lullaby", [], "lullaby", 60.0, "done", None, 0),
    ("another word", [], "open", 60.0, "refused", "This pillow knows no 'open'.", 0),
    ("a word as in Python", [], "__init__", 60.0, "refused", "This pillow knows no '__init__'.", 0),
]


@pytest.mark.parametrize(
    "before, name, left, outcome, reason, hugs",
    [case[1:] for case in OUTCOMES],
    ids=[case[0] for case in OUTCOMES],
)
def test_a_command_is_done_or_refused(
    pillow: pillows.Pillow,
    before: list[str],
    name: str,
    left: float,
    outcome: str,
    reason: str | None,
    hugs: int,
) -> None:
    # given what happened to the pillow before
    for event in before:
        pillow.feel(event, NOON - 1)
    # when the command comes
    said = pillow.obey(command(name=name, expires_at=NOON + left), NOON)
    # then its answer names it, with the state after it
    assert (said["command"], said["outcome"], said.get("reason")) == ("a", outcome, reason)
    assert said["state"]["hugs"] == hugs == pillow.memory.hugs
    # and once more, whenever that is, it is the same answer without an effect
    again = pillow.obey(command(name=name, expires_at=NOON + left), NOON + 3600)
    assert (again["command"], again["outcome"], again.get("reason")) == ("a", outcome, reason)
    assert again["state"]["hugs"] == hugs


REPETITIONS = [
    # seconds after the first time; whether it is known still
    (0.0, True),
    (60.0, True),
    (DAY, True),
    (DAY + 60.0, True),
    (DAY + 60.1, False),
]


@pytest.mark.parametrize("later, known", REPETITIONS)
@pytest.mark.parametrize("restart", [False, True])
def test_ids_are_remembered_for_a_day_and_over_a_restart(
    pillow: pillows.Pillow, later: float, known: bool, restart: bool
) -> None:
    # given a hug that was felt
    pillow.obey(command("first"), NOON)
    if restart:
        kept = pillows.Memory.from_json(pillow.memory.to_json())
        pillow = pillows.Pillow("pillow", kept)
        assert kept.hugs == 1
    # when another one comes later
    pillow.obey(command("second", expires_at=NOON + later + 60), NOON + later)
    # then the first is known for as long as it could come again
    assert ("first" in pillow.memory.answers) == known
    # and what is forgotten is too late by then: it has no effect either
    said = pillow.obey(command("first", expires_at=NOON + DAY), NOON + later)
    assert said["outcome"] == ("done" if known else "refused")
    assert pillow.memory.hugs == 2


def test_a_hug_at_a_late_hour_of_a_wrong_clock_is_remembered(pillow: pillows.Pillow) -> None:
    # given a hug felt while the clock was a week ahead
    pillow.obey(command("ahead", expires_at=NOON + 9 * DAY), NOON + 7 * DAY)
    # when the clock is right, and the hug comes again
    pillow.obey(command("next"), NOON)
    pillow.obey(command("ahead", expires_at=NOON + 9 * DAY), NOON + 1)
    # then it is known still
    assert pillow.memory.hugs == 2


FACES = [
    ([], 0.0, "calm"),
    (["happy"], 0.0, "happy"),
    (["sad"], 0.0, "sad"),
    (["sleepy"], 0.0, "sleepy"),
    (["sleep"], 3600.0, "asleep"),
    (["sleep", "happy"], 0.0, "asleep"),
    (["happy", "sleep", "wake"], 0.0, "happy"),
    (["hug"], 2.9, "hugged"),
    (["hug"], 3.0, "calm"),
    (["sleep", "hug"], 1.0, "hugged"),
    (["sleep", "hug"], 3.0, "asleep"),
]


@pytest.mark.parametrize("events, after, shown", FACES)
def test_the_face_is_what_it_feels(
    pillow: pillows.Pillow, events: list[str], after: float, shown: str
) -> None:
    for event in events:
        pillow.feel(event, NOON)
    assert pillow.face(NOON + after) == shown


def test_a_nap_ends_by_itself(pillow: pillows.Pillow) -> None:
    pillow.obey(command(name="lullaby"), NOON)
    assert pillow.face(NOON + 19.9) == "asleep"
    assert pillow.face(NOON + 20.0) == "calm"


def test_it_cannot_feel_what_is_unknown(pillow: pillows.Pillow) -> None:
    with pytest.raises(ValueError, match="'rage'"):
        pillow.feel("rage", NOON)


# What it reports, and when


def test_it_reports_at_once_then_as_a_sign_of_life_and_when_something_ends(
    pillow: pillows.Pillow,
) -> None:
    # given a pillow that was just plugged in and said so
    assert pillow.report(NOON)["state"]["face"] == "calm"
    # then nothing is due for a second
    assert pillow.report(NOON + 0.99) is None
    assert pillow.report(NOON + 1.0) is not None
    # when a hand hugs it, then that is reported at once, and its end when it ends
    pillow.feel("hug", NOON + 1.5)
    assert pillow.report(NOON + 1.5)["state"]["hugged"] is True
    for second in (2.5, 3.5):
        assert pillow.report(NOON + second)["state"]["hugged"] is True
    assert pillow.due_at() == NOON + 4.5
    assert pillow.report(NOON + 4.5)["state"] == {
        "face": "calm", "mood": "calm", "hugged": False, "asleep": False, "hugs": 1,
    }  # fmt: skip
    # and when its plug is pulled it says nothing, not even what it feels
    pillow.feel("unplug", NOON + 6)
    pillow.feel("happy", NOON + 7)
    assert pillow.report(NOON + 60) is None
    # until the plug is back
    pillow.feel("plug", NOON + 61)
    assert pillow.report(NOON + 61)["state"]["mood"] == "happy"


def test_the_end_of_a_hug_is_reported_before_the_next_sign_of_life(
    pillow: pillows.Pillow,
) -> None:
    pillow.obey(command(), NOON)
    pillow.report(NOON + 2.5)
    assert pillow.due_at() == NOON + 3.0


# Reading

UNREADABLE = [
    b"",
    b"hug",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"5",
    b"{}",
    b'{"id": "a", "device": "pillow", "name": "hug"}',
    b'{"id": 5, "device": "pillow", "name": "hug", "expires_at": "2026-11-26T12:00:00Z"}',
    b'{"id": "a", "device": "pillow", "name": ["hug"], "expires_at": "2026-11-26T12:00:00Z"}',
    b'{"id": "a", "device": "pillow", "name": "hug", "expires_at": "soon"}',
    b'{"id": "a", "device": "pillow", "name": "hug", "expires_at": 5}',
    b'{"id": "a", "device": "pillow", "name": "hug", "expires_at": "2026-11-26T12:00:00"}',
]


@pytest.mark.parametrize("raw", UNREADABLE)
def test_what_is_no_command_is_refused_by_a_sentence(raw: bytes) -> None:
    with pytest.raises(ValueError):
        pillows.read_command(raw)


def test_a_command_is_read_as_the_server_writes_it() -> None:
    assert pillows.read_command(body(command())) == command()
    zulu = (
        b'{"id": "a", "device": "pillow", "name": "hug", "expires_at": "2026-11-26T12:01:00.000Z"}'
    )
    assert pillows.read_command(zulu) == command()
