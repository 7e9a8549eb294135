"""Grants as values: tables of cases, and patterns against the devices that they mean."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.access.actions import Action
from statecast.access.grants import EVERYTHING, NOTHING, Grants
from statecast.access.patterns import any_covers, name_ranges, narrowed, reduced
from statecast.access.roles import ROLES
from statecast.errors import Malformed

DEVICES = ["a", "a/b", "a/b/c", "ab", "a/bc", "b", "b/a", "b/a/c"]
patterns = st.lists(st.sampled_from(["*", "a/*", "a/b/*", "b/*", "b/a/*", *DEVICES]), max_size=4)


def devices_of(some: list[str] | tuple[str, ...]) -> set[str]:
    """Each rule of patterns in a line of its own, without the code under test."""
    return {
        device
        for device in DEVICES
        for one in some
        if one in ("*", device) or (one[-2:] == "/*" and device.startswith(one[:-1]))
    }


@pytest.mark.parametrize(
    ("wanted", "allowed", "both"),
    [
        (["*"], ["smith/*", "pillow"], ("pillow", "smith/*")),
        (["smith/a"], ["smith/*"], ("smith/a",)),
        (["smith/*"], ["smith/a", "smith/b"], ("smith/a", "smith/b")),
        (["smith/*"], ["*"], ("smith/*",)),
        (["smith/*"], ["smithers/*"], ()),
        (["smith/*"], ["smith"], ()),
        (["a/*", "a/b"], ["*"], ("a/*",)),
        (["*"], [], ()),
    ],
)
def test_what_is_wanted_and_allowed(
    wanted: list[str], allowed: list[str], both: tuple[str, ...]
) -> None:
    assert narrowed(wanted, allowed) == both


@given(patterns, patterns)
def test_patterns_mean_the_same_devices(wanted: list[str], allowed: list[str]) -> None:
    assert devices_of(narrowed(wanted, allowed)) == devices_of(wanted) & devices_of(allowed)
    assert devices_of(reduced(wanted)) == devices_of(wanted)
    assert reduced(reduced(wanted)) == reduced(wanted)
    for device in DEVICES:
        assert any_covers(wanted, device) == (device in devices_of(wanted))


@pytest.mark.parametrize(
    ("table", "action", "device", "allowed"),
    [
        ({"pillow": "read command"}, Action.READ, "pillow", True),
        ({"pillow": "read command"}, Action.WRITE, "pillow", False),
        ({"pillow": "read"}, Action.READ, "pillow2", False),
        ({"pillow": "read"}, Action.READ, "pillow/left", False),
        ({"smith/*": ["read"]}, Action.READ, "smith/pillow", True),
        ({"smith/*": ["read"]}, Action.READ, "smith", False),
        ({"smith/*": ["read"]}, Action.READ, None, True),
        ({"smith/*": ["read"]}, Action.OPERATE, None, False),
        ({"*": "operate"}, Action.OPERATE, None, True),
        ({}, Action.READ, None, False),
    ],
)
def test_allowed(
    table: dict[str, str | list[str]], action: Action, device: str | None, allowed: bool
) -> None:
    assert Grants.of(table).allows(action, device) is allowed


def test_grants_that_allow_the_same_are_equal() -> None:
    given_twice = Grants.of({"a/*": "read", "a/b": "read command", "b": "command"})
    other_order = Grants.of({"b": "command", "a/b": "command", "a/*": ["read"]})
    assert given_twice == other_order
    assert hash(given_twice) == hash(other_order)
    assert Grants.of(given_twice.as_table()) == given_twice


def test_a_union_allows_what_either_allows() -> None:
    both = Grants.of({"a/*": "read"}) | Grants.of({"*": "read", "a/b": "write"})
    assert both.as_table() == {"*": "read", "a/b": "write"}
    assert both | NOTHING == both
    assert NOTHING | both == both
    assert both | EVERYTHING == EVERYTHING
    assert not NOTHING


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"a*": "read"}, "is not a pattern"),
        ({5: "read"}, "device"),
        ({"a": "reed"}, "There is no action 'reed'; there are read, command, send, write, operate"),
        ({"a": ""}, "The actions are words"),
        ({"a": None}, "The actions are words"),
        ({"a": [5]}, "There is no action 5"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, str], sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        Grants.of(table)


def test_roles() -> None:
    assert {name: grants.as_table() for name, grants in ROLES.items()} == {
        "viewer": {"*": "read"},
        "editor": {"*": "read command write"},
        "operator": {"*": "read command send write operate"},
    }


@given(patterns)
def test_ranges_of_names_hold_the_devices_that_match(some: list[str]) -> None:
    found = name_ranges(some)
    within = {one for one in DEVICES if any(begin <= one < end for begin, end in found)}
    assert within == devices_of(some)
    # and they do not overlap, so each device comes once
    assert all(end <= begin for (_, end), (begin, _) in pairwise(found))
