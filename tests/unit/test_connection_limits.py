"""How many from where: tables."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from statecast.errors import BadSetting
from statecast.http.addresses import key_of
from statecast.http.errors import HTTPProblem
from statecast.server.connection_limits import ConnectionLimiter
from statecast.settings import Settings


def limiter(**settings: Any) -> ConnectionLimiter:
    return ConnectionLimiter(
        Settings(**{"connections_per_address": 2, "connect_rate_limit": 1} | settings)
    )


def test_all_connections_have_a_bound() -> None:
    few = ConnectionLimiter(Settings(max_connections=5), max_total=2)
    few.acquire()
    few.acquire()
    with pytest.raises(HTTPProblem) as full:
        few.acquire()
    assert (full.value.status, full.value.headers) == (503, [(b"retry-after", b"1")])
    few.release()
    few.acquire()


def test_an_address_has_a_bound_of_open_connections() -> None:
    limits = limiter(connect_rate_limit=1_000)
    keys = [limits.acquire_address("203.0.113.7", 0.0), limits.acquire_address("203.0.113.7", 0.0)]
    with pytest.raises(HTTPProblem) as full:
        limits.acquire_address("203.0.113.7", 0.0)
    assert full.value.status == 429
    limits.acquire_address("203.0.113.8", 0.0)
    limits.release_address(keys.pop())
    limits.acquire_address("203.0.113.7", 5.0)
    assert dict(limits.per_address) == {"203.0.113.7": 2, "203.0.113.8": 1}


def test_an_address_has_a_rate_of_new_connections() -> None:
    # given a burst of two and one per second after it
    limits = limiter()
    for _ in range(2):
        limits.release_address(limits.acquire_address("203.0.113.7", 10.0))
    with pytest.raises(HTTPProblem, match="per second"):
        limits.acquire_address("203.0.113.7", 10.5)

    # then requests on what is open cost nothing, and time pays for the next
    limits.release_address(limits.acquire_address("203.0.113.7", 10.5, new=False))
    limits.release_address(limits.acquire_address("203.0.113.7", 11.0))
    with pytest.raises(HTTPProblem):
        limits.acquire_address("203.0.113.7", 11.5)
    assert not limits.per_address


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "local"])
def test_loopback_is_not_limited_and_the_log_says_why_that_may_be_wrong(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = limiter()
    limits.acquire_address("203.0.113.7", 0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(1_000):
            limits.acquire_address(address, 0.0)
    assert [record.getMessage().count("trusted_proxy") for record in caplog.records] == [1]


def test_one_private_address_alone_is_a_proxy_that_nobody_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a proxy on another host, and a health check on this one
    limits = limiter()
    limits.acquire_address("127.0.0.1", 0.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            limits.acquire_address("10.0.0.5", 0.0)
    assert len(caplog.records) == 1

    # when another address comes, then there is no such proxy
    limits.acquire_address("10.0.0.6", 0.0)
    with pytest.raises(HTTPProblem):
        limits.acquire_address("10.0.0.5", 0.0)


def test_a_private_address_is_limited_once_the_proxies_are_known() -> None:
    limits = limiter(trusted_proxy="10.0.0.9")
    limits.acquire_address("10.0.0.5", 0.0)
    limits.acquire_address("10.0.0.5", 0.0)
    with pytest.raises(HTTPProblem):
        limits.acquire_address("10.0.0.5", 0.0)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["10.0.0.2"], "10.0.0.2"),
        (["6.6.6.6, unknown"], "10.0.0.1"),
        (["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
        (["<script>"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_who_stands_behind_a_proxy(forwarded: list[str], client: str) -> None:
    limits = limiter(trusted_proxy="10.0.0.0/8")
    assert limits.is_proxy("10.0.0.1")
    assert not limits.is_proxy("203.0.113.7")
    assert not limits.is_proxy("local")
    assert limits.client_behind("10.0.0.1", forwarded) == client


def test_a_proxy_that_is_no_address() -> None:
    with pytest.raises(BadSetting, match="trusted_proxy"):
        limiter(trusted_proxy="proxy.example")


def test_under_what_an_address_is_counted() -> None:
    assert key_of("::ffff:203.0.113.7") == key_of("203.0.113.7") == "203.0.113.7"
    assert key_of("2001:db8::1") == key_of("2001:db8::ffff:1") != key_of("2001:db8:0:1::1")
    assert key_of("fe80::1%eth0") == key_of("fe80::1")


def test_remembered_addresses_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statecast.rate_limit.MAX_KEYS", 10)
    limits = limiter()
    for number in range(100):
        limits.release_address(limits.acquire_address(f"203.0.113.{number}", 0.0))
    assert len(limits._rate._full_at) == 10
    assert not limits.per_address
