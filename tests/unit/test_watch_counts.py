"""Counting viewers by keys: each viewer counts once for each device that it watches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statecast import names
from statecast.broadcast.subscriptions import Audience, keys_of
from statecast.broadcast.watch_counts import (
    MAX_NAMES,
    MAX_PART_BYTES,
    KeyCounts,
    WatchCounts,
    by_process,
    part_of,
    total,
)
from statecast.model import Watching
from statecast.stores.changes import WatchPart

DEVICES = ["a", "b", "f/a", "f/b", "f/g/c", "fa"]
watch_set = st.sets(st.sampled_from(["*", "f/*", "f/g/*", *DEVICES]), min_size=1, max_size=4)


def counted(*viewers: tuple[tuple[str, ...], str | None]) -> WatchCounts:
    """The counts of one process whose viewers have these watch sets and names."""
    counts = WatchCounts()
    for patterns, name in viewers:
        for key in Audience(patterns).disjoint_keys():
            counts.add(key, 1, name)
    return counts


def parts_of(process: str, counts: WatchCounts) -> list[WatchPart]:
    return [WatchPart(process, number, one.encode()[0]) for number, one in counts.parts.items()]


ADA, BOB, NAMELESS = "Ada", "Bob", None
CASES = [
    ([], "a", Watching(0)),
    ([(("a",), NAMELESS)], "a", Watching(1)),
    ([(("a",), NAMELESS)], "b", Watching(0)),
    # by several patterns of one viewer it is one viewer
    ([(("*", "a"), NAMELESS)], "a", Watching(1)),
    ([(("f/*", "f/g/*", "f/g/c"), NAMELESS)], "f/g/c", Watching(1)),
    # a prefix ends at a slash
    ([(("f/*",), NAMELESS)], "fa", Watching(0)),
    # viewers by name and by pattern add up
    ([(("*",), NAMELESS), (("f/*",), NAMELESS), (("f/a",), NAMELESS)], "f/a", Watching(3)),
    # names: each once, in alphabetical order, and those without are counted all the same
    ([(("a",), BOB), (("*",), ADA), (("a",), NAMELESS)], "a", Watching(3, ("Ada", "Bob"))),
    ([(("a",), ADA), (("a",), ADA)], "a", Watching(2, ("Ada",))),
]


@pytest.mark.parametrize(("viewers", "device", "expected"), CASES)
def test_who_watches(
    viewers: list[tuple[tuple[str, ...], str | None]], device: str, expected: Watching
) -> None:
    # in one process
    assert total([counted(*viewers)], keys_of(device)) == expected
    # and the same viewers in as many processes as there are, as their rows say it
    rows = [
        row for number, one in enumerate(viewers) for row in parts_of(f"p{number}", counted(one))
    ]
    assert total(by_process(rows), list(keys_of(device))) == expected


def test_what_leaves_leaves_nothing() -> None:
    counts = counted((("a", "f/*"), ADA))
    for key in ("a", "f/"):
        counts.add(key, -1, ADA)
    assert counts.keys() == set()
    assert all(one.names == {} for one in counts.parts.values())


def test_a_part_replaces_the_one_before() -> None:
    here = WatchCounts()
    assert here.replace(part_of("a"), counted((("a",), ADA)).parts[part_of("a")].encode()[0]) == {
        "a"
    }
    # what has not changed is no news
    assert here.replace(part_of("a"), counted((("a",), ADA)).parts[part_of("a")].encode()[0]) == (
        set()
    )
    # another name is
    assert here.replace(part_of("a"), counted((("a",), BOB)).parts[part_of("a")].encode()[0]) == {
        "a"
    }
    assert here.replace(part_of("a"), b'{"numbers":{},"names":{}}') == {"a"}
    assert total([here], keys_of("a")) == Watching(0)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"null", b"{}", b'{"numbers":[],"names":{}}', b"\xff"),
        *(b'{"numbers":{"a":"x"},"names":{}}', b'{"numbers":{"a":1},"names":{"a":1}}'),
        *(b'{"numbers":{"a":null},"names":{}}', b'{"numbers":{"a":1},"names":{"a":[[]]}}'),
    ],
)
def test_what_no_process_can_have_written_counts_as_nothing(data: bytes) -> None:
    assert KeyCounts.decode(data).numbers == {}


def test_a_part_that_is_full_leaves_out_the_keys_with_the_fewest_viewers() -> None:
    # given more keys than fit into a part, of which few have two viewers
    counts = KeyCounts()
    counts.numbers = {f"{'x' * 100}{number}": 1 for number in range(1_000)}
    popular = {f"popular{number}": 2 for number in range(10)}
    counts.numbers |= popular
    # when it is told, then those are in it, and the size has its bound
    data, left_out = counts.encode()
    assert len(data) <= MAX_PART_BYTES
    told = KeyCounts.decode(data).numbers
    assert popular.items() <= told.items()
    assert 0 < left_out == len(counts.numbers) - len(told)


def test_names_are_the_first_ones_of_all() -> None:
    # given two processes with many named viewers
    both = [
        counted(*((("a",), f"{number:04}") for number in range(start, 400, 2))) for start in (0, 1)
    ]
    rows = [row for one, process in zip(both, "pq", strict=True) for row in parts_of(process, one)]
    # then all count, and the names are the first ones of both together
    found = total(by_process(rows), list(keys_of("a")))
    assert found == Watching(400, tuple(f"{number:04}" for number in range(MAX_NAMES)))


@given(st.lists(watch_set, max_size=8))
def test_the_sum_is_the_number_of_viewers_whose_patterns_match(sets: list[set[str]]) -> None:
    counts = counted(*((tuple(sorted(chosen)), None) for chosen in sets))
    for device in DEVICES:
        expected = sum(any(names.match(pattern, device) for pattern in one) for one in sets)
        assert total([counts], keys_of(device)) == Watching(expected)
