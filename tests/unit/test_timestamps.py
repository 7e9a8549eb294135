"""Times on the wire, and durations for people."""

from __future__ import annotations

from datetime import datetime

import pytest

from statecast import timestamps
from statecast.errors import Malformed


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001z", 1),
        ("2026-01-01T00:00:00.1239Z", 1_767_225_600_123),
        ("2026-01-01t02:30:00+02:30", 1_767_225_600_000),
        ("2025-12-31T19:00:00.5-05:00", 1_767_225_600_500),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-01-01 00:00:00Z", 1_767_225_600_000),
        ("2026-01-01 02:30:00.5 +0230", 1_767_225_600_500),
        ("2026-01-01 02:00:00+02", 1_767_225_600_000),
        ("2026-01-01T00:00 UTC", 1_767_225_600_000),
        ("2026-01-01 00:00:00,25GMT", 1_767_225_600_250),
    ],
)
def test_a_time_is_read(text: str, ms: int) -> None:
    assert timestamps.parse_time(text) == ms


def test_a_time_is_written_as_it_is_read() -> None:
    assert timestamps.iso(1_767_225_600_005) == "2026-01-01T00:00:00.005Z"
    assert timestamps.parse_time(timestamps.iso(1_767_225_600_123)) == 1_767_225_600_123


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-01", "2026-01-01  00:00:00Z", "2026-01-01T00:00:00",
     "2026-01-01T00:00:00  Z", "2026-01-01T00:00:00+1", "2026-01-01T00:00:00+00:60",
     "2026-01-01T00:00:00.Z", "2026-01-01T00Z", "2026-01-01T00:00:00Z UTC",
     "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z",
     "2026-01-01T00:00:00+24:00", "0001-01-01T00:00:00+01:00",
     "9999-12-31T23:59:59-01:00", "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", "x" * 500],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="is not a time"):
        timestamps.parse_time(text)


def test_a_time_without_a_zone_is_what_a_clock_on_the_wall_shows() -> None:
    wall = timestamps.parse_local("2026-01-01 02:30:00.125")
    assert wall == (datetime(2026, 1, 1, 2, 30), 125)
    for text in ("2026-01-01T00:00:00Z", "2026-02-30T00:00:00", "now", "9999-12-31T23:59:60"):
        assert timestamps.parse_local(text) is None


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 s"),
        (999, "0 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (7_200_000, "2 h"),
        (172_800_000, "2 d"),
    ],
)
def test_durations_are_short(milliseconds: int, text: str) -> None:
    assert timestamps.duration(milliseconds) == text


def test_the_unit_of_days_can_be_a_word() -> None:
    assert timestamps.duration(3 * 86_400_000, "days") == "3 days"
