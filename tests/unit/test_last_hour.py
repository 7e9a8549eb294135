"""The samples behind the operator's charts."""

from __future__ import annotations

from statecast.broadcast.last_hour import INTERVAL, MINUTE, MINUTES, LastHour, Sample

START = 1_769_868_131_000


def filled(minutes: int, per_sample: int = 5) -> tuple[LastHour, int]:
    """Samples of so many minutes, each with so many messages more; and the time of the newest."""
    hour = LastHour()
    count = minutes * MINUTE // INTERVAL
    for number in range(count + 1):
        at = START + number * INTERVAL
        hour.add(Sample(at, {"queue": number * per_sample}, number / 10, number))
    return hour, START + count * INTERVAL


def test_an_empty_hour_knows_nothing() -> None:
    hour = LastHour()
    assert hour.is_due(START)
    present = Sample(START, {}, 1.5, 3)
    assert hour.messages_per_minute(present) == [None] * MINUTES
    assert hour.longest_lag(present) == [None] * (MINUTES - 1) + [1.5]
    assert hour.most_viewers(present)[-1] == 3
    assert hour.received_in_last_minute("queue", 7, START) is None


def test_a_sample_is_due_every_ten_seconds_and_when_the_clock_was_set_back() -> None:
    hour, now = filled(1)
    assert not hour.is_due(now + INTERVAL - 1)
    assert hour.is_due(now + INTERVAL)
    assert hour.is_due(now - 1)


def test_messages_are_counted_per_minute_and_the_past_before_the_first_is_unknown() -> None:
    hour, now = filled(3)
    counts = hour.messages_per_minute(Sample(now, {}, 0.0, 0))
    assert counts[:-4] == [None] * (MINUTES - 4)
    assert sum(count or 0 for count in counts) == 3 * 6 * 5
    assert counts[-2] == counts[-3] == 30


def test_the_last_minute_counts_from_the_sample_before_it() -> None:
    # given 5 messages every 10 s
    hour, now = filled(3)
    # then those since the sample of a minute ago are 30, and another source had none
    assert hour.received_in_last_minute("queue", 90, now) == 30
    assert hour.received_in_last_minute("other", 0, now) == 0


def test_of_each_minute_the_highest_lag_and_most_viewers_are_shown() -> None:
    hour, now = filled(2)
    assert hour.longest_lag(Sample(now, {}, 0.0, 0))[-1] == 1.2
    assert hour.most_viewers(Sample(now, {}, 0.0, 0))[-2:] == [6, 12]


def test_an_hour_is_kept_and_no_more() -> None:
    hour, now = filled(200)
    counts = hour.messages_per_minute(Sample(now, {}, 0.0, 0))
    assert all(count is not None for count in counts)
    assert len(hour._kept()) == 361


def test_a_clock_that_was_ahead_leaves_no_samples_of_the_future() -> None:
    hour, now = filled(5)
    hour.add(Sample(now - 4 * MINUTE, {"queue": 200}, 0.0, 1))
    assert [one.at <= now - 4 * MINUTE for one in hour._kept()] == [True] * len(hour._kept())


def test_messages_of_a_time_in_which_the_process_slept_are_in_no_minute() -> None:
    hour, now = filled(1)
    hour.add(Sample(now + 10 * MINUTE, {"queue": 10_000}, 0.0, 1))
    later = now + 10 * MINUTE
    assert sum(count or 0 for count in hour.messages_per_minute(Sample(later, {}, 0.0, 0))) == 30


def test_the_first_minute_counts_what_has_come_since_the_start() -> None:
    """The page of a process that just began says 8 messages twice, not 8 and 0."""
    hour = LastHour()
    hour.add(Sample(START, {"queue": 100}, 0.0, 0))
    counts = hour.messages_per_minute(Sample(START + 3_000, {"queue": 105, "api": 3}, 0.0, 0))
    assert counts[-1] == 8 and counts[:-1] == [None] * (MINUTES - 1)
    # and later the samples between count the same messages once
    hour.add(Sample(START + INTERVAL, {"queue": 105, "api": 3}, 0.0, 0))
    assert (
        hour.messages_per_minute(Sample(START + INTERVAL + 1, {"queue": 105, "api": 4}, 0.0, 0))[-1]
        == 9
    )
