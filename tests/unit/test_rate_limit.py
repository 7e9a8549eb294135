"""The token bucket."""

from __future__ import annotations

from statecast.rate_limit import TokenBucket


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
