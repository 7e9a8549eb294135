"""Long polling: which requests open a session, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.polling_harness import QUERY, PollingClient, PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


async def test_a_session_is_opened() -> None:
    harness = PollingHarness(ping_interval=0.3, ping_timeout=0.2, max_payload=1_000_000)
    response = await harness.response("GET", QUERY)
    assert response.status == 200
    assert response.headers is not None
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.text[0] == "0"
    said = json.loads(response.text[1:])
    assert said == {
        "sid": said["sid"],
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }
    assert harness.hub.viewers == 1


@pytest.mark.parametrize(
    ("method", "query", "code"),
    [
        ("GET", "", 0),
        ("GET", "EIO=4", 0),
        ("GET", "EIO=4&transport=", 0),
        ("GET", "EIO=4&transport=abc", 0),
        ("GET", "EIO=4&transport=Polling", 0),
        ("GET", "EIO=4&transport=polling&sid=unknown", 1),
        ("POST", "EIO=4&transport=polling&sid=unknown", 1),
        ("PUT", "EIO=4&transport=polling&sid=unknown", 1),
        ("POST", "EIO=4&transport=polling", 2),
        ("PUT", "EIO=4&transport=polling", 2),
        ("DELETE", "EIO=4&transport=polling", 2),
        ("HEAD", "EIO=4&transport=polling", 2),
        ("POST", "EIO=4&transport=polling&sid=", 2),
        ("GET", "EIO=4&transport=websocket", 3),
        ("GET", "EIO=4&transport=websocket&sid=unknown", 3),
        ("GET", "transport=polling", 5),
        ("GET", "EIO=&transport=polling", 5),
        ("GET", "EIO=3&transport=polling", 5),
        ("GET", "EIO=5&transport=polling", 5),
        ("GET", "EIO=abc&transport=polling", 5),
        ("GET", "EIO=4.0&transport=polling", 5),
        ("GET", "EIO=4&transport=polling&" + "&".join(f"a{n}=1" for n in range(40)), 0),
    ],
)
async def test_a_wrong_request_gets_the_error_of_the_specification(
    method: str, query: str, code: int
) -> None:
    harness = PollingHarness()
    response = await harness.response(method, query)
    assert response.status == 400
    assert json.loads(response.text)["code"] == code
    assert harness.hub.viewers == 0


async def test_a_wrong_method_on_a_session_leaves_it_as_it_is() -> None:
    session = await PollingHarness().open()
    response = await session.harness.response("PUT", session.query)
    assert (response.status, json.loads(response.text)["code"]) == (400, 2)
    await session.join()


async def test_jsonp_is_not_spoken() -> None:
    response = await PollingHarness().response("GET", QUERY + "&j=0")
    assert response.text[0] == "0"


@pytest.mark.parametrize(
    ("origin", "allowed", "status", "readable"),
    [
        ("http://example.test", (), 200, None),  # a browser asks for no leave at its own origin
        ("http://evil.test", (), 403, None),
        ("null", ("*",), 403, None),
        ("http://app.test", ("http://app.test",), 200, "http://app.test"),
        ("http://any.test", ("*",), 200, "*"),
    ],
)
async def test_the_origin_counts_on_every_request(
    origin: str, allowed: tuple[str, ...], status: int, readable: str | None
) -> None:
    harness = PollingHarness(allow_origins=allowed)
    session = await harness.open()
    for method, query in [("GET", QUERY), ("POST", session.query), ("OPTIONS", QUERY)]:
        response = await harness.response(method, query, b"6", headers={"origin": origin})
        assert response.status == status
        assert response.headers is not None
        assert response.headers.get("access-control-allow-origin") == readable
    assert await session.status() == 200


async def test_an_allowed_page_may_read_what_it_did_wrong() -> None:
    response = await PollingHarness(allow_origins=("http://app.test",)).response(
        "GET", "EIO=3&transport=polling", headers={"origin": "http://app.test"}
    )
    assert response.headers is not None
    assert response.headers["access-control-allow-origin"] == "http://app.test"


@pytest.mark.parametrize("settings", [{"workers": 2}, {"long_polling": False}])
async def test_where_polling_cannot_work_it_is_refused_in_a_sentence(
    settings: dict[str, Any],
) -> None:
    response = await PollingHarness(**settings).response("GET", QUERY)
    assert response.status == 400
    assert 'transports: [\\"websocket\\"]' in response.text


@pytest.mark.parametrize(("sessions", "status"), [(1, 200), (2, 200), (3, 429)])
async def test_an_address_has_so_many_sessions(
    sessions: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = PollingHarness(connections_per_address=2)
    responses = [await harness.response("GET", QUERY) for _ in range(sessions)]
    assert responses[-1].status == status
    other = await harness.response("GET", QUERY, client=("192.0.2.2", 5))
    assert other.status == 200

    # and one that ends makes room, for as many new ones per second as an address may open
    later = harness.endpoint.wheel.now() + 1
    monkeypatch.setattr(harness.endpoint.wheel, "now", lambda: later)
    sid = json.loads(responses[0].text[1:])["sid"]
    await PollingClient(harness, sid).send("1")
    assert (await harness.response("GET", QUERY)).status == 200


async def test_the_addresses_of_one_customer_count_as_one() -> None:
    harness = PollingHarness(connections_per_address=2)
    responses = [
        await harness.response("GET", QUERY, client=(f"2001:db8:{network}::{host}", 5))
        for network, host in ((1, 1), (1, 2), (1, 3), (2, 1))
    ]
    assert [one.status for one in responses] == [200, 200, 429, 200]
    assert "Too many open sessions" in responses[2].text


async def test_an_address_opens_so_many_sessions_per_second() -> None:
    """Many sessions can share one connection, so the rate of connections does not limit them."""
    harness = PollingHarness(connections_per_address=3, connect_rate_limit=1)
    for status in (200, 200, 200, 429):
        response = await harness.response("GET", QUERY)
        assert response.status == status
        if status == 200:
            await PollingClient(harness, json.loads(response.text[1:])["sid"]).send("1")
    assert "Too many new sessions per second" in response.text
    other = await harness.response("GET", QUERY, client=("192.0.2.2", 5))
    assert other.status == 200


async def test_a_full_or_stopping_server_takes_nobody() -> None:
    harness = PollingHarness(max_connections=1)
    session = await harness.open()
    full = await harness.response("GET", QUERY)
    assert (full.status, (full.headers or {})["retry-after"]) == (503, "1")
    await session.send("1")
    harness.hub.draining = True
    assert (await harness.response("GET", QUERY)).status == 503
