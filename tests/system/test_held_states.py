"""The rules of docs/wire.md for a client.

Whatever order a library makes of events, the newest stays.
"""

from __future__ import annotations

import itertools
from typing import Any

from held_states import HeldStates


def event(offset: int, **states: tuple[int, Any]) -> dict[str, Any]:
    """With the offset and the state of each device."""
    items = [
        {"device": device, "offset": at, "version": at, "state": state}
        for device, (at, state) in states.items()
    ]
    return {"epoch": "e", "offset": offset, "scope": "s", "states": items}


EVENTS = [
    event(3, lamp=(1, {"n": 1}), door=(2, {"n": 1}), pillow=(3, {"n": 1})),
    event(4, lamp=(4, {"n": 2})),
    event(5, door=(5, None)),
    event(6, pillow=(6, {"n": 2})),
]


def test_in_order_nothing_is_overtaken() -> None:
    held = HeldStates()
    for one in EVENTS:
        held.apply(one)
    assert held.states == {"lamp": {"n": 2}, "pillow": {"n": 2}}
    assert held.position == {"epoch": "e", "offset": 6, "scope": "s"}
    assert not held.overtaken


def test_in_any_order_the_end_is_the_same_and_the_position_never_goes_back() -> None:
    for order in itertools.permutations(EVENTS):
        held, positions = HeldStates(), []
        for one in order:
            held.apply(one)
            assert held.position
            positions.append(held.position["offset"])
        assert held.states == {"lamp": {"n": 2}, "pillow": {"n": 2}}, order
        assert positions == sorted(positions) and positions[-1] == 6
        assert bool(held.overtaken) == (order[0] is not EVENTS[0])


def test_a_reset_begins_with_nothing() -> None:
    held = HeldStates()
    for one in EVENTS:
        held.apply(one)
    held.apply(event(1, lamp=(1, {"n": 1})) | {"reset": True, "epoch": "f"})
    assert held.states == {"lamp": {"n": 1}}
    assert held.position == {"epoch": "f", "offset": 1, "scope": "s"}
    assert held.since == {"since": {"epoch": "f", "offset": 1, "scope": "s"}}


def test_what_may_no_longer_be_read_is_forgotten() -> None:
    held = HeldStates()
    held.apply(event(2, lamp=(1, {"n": 1}), door=(2, {"n": 1})))
    gone = {"device": "lamp", "state": None, "gone": "forbidden"}
    held.apply({"epoch": "e", "offset": 2, "scope": "smaller", "states": [gone]})
    assert held.states == {"door": {"n": 1}}
    assert held.position == {"epoch": "e", "offset": 2, "scope": "smaller"}
    held.apply(event(2, lamp=(1, {"n": 1})))
    assert held.states == {"door": {"n": 1}, "lamp": {"n": 1}}


def patched(offset: int, of: int, patch: dict[str, Any]) -> dict[str, Any]:
    item = {"device": "lamp", "from": of, "version": offset, "offset": offset, "patch": patch}
    return {"epoch": "e", "offset": offset, "scope": "s", "states": [item]}


def test_a_patch_is_merged_into_the_version_that_it_is_of() -> None:
    held = HeldStates()
    held.apply(event(1, lamp=(1, {"n": 1, "on": True})))
    held.apply(patched(3, 1, {"n": None, "m": 2}))
    held.apply(patched(3, 1, {"n": None, "m": 2}))
    assert (held.states, held.patches, held.unfit) == ({"lamp": {"on": True, "m": 2}}, 1, [])
    # and of another version it is kept out
    held.apply(patched(5, 4, {"m": 5}))
    held.apply(event(6, lamp=(6, None)))
    held.apply(patched(8, 6, {"m": 8}))
    assert held.states == {}
    assert held.unfit == ["lamp: a patch of 4, held 3", "lamp: a patch of 6, held None"]
