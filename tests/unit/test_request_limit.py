"""Pages and REST reads have a rate per address; loopback and a lone private proxy have none."""

from __future__ import annotations

import pytest

from statecast.http.request_limit import BURST, RequestLimiter
from statecast.server.connection_limits import ConnectionLimiter
from statecast.settings import Settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_the_rate(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    limiter = RequestLimiter(2.0, lambda address: False, clock)
    # Given one address that asks as fast as it can
    assert all(limiter.allows("203.0.113.7") for _ in range(BURST))
    assert not limiter.allows("203.0.113.7")
    # then others are not affected, and it goes on at the rate
    assert limiter.allows("203.0.113.8")
    clock.now = 0.5
    assert limiter.allows("203.0.113.7") and not limiter.allows("203.0.113.7")
    # and the log names the setting
    assert "203.0.113.7 is refused" in caplog.text and "page_rate_limit" in caplog.text


@pytest.mark.parametrize(
    ("address", "limited"),
    [("127.0.0.1", False), ("::1", False), ("10.0.0.5", False), ("203.0.113.7", True)],
)
def test_the_same_addresses_are_exempt_as_from_the_limits_of_connections(
    address: str, limited: bool, caplog: pytest.LogCaptureFixture
) -> None:
    connections = ConnectionLimiter(Settings())
    limiter = RequestLimiter(1.0, connections.is_exempt, Clock())
    assert all(limiter.allows(address) for _ in range(BURST))
    assert limiter.allows(address) is not limited
    assert f"{address} is not limited, but asks" in caplog.text or limited


def test_a_flood_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    limiter = RequestLimiter(1.0, lambda address: False, Clock())
    for _ in range(1_000):
        limiter.allows("203.0.113.7")
    assert len(caplog.records) <= 10
