"""Messages for viewers that lag: what is kept of them, and for how long."""

from __future__ import annotations

import pytest

from statecast.broadcast.catch_up_messages import CatchUpMessages
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.broadcast.subscriptions import Audience

HEAD = 7


def message(size: int = 10) -> OutgoingMessage:
    return OutgoingMessage("states", b"x" * size)


@pytest.fixture
def kept() -> CatchUpMessages:
    """Three messages of ten bytes fit in."""
    return CatchUpMessages(max_bytes=30)


def test_viewers_that_stand_at_one_place_share_a_message(kept: CatchUpMessages) -> None:
    one, other, made = Audience(("one",)), Audience(("other",)), message()
    assert kept.get(one, 3, HEAD) is None

    kept.keep(one, 3, made)

    assert kept.get(one, 3, HEAD) is made
    assert kept.get(one, 4, HEAD) is None
    assert kept.get(other, 3, HEAD) is None


def test_a_change_of_the_store_makes_them_out_of_date(kept: CatchUpMessages) -> None:
    audience = Audience(("one",))
    kept.get(audience, 3, HEAD)
    kept.keep(audience, 3, message())

    assert kept.get(audience, 3, HEAD + 1) is None
    assert kept.get(audience, 3, HEAD) is None


def test_an_audience_can_make_its_own_out_of_date(kept: CatchUpMessages) -> None:
    one, other, made = Audience(("one",)), Audience(("other",)), message()
    for audience in (one, other):
        kept.get(audience, 3, HEAD)
        kept.keep(audience, 3, made)

    one.forget_messages()

    assert kept.get(one, 3, HEAD) is None
    assert kept.get(other, 3, HEAD) is made


def test_they_are_bounded_over_all_audiences(kept: CatchUpMessages) -> None:
    """Bounded for each audience, a hundred of them held hundreds of megabytes."""
    audiences = [Audience((str(number),)) for number in range(5)]
    for audience in audiences:
        kept.get(audience, 3, HEAD)
        kept.keep(audience, 3, message())

    found = [kept.get(audience, 3, HEAD) is not None for audience in audiences]

    assert found == [False, False, True, True, True]


def test_one_that_is_longer_than_the_bound_is_kept_alone(kept: CatchUpMessages) -> None:
    audience, long = Audience(("one",)), message(31)
    kept.get(audience, 3, HEAD)
    kept.keep(audience, 3, message())
    kept.keep(audience, 4, long)

    assert kept.get(audience, 3, HEAD) is None
    assert kept.get(audience, 4, HEAD) is long


def test_what_was_cleared_counts_no_more(kept: CatchUpMessages) -> None:
    audience = Audience(("one",))
    kept.get(audience, 0, HEAD)
    for standing in range(3):
        kept.keep(audience, standing, message())

    kept.clear()
    for standing in range(3):
        kept.keep(audience, standing, message())

    assert all(kept.get(audience, standing, HEAD) for standing in range(3))
