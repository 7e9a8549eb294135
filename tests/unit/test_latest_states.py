"""The latest states in memory: their order, sightings, and what is forgotten."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from statecast.broadcast import latest_states
from statecast.broadcast.latest_states import LatestStates
from statecast.broadcast.sorted_names import SortedNames
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


def held(states: LatestStates) -> list[str]:
    """The devices whose entries are encoded, the oldest encoding first."""
    encoded = [device for device, entry in states.entries.items() if entry._item is not None]
    kept = list(states._encoded._entries)
    assert set(encoded) == set(kept), "an encoding that is kept for ever, or is not there"
    assert all(states._encoded._entries[one] is states.entries[one] for one in kept)
    return [device for device in kept if device in encoded]


def test_only_some_encodings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest_states, "MAX_ENCODED", 3)
    states = latest(
        *(update(f"d{number}", number + 1, b'{"n":%d}' % number) for number in range(9))
    )
    assert held(states) == []
    # when all are sent, one after the other
    items = {device: entry.item() for device, entry in states.entries.items()}
    # then those that were encoded last are kept, and the others are the same when made again
    assert held(states) == ["d6", "d7", "d8"]
    assert states.entries["d0"].state == b'{"n":0}'
    assert {device: entry.item() for device, entry in states.entries.items()} == items
    # and what two viewers ask for at the same time is encoded once
    assert states.entries["d8"].item() is states.entries["d8"].item()


@pytest.mark.parametrize(
    ("case", "kept"),
    [
        ("changed", ["b", "c"]),
        ("changed and encoded", ["b", "c", "a"]),
        ("seen", ["b", "c"]),
        ("seen and encoded", ["b", "c", "a"]),
        ("seen and changed", ["b", "c"]),
        ("removed and forgotten", ["b", "c"]),
        ("all cleared", []),
    ],
)
def test_an_encoding_goes_with_its_entry(case: str, kept: list[str]) -> None:
    # given three devices that are encoded
    states = latest(update("a", 1), update("b", 2), update("c", 3))
    for entry in states.entries.values():
        entry.item()
    # when something becomes of the first
    if case.startswith("changed"):
        states.update([update("a", 4, b'{"n":1}')])
    elif case.startswith("seen"):
        states.see("a", START + 5)
        if case.endswith("changed"):
            states.update([update("a", 4)])
    elif case.startswith("removed"):
        states.update([update("a", 4, None)])
        states.entries["a"].item()
        assert list(states.forget_removed(4)) == ["a"]
    else:
        states.clear()
    if case.endswith("and encoded"):
        states.entries["a"].item()
    # then its old encoding is held no longer, and the others stay
    assert held(states) == kept


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


def after(states: LatestStates, offset: int, audience: Audience) -> list[tuple[int, str]]:
    """What follows an offset, in as many looks as it takes."""
    found: list[tuple[int, str]] = []
    end: int | None = offset
    while end is not None:
        position = end
        entries, end = states.after(position, audience)
        found += [(one.offset, one.device) for one in entries]
        assert end is None or end > position, "each look goes further"
        assert end is None or all(offset <= end for offset, _ in found)
    return found


@pytest.mark.parametrize("longest_look", [1, 3, 8_000])
@pytest.mark.parametrize("look_up_cost", [0.01, 4])
@pytest.mark.parametrize(
    "audience",
    [
        EVERYTHING,
        *(Audience(one) for one in [("f/*",), ("f/a", "f/b"), ("f/a", "f/*", "chair"), ("g/*",)]),
    ],
)
def test_entries_after_an_offset_come_in_its_order_however_often_devices_change(
    audience: Audience, look_up_cost: float, longest_look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are looked up by name, or in one look or many through their order."""
    monkeypatch.setattr(latest_states, "MIN_GAPS", 2)
    monkeypatch.setattr(latest_states, "LOOK_UP_COST", look_up_cost)
    monkeypatch.setattr(latest_states, "LONGEST_LOOK", longest_look)
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
        known = chance.randrange(offset + 1)
        expected = sorted((o, d) for d, o in last.items() if o > known and audience.matches(d))
        assert after(states, known, audience) == expected
        assert devices(states, audience) == [
            device
            for _, device in sorted(((o, d) for d, o in last.items()), reverse=True)
            if audience.matches(device)
        ]


class Counted(dict[str, latest_states.Entry]):
    """Entries that count how many of them are looked up."""

    looked_up = 0

    def __getitem__(self, device: str) -> latest_states.Entry:
        self.looked_up += 1
        return super().__getitem__(device)


LOOK = 100


@pytest.mark.parametrize(
    ("patterns", "matching", "most"),
    [
        (("rare/*",), 5, 5),
        (("rare/*", "*"), 2_005, LOOK),
        (("none/*",), 0, 0),
        (("rare/*", "none/*", "often/7", "unknown"), 6, 6),
        (("often/*",), 1_990, LOOK),
        (("often", "often0", "oftener/*"), 3, 3),  # neighbours in the order of names
    ],
)
def test_one_look_visits_few_of_many_devices(
    patterns: tuple[str, ...], matching: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_states, "LONGEST_LOOK", LOOK)
    # given many devices, of which the rare ones changed last and others in between
    others = ["often", "often0", "oftener/0", *"abcdefg"]
    names = [*others, *(f"often/{number}" for number in range(1_990))]
    names += [f"rare/{number}" for number in range(5)]
    states = latest(*(update(name, offset) for offset, name in enumerate(names, 1)))
    states.entries = entries = Counted(states.entries)
    compared: list[str] = []

    class Watched(Audience):
        __slots__ = ()

        def matches(self, device: str) -> bool:
            compared.append(device)
            return super().matches(device)

    audience = Watched(patterns)
    # when all that an audience lacks is read, then no look visits more than its bound
    end: int | None = 0
    found = 0
    while end is not None:
        compared.clear()
        entries.looked_up = 0
        visited, end = states.after(end, audience)
        found += sum(1 for _ in visited)
        assert len(compared) + entries.looked_up <= most
    assert found == matching
    # and what is read newest first is found in the same way
    compared.clear()
    entries.looked_up = 0
    assert len(list(states.newest_first(audience))) == matching
    assert len(compared) + entries.looked_up <= (len(names) if matching > 6 else most)


def test_a_store_of_all_names_at_once_or_one_by_one_is_the_same() -> None:
    chance = random.Random(2)
    names = [f"{chance.choice('abc')}/{number}" for number in range(200)]
    sorted_names, at_once = SortedNames(), SortedNames()
    for name in names:
        sorted_names.add([name])
    at_once.add(names)
    gone = names[50:150]
    at_once.remove(gone)
    for name in gone:
        sorted_names.remove([name])
    assert len(at_once) == len(sorted_names) == 100
    for prefix in ("a/", "b/", "c/", "d/"):
        expected = sorted(one for one in set(names) - set(gone) if one.startswith(prefix))
        assert sorted_names.at(sorted_names.places(prefix)) == expected
        assert at_once.at(at_once.places(prefix)) == expected
