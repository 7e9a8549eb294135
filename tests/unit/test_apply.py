"""Apply as tables, and against its definition: sort by stamp, then RFC 7396."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statecast import strict_json
from statecast.errors import Refused, TooLarge
from statecast.merge.apply import (
    MAX_STATE_BYTES,
    SEQUENCED,
    ApplyResult,
    DeviceRecord,
    apply,
    edit_stamp,
    stamp_of,
)
from statecast.merge.merge_patch import same
from statecast.merge.stamps import OLD, Stamps
from statecast.model import Change, Stamp
from statecast.testing import change, oracle
from statecast.testing.values import START

DAY = 24 * 3_600_000
NOW = START + 30 * DAY
"""The clock of the committing process, where no stamp is doubtful."""


def fold(
    record: DeviceRecord | None,
    said: Change,
    at: int,
    *,
    sequence: int = 0,
    order: int = 0,
    day: int = DAY,
) -> ApplyResult:
    """One change, sent and stamped ``at`` ms after START."""
    stamp = Stamp(START + at, sequence, order or at + 1)
    return apply(record, said, stamp, at=START + at, now=NOW, source="queue", late_message_ms=day)


def folded(*said: tuple[int, Change], day: int = DAY) -> DeviceRecord:
    """(time, change) in the order of arrival."""
    record = None
    for order, (at, one) in enumerate(said, 1):
        record = fold(record, one, at, order=order, day=day).record
    assert record is not None
    return record


def merge(**state: Any) -> Change:
    return change("pillow", state)


def replaced(**state: Any) -> Change:
    return change("pillow", state, kind="replace")


deleted = change("pillow", kind="delete")


# The stamp


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (None, START),
        (START - 5, START - 5),
        (START + 1000, START + 1000),
        (START + 1001, START + 1000),
        (START + 10**12, START + 1000),
        (1_577_836_800_000, 1_577_836_800_000),
        (1_577_836_799_999, START),
        (0, START),
        (-5, START),
    ],
)
def test_an_event_is_neither_later_than_its_message_nor_from_before_2020(
    time: int | None, expected: int
) -> None:
    assert stamp_of(change(time=time, sequence=3), START, 1000, 7, NOW) == (expected, 3, 7)


def test_nothing_is_later_than_the_clock_of_the_process_that_commits() -> None:
    ahead = START + 300_000
    assert stamp_of(change(), ahead, 1, 7, START) == (START, 0, 7)
    assert stamp_of(change(time=ahead), ahead, 1, 7, START) == (START, 0, 7)
    assert stamp_of(change(time=START - 5), ahead, 1, 7, START) == (START - 5, 0, 7)
    of_sequence = stamp_of(sequenced(change(), 3), ahead, 1, 7, START)
    assert of_sequence == stamp_of(sequenced(change(), 3), START, 1, 7, START)


# A vendor's sequence as the order


def sequenced(said: Change, sequence: int) -> Change:
    return replace(said, sequence=sequence, by_sequence=True)


def arrive(record: DeviceRecord | None, said: Change, at: int, order: int) -> ApplyResult:
    """As a store does: the stamp is made on arrival, ``at`` ms after START."""
    stamp = stamp_of(said, START + at, 1, order, NOW)
    return apply(record, said, stamp, at=START + at, now=NOW, source="queue", late_message_ms=DAY)


def test_a_sequence_that_is_the_order_decides_before_the_time() -> None:
    late, early = (
        stamp_of(sequenced(change(time=START + at), 7), START, 1000, 1, NOW) for at in (500, 20)
    )
    next_one = stamp_of(sequenced(change(time=START - DAY), 8), START, 1000, 0, NOW)
    assert early < late < next_one
    assert next_one < stamp_of(sequenced(change(), 16**63), START, 1000, 0, NOW)
    assert all(stamp.time == SEQUENCED for stamp in (early, late, next_one))


def test_with_a_sequence_neither_arrival_nor_time_matter() -> None:
    first = arrive(None, sequenced(merge(a=2, b=2), 2), 0, 1).record
    done = arrive(first, sequenced(merge(a=1, c=1), 1), 10 * DAY, 2)
    assert not done.dropped and done.record.state == {"a": 2, "b": 2, "c": 1}
    stored = replace(done.record, stamps=Stamps.load(done.record.stamps.dump()))
    assert arrive(stored, sequenced(merge(b=None), 16**63), 1, 3).record.state == {"a": 2, "c": 1}


def test_an_edit_has_the_sequence_that_was_newest_when_it_came() -> None:
    """It must neither be older than the sequence, nor newer than it forever."""
    record = arrive(None, sequenced(merge(a=5), 5), 0, 1).record
    edited = arrive(record, merge(a="by hand"), 1, 2).record
    assert edited.state == {"a": "by hand"}
    assert arrive(edited, sequenced(merge(a=4), 4), 2, 3).record.state == {"a": "by hand"}
    assert arrive(edited, sequenced(merge(a=6), 6), 2, 3).record.state == {"a": 6}
    removed = arrive(edited, deleted, 3, 4).record
    assert removed.state is None
    assert arrive(removed, sequenced(merge(a=4), 4), 4, 5).record.state is None
    assert arrive(removed, sequenced(merge(a=6), 6), 4, 5).record.state == {"a": 6}
    assert arrive(removed, merge(a=0), 5, 6).record.state == {"a": 0}


def test_a_device_may_begin_and_end_to_have_sequences() -> None:
    record = arrive(
        arrive(None, merge(a=1, b=1), 0, 1).record, sequenced(merge(a=2), 1), 1, 2
    ).record
    assert record.state == {"a": 2, "b": 1}
    for order in (3, 4):
        record = arrive(record, merge(a=order), order, order).record
        assert record.state == {"a": order, "b": 1}


# Newer wins, per field: what arrives, as (time, change), and what remains


@pytest.mark.parametrize(
    ("arrived", "state"),
    [
        ([(1, merge(a=1)), (2, merge(b=2))], {"a": 1, "b": 2}),
        ([(2, merge(a=2)), (1, merge(a=1, b=1))], {"a": 2, "b": 1}),
        ([(2, merge(a=None)), (1, merge(a=1, b=1))], {"b": 1}),
        ([(1, merge(a=None))], {}),
        ([(2, replaced(a=2)), (1, merge(a=1, b=1))], {"a": 2}),
        ([(2, merge(b=2)), (1, replaced(a=1))], {"b": 2, "a": 1}),
        ([(1, merge(a=1, b=1)), (3, merge(c=3)), (2, replaced(b=2))], {"c": 3, "b": 2}),
        ([(1, replaced(a=None, b={"c": None}))], {"b": {}}),
        ([(1, merge(a=1)), (2, deleted)], None),
        ([(2, deleted), (1, merge(a=1))], None),
        ([(2, deleted), (3, merge(b=1)), (1, merge(a=1))], {"b": 1}),
        ([(1, merge(a=1)), (3, merge(b=1)), (2, deleted)], {"b": 1}),
        ([(3, merge()), (1, merge(a=1)), (2, deleted)], {}),
        ([(1, merge(o={"a": 1})), (2, merge(o={"b": 2}))], {"o": {"a": 1, "b": 2}}),
        ([(2, merge(o={"b": 2})), (1, merge(o=5))], {"o": {"b": 2}}),
        ([(2, merge(o=5)), (1, merge(o={"b": 2}))], {"o": 5}),
        ([(1, merge(o={"a": 1})), (3, merge(o={"c": 3})), (2, merge(o=[1]))], {"o": {"c": 3}}),
        (
            [(1, merge(o={"a": {"x": 1}, "b": 1})), (3, merge(o={"a": {"y": 1}})), (2, merge(o=0))],
            {"o": {"a": {"y": 1}}},
        ),
        ([(2, merge(o={})), (1, merge(o=5))], {"o": {}}),
        ([(2, merge(o={})), (1, merge(o=None))], {"o": {}}),
        (
            [(3, merge(o={"a": 3})), (2, merge(o=None)), (1, merge(o={"a": 1, "b": 1}))],
            {"o": {"a": 3}},
        ),
        (
            [(4, merge(o={"a": None})), (2, merge(o=None)), (3, merge(o={"a": 3, "b": 3}))],
            {"o": {"b": 3}},
        ),
        ([(1, merge(l=[{"a": None}]))], {"l": [{"a": None}]}),
    ],
)
def test_newer_wins_per_field(arrived: list[tuple[int, Change]], state: Any) -> None:
    assert folded(*arrived).state == state


def test_of_two_items_of_one_message_the_later_wins() -> None:
    record = None
    for said in (
        merge(a=1, o={"x": 1}),
        merge(a=2),
        merge(o=3),
        deleted,
        merge(b=1),
        replaced(c=1),
        merge(c=2),
    ):
        record = apply(
            record, said, Stamp(START, 0, 1), at=START, now=NOW, source="queue", late_message_ms=DAY
        ).record
    assert record is not None and record.state == {"c": 2}


# Versions, times, patches


def test_a_change_without_effect_is_a_sighting_and_moves_the_stamps() -> None:
    record = folded((1, merge(a=1)))
    done = fold(record, merge(a=1), 5)
    assert (done.visible, done.patch, done.record.version) == (False, None, 1)
    assert (done.record.changed_at, done.record.seen_at) == (START + 1, START + 5)
    # then a message from between is too late
    assert fold(done.record, merge(a=2), 3).record.state == {"a": 1}


def test_a_late_version_has_its_own_time_and_sets_no_other_time_back() -> None:
    record = folded((9, merge(a=1, b=1)))
    done = fold(record, merge(b=2, c=3), 4)
    assert done.record.state == {"a": 1, "b": 1, "c": 3}
    assert (done.visible, done.patch, done.record.version) == (True, {"c": 3}, 2)
    assert (done.record.changed_at, done.record.seen_at) == (START + 4, START + 9)
    assert done.record.fields == {"a": START + 9, "b": START + 9, "c": START + 4}


def test_a_users_message_is_no_sighting() -> None:
    record = folded((1, merge(a=1)))
    done = apply(
        record,
        change("pillow", {"a": 2}, by="user"),
        Stamp(START + 9, 0, 9),
        at=START + 9,
        now=NOW,
        source="api",
        late_message_ms=DAY,
    )
    assert (done.record.seen_at, done.record.source, done.record.changed_at) == (
        START + 1,
        "queue",
        START + 9,
    )
    untouched = apply(
        None,
        change("chair", {"a": 2}, by="user"),
        Stamp(1, 0, 1),
        at=1,
        now=NOW,
        source="api",
        late_message_ms=1,
    )
    assert (untouched.record.seen_at, untouched.record.source) == (None, None)


@pytest.mark.parametrize(
    ("before", "said", "patch"),
    [
        ({"a": 1}, merge(a=2), {"a": 2}),
        ({"a": 1}, merge(a=None, b=1), {"a": None, "b": 1}),
        ({"a": 1, "b": 1}, replaced(b=1), {"a": None}),
        ({"a": 1}, replaced(a=1), None),
        ({"a": 1}, merge(a=True), {"a": True}),
        ({"a": 1}, merge(a=1.0), None),
        ({"a": [1, {"b": 0}]}, merge(a=[1, {"b": False}]), {"a": [1, {"b": False}]}),
        ({"a": [1, {"b": 0}]}, merge(a=[1, {"b": 0}]), None),
        ({"o": {"a": 1, "b": 1}}, merge(o={"a": 2}), {"o": {"a": 2}}),
        ({"o": {"a": 1}}, merge(o={}), None),
        ({"o": 1}, merge(o={}), {"o": {}}),
    ],
)
def test_a_version_is_a_visible_change_and_its_patch(
    before: dict[str, Any], said: Change, patch: Any
) -> None:
    done = fold(folded((0, merge(**before))), said, 1)
    assert (done.patch, done.visible, done.record.version) == (
        patch,
        patch is not None,
        1 if patch is None else 2,
    )


def test_a_device_comes_goes_and_returns() -> None:
    first = fold(None, merge(), 1)
    assert (first.visible, first.patch, first.record.version, first.record.state) == (
        True,
        {},
        1,
        {},
    )
    gone = fold(first.record, deleted, 2)
    assert (gone.visible, gone.patch, gone.record.version, gone.record.fields) == (
        True,
        None,
        2,
        {},
    )
    assert not fold(gone.record, deleted, 3).visible
    again = fold(gone.record, merge(a=1), 4)
    assert (again.visible, again.patch, again.record.version) == (True, {"a": 1}, 3)
    never = fold(None, deleted, 1)
    assert (never.visible, never.record.version, never.record.state) == (False, 0, None)


def test_the_deadline_is_the_newest_messages_and_changing_it_is_visible() -> None:
    record = folded((2, change("pillow", {"a": 1}, silent_after=60)))
    assert record.silent_after == 60
    assert fold(record, merge(a=1), 3).record.silent_after == 60
    assert fold(record, change("pillow", {"a": 1}, silent_after=5), 1).record.silent_after == 60
    again = fold(record, change("pillow", {"a": 1}, silent_after=60), 4)
    assert not again.visible
    shorter = fold(record, change("pillow", {"a": 1}, silent_after=5), 5)
    assert (shorter.visible, shorter.patch, shorter.record.silent_after) == (True, {}, 5)
    assert fold(shorter.record, deleted, 6).record.silent_after is None


HUG, OPEN = ("hug",), ("open", "hug")
TAKES: dict[str, tuple[list[tuple[int, Change]], tuple[str, ...] | None]] = {
    "it never said": ([(1, merge(a=1))], None),
    "it takes none": ([(1, change("pillow", commands=()))], ()),
    "a state changes nothing": ([(1, change("pillow", commands=HUG)), (2, merge(a=1))], HUG),
    "the newer list": (
        [(1, change("pillow", commands=HUG)), (2, change("pillow", commands=OPEN))],
        OPEN,
    ),
    "a late list": (
        [(2, change("pillow", commands=HUG)), (1, change("pillow", commands=OPEN))],
        HUG,
    ),
    "a late list after newer states": (
        [(1, merge(a=1)), (3, merge(a=2)), (2, change("pillow", {"a": 0}, commands=HUG))],
        HUG,
    ),
    "of one stamp, the later arrival": (
        [(1, change("pillow", commands=HUG)), (1, change("pillow", commands=OPEN))],
        OPEN,
    ),
    "a replacement of the state": (
        [(1, change("pillow", commands=HUG)), (2, change("pillow", {"a": 1}, kind="replace"))],
        HUG,
    ),
    "a removal": ([(1, change("pillow", commands=HUG)), (2, deleted), (3, merge(a=1))], None),
    "a late list before a removal": (
        [(2, deleted), (1, change("pillow", commands=HUG)), (3, merge(a=1))],
        None,
    ),
    "a late removal": ([(2, change("pillow", commands=HUG)), (1, deleted)], HUG),
}


@pytest.mark.parametrize("case", TAKES, ids=str)
def test_what_a_device_takes_follows_the_stamps(case: str) -> None:
    changes, expected = TAKES[case]
    record = folded(*changes)
    assert record.commands == expected
    # and it is the same after the stamps were written and read, as in another process
    read: DeviceRecord | None = None
    for stamp, one in changes:
        read = fold(read, one, stamp).record
        read = replace(read, stamps=Stamps.load(read.stamps.dump()))
    assert read is not None and read.commands == expected


def test_another_list_of_commands_is_a_version_and_the_same_is_none() -> None:
    record = folded((1, change("pillow", {"a": 1}, commands=HUG)))
    assert not fold(record, change("pillow", commands=HUG), 2).visible
    other = fold(record, change("pillow", commands=OPEN), 3)
    assert (other.visible, other.patch, other.record.version) == (True, {}, 2)
    assert other.record.state == {"a": 1}
    # a device that says nothing else is there, without fields
    new = fold(None, change("pillow", commands=()), 1)
    assert (new.visible, new.record.state, new.record.commands) == (True, {}, ())


# Limits: what is refused changes nothing


def test_a_state_has_64_kib_at_most() -> None:
    fits = "x" * (MAX_STATE_BYTES - len('{"t":""}'))
    assert fold(None, merge(t=fits), 1).visible
    with pytest.raises(TooLarge, match="65537 bytes"):
        fold(None, merge(t=fits + "x"), 1)
    half = folded((1, merge(a="é" * 16_000)))
    with pytest.raises(TooLarge):
        fold(half, merge(b="é" * 17_000), 2)
    assert half.state == {"a": "é" * 16_000}
    # given many small changes, the bound is that of the whole, not of what was ever sent
    record = folded((1, merge(a="x" * 40_000)))
    for number in range(2, 50):
        record = fold(record, merge(b=f"{number:02}" * 2_000), number).record
    assert record.version == 49


def test_an_object_has_256_members_at_most() -> None:
    full = folded((1, merge(**{f"f{n}": n for n in range(256)})))
    assert fold(full, merge(f0=None, g=1), 2).visible
    with pytest.raises(Refused, match="257 members"):
        fold(full, merge(g=1), 2)
    with pytest.raises(Refused):
        fold(folded((1, merge(o=full.state))), merge(o={"g": 1}), 2)


def test_a_state_is_32_levels_deep_at_most() -> None:
    deep: Any = {}
    for _ in range(31):
        deep = {"o": deep}
    record = fold(None, change("pillow", deep), 1).record
    with pytest.raises(Refused, match="32 levels"):
        fold(record, change("pillow", {"o": deep}), 2)


# The floor


def test_what_is_far_behind_the_newest_is_dropped_and_still_a_sighting() -> None:
    record = folded((0, merge(a=1)), (101, merge(b=1)), day=100)
    done = apply(
        record,
        merge(c=1),
        Stamp(START, 0, 99),
        at=START + 200,
        now=NOW,
        source="queue",
        late_message_ms=100,
    )
    assert (done.dropped, done.visible, done.record.state) == (True, False, {"a": 1, "b": 1})
    assert done.record.seen_at == START + 200
    assert fold(record, merge(c=1), 1, day=100).visible
    # then what is folded is older than everything that is accepted
    assert fold(record, merge(a=2), 1, day=100).record.state == {"a": 2, "b": 1}
    assert fold(record, replaced(), 1, day=100).record.state == {"b": 1}


def test_always_new_fields_raise_the_floor_early() -> None:
    record = None
    for number in range(250):
        record = fold(record, merge(**{f"{number}.{n}": n for n in range(100)}), 2 * number).record
        record = fold(
            record, merge(**{f"{number}.{n}": None for n in range(100)}), 2 * number + 1
        ).record
    assert record is not None
    assert record.stamps.size <= 20_000
    assert len(record.stamps.dump()) < 400_000
    assert fold(record, merge(a=1), 1).dropped
    assert fold(record, merge(a=1), 450).visible


# The definition


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.just([None]),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
said_by_devices = st.builds(
    change,
    st.just("pillow"),
    st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    kind=st.sampled_from(["merge", "merge", "merge", "merge", "replace", "delete"]),
)
messages = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1), said_by_devices), max_size=10)


@settings(max_examples=400, deadline=None)
@given(messages, st.randoms(use_true_random=False))
def test_the_state_is_the_messages_in_the_order_of_their_stamps(
    sent: list[tuple[int, int, Change]], random: Any
) -> None:
    stamped = [
        (Stamp(START + at, sequence, n), said) for n, (at, sequence, said) in enumerate(sent)
    ]
    arrived = stamped + stamped[:2]
    random.shuffle(arrived)
    record, shown = None, None
    for number, (stamp, said) in enumerate(arrived):
        before: bytes | None = (
            None
            if record is None
            else strict_json.encode([record.state, record.stamps.dump().decode()])
        )
        done = apply(
            record, said, stamp, at=stamp.time, now=NOW, source="queue", late_message_ms=DAY
        )
        if record is not None:
            assert strict_json.encode([record.state, record.stamps.dump().decode()]) == before, (
                "nothing in place"
            )
        if done.visible:
            shown = None if done.patch is None else oracle.merged(shown, done.patch)
        expected = oracle.folded(arrived[: number + 1])
        record = done.record
        assert same(record.state, expected)
        assert same(shown, expected), "the history tells how it came about"
        if record.stamps.root is not OLD and random.random() < 0.3:
            stored = Stamps.load(record.stamps.dump())
            assert stored.root == record.stamps.root


# Doubtful stamps: the clock was wrong


flat = st.builds(
    change,
    st.just("pillow"),
    st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 9), max_size=3),
    kind=st.sampled_from(["merge", "merge", "merge", "merge", "replace", "delete"]),
)
readings = st.sampled_from([0, 1_000, 1_999, 2_001, 5_000, 300_000, DAY, 25 * 3_600_000])


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(readings, readings, flat), max_size=10), st.booleans())
def test_in_doubt_each_field_is_decided_by_itself(
    said: list[tuple[int, int, Change]], is_stored: bool
) -> None:
    """(clock, age of the message by it, change), in the order of arrival."""
    record, arrived = None, []
    for order, (clock, age, one) in enumerate(said, 1):
        whole = one.kind == "merge"
        one = replace(one, state=one.state if whole else oracle.merged({}, dict(one.state)))
        stamp = stamp_of(one, START + clock - age, 1, order, START + clock)
        arrived.append((START + clock, stamp, one))
        record = apply(
            record,
            one,
            stamp,
            at=stamp.time,
            now=START + clock,
            source="queue",
            late_message_ms=100 * DAY,
        ).record
        if is_stored:
            record = replace(record, stamps=Stamps.load(record.stamps.dump()))
        assert same(record.state or {}, oracle.decided(arrived))


@settings(max_examples=300, deadline=None)
@given(messages, st.integers(0, 5_000))
def test_without_doubt_the_order_is_the_old_one(
    sent: list[tuple[int, int, Change]], late: int
) -> None:
    """Every clock reading is later than every stamp, apart from two seconds."""
    record, stamped = None, []
    for order, (at, sequence, said) in enumerate(sent, 1):
        stamp = Stamp(START + at, sequence, order)
        stamped.append((stamp, said))
        now = START + 6 - 2_000 + late
        record = apply(
            record, said, stamp, at=START, now=now, source="queue", late_message_ms=DAY
        ).record
        assert same(record.state, oracle.folded(stamped))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(readings, readings, said_by_devices, st.booleans()), max_size=8),
    st.sampled_from([-25 * 3_600_000, -300_000, 0, 300_000, 25 * 3_600_000]),
    said_by_devices,
    st.booleans(),
)
def test_after_the_clock_is_put_right_no_device_stays_frozen(
    said: list[tuple[int, int, Change, bool]], right: int, last: Change, by_sequence: bool
) -> None:
    """Whatever came before, under any clock: what arrives last and is sent now takes effect."""
    # given messages under clocks that were anywhere, edits among them
    record = None
    for order, (clock, age, one, is_edit) in enumerate(said, 1):
        now = START + clock
        stamp = stamp_of(one, now - age, 1, order, now)
        if is_edit:
            stamp = edit_stamp(now, order, record)
        record = apply(
            record, one, stamp, at=now, now=now, source="queue", late_message_ms=DAY
        ).record
    # when the clock is right (which may be before all that, or after), and the device speaks
    now = START + right
    stamped = {START + clock - late for clock, age, *_ in said for late in (0, age)}
    while near := [time for time in stamped if now < time <= now + 2_000]:
        now = max(near)  # less than two seconds are not doubted: they have to pass
    last = replace(last, by_sequence=by_sequence, sequence=1 if by_sequence else 0)
    stamp = stamp_of(last, now, 1, 99, now)
    before = None if record is None else record.state
    done = apply(record, last, stamp, at=now, now=now, source="queue", late_message_ms=DAY)
    # then its message is folded onto the state as it was, and so is an edit after it
    whole = {} if last.kind == "replace" else before
    expected = None if last.kind == "delete" else oracle.merged(whole, dict(last.state))
    assert not done.dropped and same(done.record.state, expected)
    edit = edit_stamp(now, 100, done.record)
    edited = apply(
        done.record, merge(z=1), edit, at=now, now=now, source="api", late_message_ms=DAY
    ).record
    assert same(edited.state, oracle.merged(expected, {"z": 1}))
