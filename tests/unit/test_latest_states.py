"""The latest states in memory: their order, sightings, and what is forgotten."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from statecast.broadcast import latest_states
from statecast.broadcast.latest_states import LatestStates
from statecast.broadcast.subscriptions import Audience
from statecast.model import Cause, Update
from statecast.settings import Settings
from statecast.testing.values import START

EVERYTHING = Audience(("*",))


def update(device: str, offset: int, state: bytes | None = b"{}") -> Update:
    return Update(device, 1, offset, state, START, START, Cause("queue", "m", "device"))


def latest(*updates: Update) -> LatestStates:
    states = LatestStates(Settings(deadlines={"pillow": 60}))
    states.update(updates)
    return states


def devices(states: LatestStates, audience: Audience = EVERYTHING) -> list[str]:
    return [entry.device for entry in states.newest_first(audience)]


def test_an_updated_device_is_the_newest() -> None:
    states = latest(update("pillow", 1), update("chair", 2), update("f/lamp", 3))
    states.update([update("pillow", 4)])
    assert devices(states) == ["pillow", "f/lamp", "chair"]
    assert devices(states, Audience(("f/*",))) == ["f/lamp"]
    # an audience that names its devices is in the same order
    assert devices(states, Audience(("chair", "pillow", "unknown"))) == ["pillow", "chair"]


def test_a_state_is_encoded_once_until_it_changes() -> None:
    states = latest(update("pillow", 1))
    entry = states.entries["pillow"]
    assert entry.item() is entry.item()
    # when the device is seen, its item has the new time
    states.see("pillow", START + 5)
    assert json.loads(entry.item())["seen_at"] == "2026-01-01T00:00:00.005Z"


def test_sightings_are_numbered_and_those_of_devices_with_a_deadline_can_be_read() -> None:
    states = latest(update("pillow", 1), update("chair", 2))
    assert states.see("unknown", START) is None
    assert states.see("pillow", START) is None, "nothing new"
    assert states.see("pillow", START + 1) is not None
    assert states.see("chair", START + 2) is not None
    assert states.sightings == 2
    assert states.seen_since(EVERYTHING, 0) == {"pillow": START + 1}
    assert states.seen_since(EVERYTHING, 1) == {}


def test_removed_devices_are_forgotten_up_to_an_offset() -> None:
    states = latest(
        update("a", 1, None), update("b", 2), update("c", 3, None), update("d", 4, None)
    )
    assert list(states.forget_removed(3)) == ["a", "c"]
    assert devices(states) == ["d", "b"]


def test_times_are_taken_back_when_the_clock_was_set_back() -> None:
    # given states of a clock that was an hour ahead, already encoded, and one from before
    states = latest(update("pillow", 1), update("chair", 2))
    states.update([replace(update("lamp", 3), changed_at=START - 9, seen_at=None)])
    items = {device: entry.item() for device, entry in states.entries.items()}
    # when the clock goes back, then they have happened by now, and others stay as they are
    states.take_back(START - 5)
    told = json.loads(states.entries["pillow"].item())
    assert told["changed_at"] == told["seen_at"] == "2025-12-31T23:59:59.995Z"
    assert states.entries["lamp"].item() is items["lamp"]
    assert json.loads(states.entries["lamp"].item())["seen_at"] is None


def test_the_state_is_there_whether_or_not_it_was_encoded() -> None:
    body = b'{"state":{"state":1},"text":"\\"state\\":"}'
    states = latest(update("state", 1, body), update("gone", 2, None))
    entry, gone = states.entries["state"], states.entries["gone"]
    assert (entry.state, gone.state, entry.exists, gone.exists) == (body, None, True, False)
    # when both are encoded, then they are as before, also when the device is seen
    assert json.loads(entry.item())["state"] == json.loads(body)
    assert json.loads(gone.item())["state"] is None
    assert (entry.state, gone.state, entry.exists, gone.exists) == (body, None, True, False)
    states.see("state", START + 5)
    assert (entry.state, json.loads(entry.item())["state"]) == (body, json.loads(body))


@pytest.mark.parametrize("audience", [EVERYTHING, Audience(("f/*",)), Audience(("f/a", "f/b"))])
def test_entries_after_an_offset_come_in_its_order_however_often_devices_change(
    audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_states, "MIN_GAPS", 2)
    chance = random.Random(1)
    states = latest()
    last: dict[str, int] = {}
    for offset in range(1, 400):
        device = chance.choice(("f/a", "f/b", "f/c", "chair"))
        states.update([update(device, offset, chance.choice((b"{}", b"{}", None)))])
        last[device] = offset
        if offset % 50 == 0:
            for removed in states.forget_removed(offset - 3):
                del last[removed]
        # then they are the devices above each offset, oldest change first
        after = chance.randrange(offset + 1)
        expected = sorted((o, d) for d, o in last.items() if o > after and audience.matches(d))
        found = [(one.offset, one.device) for one in states.after(after, audience)]
        assert found == expected
        assert devices(states, audience) == [
            device
            for _, device in sorted(((o, d) for d, o in last.items()), reverse=True)
            if audience.matches(device)
        ]
