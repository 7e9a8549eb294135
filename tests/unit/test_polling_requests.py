"""Long polling: one request of a method at a time, and clients that leave in the middle."""

from __future__ import annotations

import pytest

from statecast.model import Event
from tests.fakes.asgi_client import AsgiRequest
from tests.fakes.fake_loop import settle
from tests.fakes.polling_harness import PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


async def test_a_second_get_ends_the_session() -> None:
    harness = PollingHarness()
    session = await harness.open()
    first = session.get()
    await settle()
    second = await session.get().task
    assert (await first.task).text == "1"
    assert second.status == 400
    assert (await session.get().task).status == 400
    assert harness.hub.viewers == 0


async def test_a_second_post_ends_the_session() -> None:
    # given a POST whose body does not end
    harness = PollingHarness()
    session = await harness.open()
    first = AsgiRequest(harness.endpoint, "POST", "/socket.io/", session.query, (b"4",), more=True)
    await settle()

    # when another one comes
    assert (await session.post("40")).status == 400

    # then the session is over, also for the first
    first.leave()
    await first.task
    assert harness.hub.viewers == 0


async def test_who_does_not_read_an_answer_gets_no_second_one() -> None:
    # given a GET whose response fills the transport
    harness = PollingHarness()
    session = await (await harness.open()).join()
    request = session.get()
    await settle()
    request.fill()
    harness.hub.emit(Event("/", "message", b"[1]"))
    await settle()

    # when the client asks on another connection before it has read it, then that is a second GET
    assert (await session.get().task).status == 400
    request.leave()
    await request.task


async def test_a_client_that_gives_up_its_get_has_left() -> None:
    """As in the protocol's suite. Stock clients then reconnect, and resume from their position."""
    harness = PollingHarness()
    session = await (await harness.open()).join()
    request = session.get()
    await settle()
    request.leave()
    await request.task
    assert (await session.get().task).status == 400
    assert harness.hub.viewers == 0
    assert not harness.endpoint._open_by_address


async def test_a_client_that_leaves_in_the_middle_of_a_post_said_nothing() -> None:
    harness = PollingHarness()
    session = await harness.open()
    request = AsgiRequest(
        harness.endpoint, "POST", "/socket.io/", session.query, (b"4",), more=True
    )
    await settle()
    request.leave()
    assert (await request.task).status == 0
    await session.join()


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    harness = PollingHarness(body_timeout=3, ping_interval=100, connect_timeout=100)
    session = await harness.open()
    response = await AsgiRequest(
        harness.endpoint, "POST", "/socket.io/", session.query, (b"4",), more=True
    ).task
    assert response.status == 408
    assert await session.status() == 400
