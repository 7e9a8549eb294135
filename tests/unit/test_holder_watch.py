"""What is said of a process that holds a lease and has stopped."""

from __future__ import annotations

import pytest

from statecast.stores.holder_watch import INTERVAL, HolderWatch
from statecast.stores.leases import LeaseHolder
from statecast.testing.values import START


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands at 01:00:30 on 1 January 2026."""
    monkeypatch.setattr("statecast.timestamps.now", lambda: START + 3_630_000)


class Holders:
    """A store whose lease has one holder after the other."""

    def __init__(self, *holders: LeaseHolder | None) -> None:
        self.holders = list(holders)
        self.now = 0.0
        self.watch = HolderWatch(
            self,  # type: ignore[arg-type]
            "queue",
            "queue",
            "no process receives from it",
            monotonic=lambda: self.now,
        )

    def holder(self, lease: str) -> LeaseHolder | None:
        return self.holders.pop(0)

    def next(self) -> str | None:
        self.now += INTERVAL
        assert self.watch.look()
        return self.watch.sentence


@pytest.mark.parametrize(
    ("holder", "sentence"),
    [
        (
            LeaseHolder(4711, 90.0, "pi3"),
            "Process 4711 holds this queue, on the host pi3, and has made no progress since "
            "2026-01-01 00:59 UTC, so no process receives from it; continue it there "
            "(kill -CONT 4711) or end it (kill -KILL 4711): another one then takes over.",
        ),
        (
            LeaseHolder(7, 86_400.0),  # of a store that does not know its host
            "Process 7 holds this queue, and has made no progress since 2025-12-31 01:00 UTC, so "
            "no process receives from it; continue it there (kill -CONT 7) or end it "
            "(kill -KILL 7): another one then takes over.",
        ),
        (LeaseHolder(4711, 59.9, "pi3"), None),
        (None, None),
    ],
)
def test_a_stopped_holder_is_named_with_where_since_when_and_what_to_do(
    holder: LeaseHolder | None, sentence: str | None
) -> None:
    assert Holders(holder).next() == sentence


def test_the_sentence_is_of_when_it_was_first_seen() -> None:
    # given a holder that stays as it is, then another host's process of the same number
    holders = Holders(
        LeaseHolder(7, 61.0, "a"),
        LeaseHolder(7, 3_000.0, "a"),
        LeaseHolder(7, 3_000.0, "b"),
        LeaseHolder(7, 0.1, "b"),
        LeaseHolder(7, 61.0, "b"),
    )
    first, second, other, goes_on, again = (holders.next() for _ in range(5))
    # then a sentence changes with the holder, and not with time: each change is sent to pages
    assert first is not None and "00:59 UTC" in first and second == first
    assert other is not None and "on the host b" in other and "00:10 UTC" in other
    assert goes_on is None
    assert again is not None and "00:59 UTC" in again
