"""How updates look on the wire."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from statecast.broadcast import encoding
from statecast.model import Cause, HistoryRow, Update
from statecast.settings import Settings
from statecast.testing.values import START

CAUSE = Cause("queue", "m1", "device")
PILLOW = Update(
    "pillow", 3, 7, b'{"mood":"happy","\xe2\x80\xa8":1.50}', START, START + 5, CAUSE, None, "queue",
    arrived_at=START + 9,
)  # fmt: skip


def test_an_item_holds_the_states_own_bytes() -> None:
    item = encoding.item(PILLOW)
    assert PILLOW.state is not None and PILLOW.state in item
    assert json.loads(item) == {
        "device": "pillow",
        "version": 3,
        "offset": 7,
        "state": {"mood": "happy", "\u2028": 1.5},
        "changed_at": "2026-01-01T00:00:00.000Z",
        "arrived_at": "2026-01-01T00:00:00.009Z",
        "seen_at": "2026-01-01T00:00:00.005Z",
        "cause": {"source": "queue", "id": "m1", "by": "device"},
        "silent_after": None,
        "source": "queue",
    }


def test_a_removed_device_has_no_state_and_who_was_never_heard_no_time() -> None:
    item = json.loads(encoding.item(Update("pillow", 4, 8, None, START, None, CAUSE)))
    assert (item["state"], item["seen_at"], item["source"]) == (None, None, None)


CHANGED = replace(
    PILLOW, version=5, offset=9, changed_at=START + 20, seen_at=START + 20, arrived_at=START + 20,
    cause=Cause("queue", "m2", "device"),
)  # fmt: skip
NEXT = {
    "device": "pillow",
    "from": 3,
    "version": 5,
    "offset": 9,
    "patch": {"mood": None},
    "changed_at": "2026-01-01T00:00:00.020Z",
    "cause": {"id": "m2"},
}


@pytest.mark.parametrize(
    ("now", "more"),
    [
        # what can be derived from the rest is left out
        ({}, {}),
        # a late message, and what is the clock of no device
        ({"arrived_at": START + 25}, {"delay": 5}),
        ({"seen_at": START + 5}, {"seen_at": "2026-01-01T00:00:00.005Z"}),
        ({"seen_at": None}, {"seen_at": None}),
        # another cause: a sender came, and the source of the device's own messages stays
        (
            {"cause": Cause("api", "m2", "user", "key k")},
            {
                "cause": {"source": "api", "id": "m2", "by": "user", "sender": "key k"},
                "source": "queue",
            },
        ),
        ({"source": None}, {"source": None}),
        # the same cause, as by a version that only another reader could see
        ({"cause": CAUSE}, {"cause": {}}),
        # a deadline and commands are always there: settings can change them without a version
        ({"silent_after": 60.0}, {"silent_after": 60}),
        ({"commands": ("hug",)}, {"commands": ["hug"]}),
        ({"commands": ()}, {"commands": []}),
    ],
)
def test_a_patch_says_what_cannot_be_derived(now: dict[str, Any], more: dict[str, Any]) -> None:
    item = encoding.patch_item(PILLOW, replace(CHANGED, **now), b'{"mood":null}', Settings())
    assert json.loads(item) == {**NEXT, **more}


def test_a_patch_takes_back_a_sender_and_names_the_deadline_of_the_settings() -> None:
    before = replace(PILLOW, cause=Cause("queue", "m1", "device", "key k"))
    item = encoding.patch_item(before, CHANGED, b"{}", Settings(deadlines={"pillow": 60}))
    assert json.loads(item) == {
        **NEXT,
        "patch": {},
        "cause": {"id": "m2", "sender": None},
        "silent_after": 60,
    }


@pytest.mark.parametrize(("own", "said"), [(None, 60), (5.0, 5)])
def test_the_deadline_is_the_one_that_holds(own: float | None, said: float) -> None:
    update = Update("pillow", 1, 1, b"{}", START, START, CAUSE, own)
    assert (
        json.loads(encoding.item(update, Settings(deadlines={"pillow": 60})))["silent_after"]
        == said
    )


def test_states_say_where_their_reader_is_then() -> None:
    plain = json.loads(encoding.states("e", 8, [encoding.item(PILLOW), b'{"device":"chair"}']))
    assert (plain["epoch"], plain["offset"], [one["device"] for one in plain["states"]]) == (
        "e",
        8,
        ["pillow", "chair"],
    )
    assert plain.keys() == {"epoch", "offset", "states"}
    marked = json.loads(encoding.states("e", 0, [], reset=True, complete=True))
    assert marked == {"epoch": "e", "offset": 0, "states": [], "reset": True, "complete": True}


def test_signs_of_life_are_times_by_device() -> None:
    assert json.loads(encoding.seen({"pillow": START})) == {"pillow": "2026-01-01T00:00:00.000Z"}


def test_a_row_of_history() -> None:
    cause = {"source": "queue", "id": "m1", "by": "device"}
    row = HistoryRow(START, 3, b'{"a":null}', CAUSE, START + 60_000)
    assert encoding.history_row(row) == [
        "2026-01-01T00:00:00.000Z", 3, {"a": None}, cause, "2026-01-01T00:01:00.000Z",
    ]  # fmt: skip
    assert encoding.history_row(HistoryRow(START, 4, None, CAUSE))[2] is None


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("", {}),
        ("key pillow-1", {"sender": "key pillow-1"}),
        ("user ada", {}),
        ("token ada@a.example", {}),
        ("proxy ada", {}),
        ("app ada", {}),
        ("keyring", {}),
    ],
)
def test_a_cause_names_keys_and_no_people(sender: str, shown: dict[str, str]) -> None:
    """Everyone who may see a device sees its causes."""
    found = encoding.cause(Cause("queue", "m1", "device", sender))
    assert found == {"source": "queue", "id": "m1", "by": "device"} | shown
