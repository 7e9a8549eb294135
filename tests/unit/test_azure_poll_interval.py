"""When an Azure queue is asked next, and what that costs: pure, as a table."""

from __future__ import annotations

import pytest

from statecast.sources.azure_queue.poll_interval import KEPT_WARM, PollInterval, cost_per_month


def test_after_a_full_page_at_once_after_some_soon() -> None:
    interval = PollInterval()
    assert interval.after(32, 32, 0) == 0
    assert interval.after(1, 32, 0) == 0.1
    assert interval.after(31, 32, 0) == 0.1


def test_warm_for_a_while_then_slower_up_to_the_ceiling() -> None:
    interval = PollInterval()
    interval.after(1, 32, 0)
    assert [interval.after(0, 32, now) for now in (0.1, 2, KEPT_WARM - 0.01)] == [0.1, 0.1, 0.1]
    slower = [interval.after(0, 32, KEPT_WARM + number) for number in range(10)]
    for pause, expected in zip(
        slower, (0.15, 0.225, 0.3375, 0.50625, 0.759, 1, 1, 1, 1, 1), strict=True
    ):
        assert pause == pytest.approx(expected, rel=0.11), (
            "a tenth of spread, so that many processes do not ask at the same time"
        )
    # and one message warms it again
    assert interval.after(1, 32, 100) == 0.1
    assert interval.after(0, 32, 101) == 0.1


def test_a_queue_that_never_had_a_message_is_not_warm() -> None:
    interval = PollInterval(0.1, 60)
    for _ in range(30):
        last = interval.after(0, 32, 0)
    assert last == pytest.approx(60, rel=0.11)
    assert interval.requests_per_hour() == 60


def test_what_it_costs() -> None:
    assert cost_per_month(3600) == pytest.approx(1.04, abs=0.01)
    assert cost_per_month(36_000) == pytest.approx(10.37, abs=0.01)


def test_what_is_expected_keeps_it_warm_for_a_while() -> None:
    # given a queue that has slowed down
    interval = PollInterval()
    for now in range(30):
        interval.after(0, 32, now)
    # when a message is expected, as after a command was put into its device's queue
    interval.expect(100)
    # then it is asked often, and slows down again if none comes
    assert [interval.after(0, 32, now) for now in (100.1, 104.9)] == [0.1, 0.1]
    assert interval.after(0, 32, 105.1) == pytest.approx(0.15, rel=0.11)
