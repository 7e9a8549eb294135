"""Merge patches between states: tables, and RFC 7396 as the oracle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast import strict_json
from statecast.merge.merge_patch import difference, patch_between, same
from statecast.testing import oracle

LONG = "x" * 200


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        # fields
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 2}, {"b": 2}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None}),
        ({"a": 1}, {"a": 1}, {}),
        ({}, {"a": {}}, {"a": {}}),
        ({"a": 1}, {}, {"a": None}),
        # types that Python takes for each other, and JSON does not
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": False}, {"a": 0}, {"a": 0}),
        ({"a": [1]}, {"a": [True]}, {"a": [True]}),
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": ""}, {"a": False}, {"a": False}),
        # objects in objects
        ({"a": {"x": 1, "y": 1}}, {"a": {"x": 1, "y": 2}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": None}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": [5]}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": {"y": 1}}}, {"a": {"x": {"y": 2}}}, {"a": {"x": {"y": 2}}}),
        # arrays are replaced as a whole; a null inside stays what it is
        ({"a": [1, 2, 3]}, {"a": [1, 9, 3]}, {"a": [1, 9, 3]}),
        ({"a": [1]}, {"a": []}, {"a": []}),
        ({"a": [1]}, {"a": [1, None]}, {"a": [1, None]}),
        ({"a": [{"x": 1}]}, {"a": [{"x": None}]}, {"a": [{"x": None}]}),
        # names are data
        ({"__proto__": 1}, {"__proto__": {"a": 2}}, {"__proto__": {"a": 2}}),
        ({"": 1}, {"": 2}, {"": 2}),
        ({"ä/~.": "null"}, {"ä/~.": "\u2028"}, {"ä/~.": "\u2028"}),
    ],
)
def test_a_patch_has_what_differs(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert same(difference(before, after), patch)
    # among other fields it is shorter than the state
    found = patch_between(encode({**before, "z": LONG}), encode({**after, "z": LONG}))
    assert found is not None and same(json.loads(found), patch)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # a patch cannot say that a member is null; no state has one, but a store may be damaged
        ({"a": 1, "z": LONG}, {"a": None, "z": LONG}),
        ({"a": 1, "z": LONG}, {"a": {"x": None}, "z": LONG}),
        ({"a": None, "z": LONG}, {"a": None, "b": 1, "z": LONG}),
        # nor is one sent that is not shorter
        ({"a": 1}, {"b": 2}),
        ({"a": [1] * 100}, {"a": [1] * 99}),
    ],
)
def test_what_no_shorter_patch_can_say_has_none(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert patch_between(encode(before), encode(after)) is None


def test_a_word_null_is_no_null() -> None:
    assert patch_between(encode({"a": "null", "z": LONG}), encode({"a": "null!", "z": LONG})) == (
        b'{"a":"null!"}'
    )


def encode(state: dict[str, Any]) -> bytes:
    return strict_json.encode(state)


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.5, "", "null", [None]]),
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "b", "__proto__"]), inner, max_size=3)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=8,
)


@given(values, values)
@settings(max_examples=500, deadline=None)
def test_a_patch_leads_from_one_state_to_the_other(old: Any, new: Any) -> None:
    # given two states as a store holds them: without nulls in objects
    old, new = oracle.merged({}, {"v": old}), oracle.merged({}, {"v": new})
    # then the difference, merged by RFC 7396, is the second one
    assert same(oracle.merged(old, difference(old, new)), new)
    assert difference(new, new) == {}
    # and so is what is sent, if anything is
    patch = patch_between(encode(old), encode(new))
    assert patch is None or same(oracle.merged(old, json.loads(patch)), new)


@given(values, values)
@settings(max_examples=300, deadline=None)
def test_of_states_that_no_store_should_hold_no_patch_lies(old: Any, new: Any) -> None:
    """With nulls in objects: a patch leads to the state, or there is none."""
    patch = patch_between(encode({"v": old, "z": LONG}), encode({"v": new, "z": LONG}))
    if patch is not None:
        assert same(oracle.merged({"v": old, "z": LONG}, json.loads(patch)), {"v": new, "z": LONG})


def test_composed_patches_would_lie() -> None:
    """Why each patch is a difference: RFC 7396 has no composition."""
    one, two, three = {"a": {"x": 1}}, {"a": 5}, {"a": {"y": 2}}
    composed = oracle.merged(difference(one, two), difference(two, three))
    assert oracle.merged(one, composed) == {"a": {"x": 1, "y": 2}}
    assert oracle.merged(one, difference(one, three)) == three
