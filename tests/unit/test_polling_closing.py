"""Long polling: slow clients, and the ways in which a session ends."""

from __future__ import annotations

import pytest

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from tests.fakes.asgi_client import AsgiRequest
from tests.fakes.fake_loop import settle
from tests.fakes.polling_harness import QUERY, SEPARATOR, PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


async def test_what_waits_is_bounded_and_resumed_when_it_was_fetched() -> None:
    # given a viewer that does not poll
    harness = PollingHarness(viewer_buffer=1_024, polling_buffer=1_024)
    session = await (await harness.open()).join()
    await session.send('42["watch",{}]')
    (watching,) = harness.broadcaster.watching

    # when more waits than its bounds, then it is paused, and application events are dropped
    for _ in range(3):
        watching.deliver(OutgoingMessage("states", b"[" + b"1" * 500 + b"]"))
    assert harness.broadcaster.calls == ["pause"]
    assert harness.hub.emit(Event("/", "message", b"[]")) == 0
    assert harness.hub.dropped.total == 1

    # and when it has fetched it, it goes on
    assert len((await session.poll()).split(SEPARATOR)) == 3
    assert harness.broadcaster.calls == ["pause", "resume"]
    assert harness.hub.emit(Event("/", "message", b"[]")) == 1


async def test_who_asks_without_fetching_is_cut() -> None:
    harness = PollingHarness(
        viewer_buffer=1_024,
        polling_buffer=1_024,
        max_states_bytes=1_024,
        viewer_rate_limit=10_000_000,
    )

    async def shout(sid: str) -> str:
        return "a" * 1_000

    harness.hub.on("shout", shout)
    session = await (await harness.open()).join()
    statuses = []
    for _ in range(10):
        statuses.append((await session.post('420["shout"]')).status)
        await settle()
    assert statuses[0] == 200
    assert statuses[-1] == 400
    assert harness.hub.viewers == 0


async def test_a_client_that_closes_gets_a_noop_for_its_get() -> None:
    session = await PollingHarness().open()
    request = session.get()
    await settle()
    await session.send("1")
    assert (await request.task).text == "6"
    assert (await session.get().task).status == 400


async def test_what_follows_a_close_in_a_payload_is_not_heard() -> None:
    harness = PollingHarness()
    session = await (await harness.open()).join()
    await session.send("1", '42["watch",{}]', "6")
    assert harness.broadcaster.watching == []
    assert harness.broadcaster.calls == ["leave"]


@pytest.mark.parametrize("how", ["ended", "upgraded"])
async def test_a_post_under_way_when_the_session_goes_is_not_swallowed(how: str) -> None:
    # given a POST of which a part has come
    session = await (await PollingHarness().open()).join()
    request = AsgiRequest(
        session.harness.endpoint, "POST", "/socket.io/", session.query, (b"4",), more=True
    )
    await settle()

    # when the session ends, or goes over to a WebSocket, before the rest comes
    if how == "ended":
        session.harness.sessions._polling[session.sid].abort()
    else:
        session.probe().send("5")
    request.send(b"0")

    # then the client is not told that it was heard
    assert (await request.task).status == 400


async def test_all_are_sent_away_when_the_server_stops() -> None:
    harness = PollingHarness()
    sessions = [await (await harness.open()).join() for _ in range(3)]
    request = [session.get() for session in sessions]
    await settle()
    await harness.hub.close_all(2)
    assert [(await ask.task).text for ask in request] == ["1"] * 3
    assert harness.hub.viewers == 0
    assert (await harness.response("GET", QUERY)).status == 503


async def test_who_leaves_its_namespace_stays_for_another() -> None:
    session = await (await PollingHarness().open()).join()
    await session.send("41", "40/test,")
    assert (await session.poll()).startswith("40/test,")
