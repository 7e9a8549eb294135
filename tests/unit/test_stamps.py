"""The tree of stamps: what it keeps, and its encoding. ``test_apply`` tests what it decides."""

from __future__ import annotations

import json

import pytest

from statecast.merge.stamps import OLD, SEQUENCED, TIME_BITS, Branch, Stamps, fold
from statecast.model import Change, Stamp
from statecast.testing import change

NEVER = 2**52
"""A clock against which no stamp is doubtful."""


def after(*said: tuple[int, Change], day: int = 1_000_000) -> Stamps:
    """The stamps after changes at these times; the n-th to arrive has order n."""
    stamps, state = Stamps(), None
    for order, (at, one) in enumerate(said, 1):
        stamp = Stamp(at, 0, order)
        root, state = fold(stamps.root, state, one, stamp, NEVER)
        stamps = stamps.advanced(root, one, stamp, NEVER, day)
    return stamps


def merge(at: int, **state: object) -> tuple[int, Change]:
    return at, change("pillow", state)


def test_a_removed_field_keeps_its_stamp_and_an_object_has_two() -> None:
    stamps = after(merge(1, o=5), merge(2, o={"x": 1}), merge(3, a=None))
    first, second, third = Stamp(1, 0, 1), Stamp(2, 0, 2), Stamp(3, 0, 3)
    assert stamps.root == Branch(
        OLD, third, {"o": Branch(first, second, {"x": second}), "a": third}
    )
    assert (stamps.newest, stamps.size) == (3, 4)


def test_a_replacement_and_a_deletion_are_one_stamp_at_the_root() -> None:
    assert after(merge(1, a=1), (2, change(kind="delete"))).root == Stamp(2, 0, 2)
    replaced = Stamp(2, 0, 2)
    assert after(merge(1, a=1), (2, change(state={"b": 1}, kind="replace"))).root == Branch(
        replaced, replaced, {"b": replaced}
    )
    # a late one leaves what is newer
    late = after(merge(1, a=1), merge(3, b=1), (2, change(kind="delete"))).root
    assert late == Branch(Stamp(2, 0, 3), Stamp(3, 0, 2), {"b": Stamp(3, 0, 2)})


def test_stamps_of_long_sequences_come_back_as_they_were_written() -> None:
    # given a vendor's sequence above a time: such a number has more than 64 bits
    long = Stamp(SEQUENCED, (2**53 - 1 << TIME_BITS) + 1_767_225_600_000, 1)
    stamps = Stamps(root=long, newest=SEQUENCED, floor=long._replace(order=0), size=1)
    # when it is written and read, then each bit of it is there
    read = Stamps.load(stamps.dump())
    assert (read.root, read.floor) == (long, long._replace(order=0))
    assert isinstance(read.latest.sequence, int)


def test_stamps_come_back_as_they_were_written() -> None:
    deadline = (9, change("pillow", {"a": None}, silent_after=9))
    stamps = after(merge(5, a=1, o={"x": 1, "y": {}}), merge(3, o=1, b=2), deadline)
    read = Stamps.load(stamps.dump())
    assert (read.root, read.newest, read.floor, read.deadline) == (
        stamps.root,
        9,
        OLD,
        Stamp(9, 0, 3),
    )
    assert read.dump() == stamps.dump()
    assert Stamps.load(Stamps().dump()) == Stamps(size=1)
    # and with the stamp of what the device takes, which older stores do not have
    takes = after(merge(5, a=1), (7, change("pillow", commands=("hug",))))
    read = Stamps.load(takes.dump())
    assert (read.commands, read.dump()) == (Stamp(7, 0, 2), takes.dump())
    assert stamps.commands == OLD and len(json.loads(stamps.dump())) == 5


def test_fields_of_one_message_share_an_entry() -> None:
    written = json.loads(after(merge(1_767_225_600_000, **{f"f{n}": n for n in range(9)})).dump())
    assert written[4] == [0, 0, 1]
    assert set(written[3][2].values()) == {1}


def test_what_lies_below_the_floor_is_not_kept() -> None:
    stamps = after(
        merge(1_000, a=1, gone=None, o={"x": 1, "gone": None}), merge(1_200, b=1), day=100
    )
    kept = Stamps.load(stamps.dump())
    newest = Stamp(1_200, 0, 2)
    assert kept.root == Branch(OLD, newest, {"b": newest})
    assert (kept.floor, kept.newest) == (Stamp(1_100, 0, 0), 1_200)


def test_a_floor_never_falls() -> None:
    stamps = after(merge(1_000, a=1), merge(5_000, b=1), merge(4_950, c=1), day=100)
    later = stamps.advanced(stamps.root, change(), Stamp(4_960, 0, 9), NEVER, 10_000)
    assert later.floor == Stamp(4_900, 0, 0)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"5", b"[[0,0,0],0,9,0,[]]", b"[[0,0,0],0,0,[1,2],[]]", b"\xff"]
)
def test_damaged_stamps_are_an_error(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        Stamps.load(data)
