"""The token bucket."""

from __future__ import annotations

import pytest

from statecast.rate_limit import WATCH_BURST, RateByKey, TokenBucket, watch_price


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    # given a full bucket of 50, filled with 100 a minute
    bucket, full_at, now = TokenBucket(per_minute=100, burst=50), 0.0, 1_000.0
    for _ in range(50):
        after = bucket.try_acquire(full_at, now)
        assert after is not None
        full_at = after

    # then the next is one too many, until its price has come in
    assert bucket.try_acquire(full_at, now) is None
    assert bucket.try_acquire(full_at, now + 0.59) is None
    assert bucket.try_acquire(full_at, now + 0.6) is not None

    # and after half a minute of silence the bucket is full again, no fuller
    later = now + 600
    for _ in range(50):
        after = bucket.try_acquire(full_at, later)
        assert after is not None
        full_at = after
    assert bucket.try_acquire(full_at, later) is None


def test_an_empty_bucket_gives_the_next_token_after_one_interval() -> None:
    bucket = TokenBucket(per_minute=60, burst=10)
    full_at = bucket.empty(1_000.0)
    assert bucket.try_acquire(full_at, 1_000.9) is None
    assert bucket.try_acquire(full_at, 1_001.0) is not None


@pytest.mark.parametrize(
    ("patterns", "price"), [(0, 1), (1, 1), (19, 1), (20, 2), (100, 6), (979, 49), (1_000, 50)]
)
def test_a_watch_costs_by_its_patterns(patterns: int, price: int) -> None:
    assert watch_price(patterns) == price


def test_the_largest_watch_is_possible_once_and_again_when_the_bucket_is_full() -> None:
    # Given the default rate: 100 tokens a minute, 50 at once
    bucket = TokenBucket(100, WATCH_BURST)
    full_at = bucket.try_acquire(0.0, 1000.0, watch_price(100_000))
    assert full_at == pytest.approx(1000.0 + 30.0)
    # Then nothing more is possible at once, a small watch after a token, a large one after all
    assert bucket.try_acquire(full_at, 1000.0) is None
    assert bucket.try_acquire(full_at, 1000.6) is not None
    assert bucket.try_acquire(full_at, 1029.0, watch_price(1_000)) is None
    assert bucket.try_acquire(full_at, 1030.0, watch_price(1_000)) is not None


def test_one_viewer_can_ask_for_few_patterns_in_a_minute() -> None:
    """What one peer can make the loop do: 50 x 1,000 names before there were prices."""
    bucket, full_at, now, patterns = TokenBucket(100, WATCH_BURST), 0.0, 0.0, 0
    while now < 59:
        taken = bucket.try_acquire(full_at, now, watch_price(1_000))
        patterns, full_at = (patterns, full_at) if taken is None else (patterns + 1_000, taken)
        now += 0.01
    assert patterns == 2_000


def test_keys_have_buckets_of_their_own() -> None:
    rate = RateByKey(TokenBucket(60, 2))
    assert [rate.try_acquire("a", 0.0) for _ in range(3)] == [True, True, False]
    assert rate.try_acquire("b", 0.0)
    assert [rate.try_acquire("a", 1.0) for _ in range(2)] == [True, False]


def test_the_key_that_was_quiet_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statecast.rate_limit.MAX_KEYS", 2)
    rate = RateByKey(TokenBucket(60, 1))
    assert all(rate.try_acquire(key, 0.0) for key in "abc")
    assert not rate.try_acquire("c", 0.0)
    assert rate.try_acquire("a", 0.0), "it was forgotten"
