"""Vendors' sequences as numbers: the order of the texts is the order of the numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast.decoders.options import sequence_number
from statecast.errors import Malformed


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (7, 7),
        (2**53 - 1, 2**53 - 1),
        ("0", 0),
        ("ff", 255),
        ("00000000000000000000000000015508000000000005101c", 0x15508_000000000005101C),
        ("0" * 63 + "F", 15),
    ],
)
def test_what_a_sequence_is(value: Any, number: int) -> None:
    assert sequence_number(value) == number


@pytest.mark.parametrize(
    "value",
    [None, True, -1, 1.5, "", "g", "0x1", "-1", " 1", "1\n", "1_0", "\u0663", "f" * 65, [], {}],
)
def test_what_is_none(value: Any) -> None:
    with pytest.raises(Malformed, match="sequence must be"):
        sequence_number(value)


@given(st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), min_size=2, max_size=5))
def test_texts_of_one_width_keep_their_order(texts: list[str]) -> None:
    assert sorted(texts) == sorted(texts, key=sequence_number)


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=5))
def test_counters_written_as_text_keep_their_order(counters: list[int]) -> None:
    assert sorted(counters) == sorted(counters, key=lambda counter: sequence_number(str(counter)))


def test_a_field_that_its_vendor_widens_goes_on() -> None:
    older, newer = (
        "00000000000004420000000000028963",
        "00000000000000000000000000015508000000000005101c",
    )
    assert newer < older, "as texts they would go back"
    assert sequence_number(newer) > sequence_number(older)
