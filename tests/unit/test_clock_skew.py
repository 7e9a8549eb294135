"""How far devices' clocks are off: as their messages show it."""

from __future__ import annotations

from statecast.ingest.clock_skew import MAX_DEVICES, ClockSkew
from statecast.testing import change, message
from statecast.testing.values import START


def note(clocks: ClockSkew, device: str, *ahead: float, by: str = "device") -> None:
    for number, seconds in enumerate(ahead):
        said = change(device, {"n": number}, time=START + int(seconds * 1000), by=by)  # type: ignore[arg-type]
        clocks.note([message(f"{device}{number}", said, sent_at=START)])


def test_a_clock_that_is_ahead_or_behind() -> None:
    clocks = ClockSkew()
    note(clocks, "fast", 420)
    note(clocks, "slow", -3600)
    note(clocks, "good", -2, 0.5)
    assert clocks.wrong() == {"fast": 420_000, "slow": -3_600_000}


def test_of_delayed_messages_the_least_delayed_counts() -> None:
    clocks = ClockSkew()
    note(clocks, "pillow", -7200, -3600, -1)
    assert clocks.wrong() == {}
    # and a clock that was corrected is right
    note(clocks, "lamp", 420, *[0] * 8)
    assert clocks.wrong() == {}


def test_only_times_of_devices_count() -> None:
    clocks = ClockSkew()
    clocks.note([message("a", change("pillow", {"n": 1}))])
    note(clocks, "pillow", 420, by="user")
    assert clocks.wrong() == {}


def test_the_longest_silent_device_is_forgotten_first() -> None:
    clocks = ClockSkew()
    note(clocks, "first", 420)
    for number in range(MAX_DEVICES):
        note(clocks, f"d{number}", 0)
    assert clocks.wrong() == {}
