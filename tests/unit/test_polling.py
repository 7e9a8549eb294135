"""Long polling: packets both ways, in any number and size."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from tests.fakes.fake_loop import settle
from tests.fakes.polling_harness import SEPARATOR, PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


async def test_the_conversation_goes_both_ways() -> None:
    # given a session that joined
    harness = PollingHarness()
    session = await (await harness.open()).join()

    # when it watches in one POST with something else, then both are answered in one GET
    await session.send('420["watch",{}]', '421["hug"]')
    first, second = (await session.poll()).split(SEPARATOR)
    assert first == '430[{"epoch":"e","offset":0,"scope":"s","reset":false}]'
    assert second.startswith('431[{"error"')

    # and a GET that waits is answered by what comes
    request = session.get()
    await settle()
    assert not request.task.done()
    (watching,) = harness.broadcaster.watching
    watching.deliver(OutgoingMessage("states", b"{}"))
    assert (await request.task).text == '42["states",{}]'


async def test_an_audience_shares_one_encoding() -> None:
    harness = PollingHarness()
    message = OutgoingMessage("states", b"{}")
    for _ in range(2):
        session = await (await harness.open()).join()
        await session.send('42["watch",{}]')
    for watching in harness.broadcaster.watching:
        watching.deliver(message)
    first, second = harness.sessions._polling.values()
    assert first._queue.take_all()[-1].packet is second._queue.take_all()[-1].packet


async def test_bytes_travel_as_base64_both_ways() -> None:
    harness = PollingHarness()

    async def echo(sid: str, *arguments: Any) -> Any:
        return arguments

    harness.hub.on("hug", echo)
    session = await (await harness.open()).join()
    await session.send('451-7["hug",{"_placeholder":true,"num":0}]', "bAQID/w==")
    assert (await session.poll()).split(SEPARATOR) == [
        '461-7[{"_placeholder":true,"num":0}]',
        "bAQID/w==",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "abc", "", "2", "2probe", "5", "7", "0", "0{}", "4", "4abc", "42{}", "40x",
        '42["connect"]', "6x", "3x", "bAQID", "b!", "bAQID\n", "b", "bAQID/w==", "40" + SEPARATOR,
        SEPARATOR,
        "6" + SEPARATOR + "x",
        '420["hug"]',
    ],
)  # fmt: skip
async def test_what_breaks_the_protocol_ends_the_session(body: str) -> None:
    # given a session whose GET waits
    harness = PollingHarness()
    session = await harness.open()
    request = session.get()
    await settle()

    # when it posts what is no packet, then both requests learn it and the session is over
    response = await session.post(body)
    assert (response.status, json.loads(response.text)["code"]) == (400, 3)
    assert (await request.task).text.split(SEPARATOR)[-1] == "1"
    assert await session.status() == 400
    assert harness.hub.viewers == 0


async def test_a_body_that_is_not_utf8_ends_the_session() -> None:
    session = await PollingHarness().open()
    response = await session.harness.response("POST", session.query, b"4\xff")
    assert response.status == 400
    assert await session.status() == 400


async def test_the_reserved_names_end_the_session_after_joining_too() -> None:
    session = await (await PollingHarness().open()).join()
    assert (await session.post('42["disconnect"]')).status == 400
    assert await session.status() == 400


@pytest.mark.parametrize("packets", [64, 65, 1_000])
async def test_a_payload_has_any_number_of_packets(packets: int) -> None:
    """Stock clients put all that waits into one."""
    session = await (await PollingHarness().open()).join()
    assert (await session.post(*['42["hug"]'] * packets)).status == 200
    assert await session.status() == 200


async def test_what_comes_before_a_malformed_packet_is_taken() -> None:
    """As on a WebSocket."""
    session = await (await PollingHarness().open()).join()
    await session.send('42["watch",{}]')
    waiting = session.get()
    await settle()
    assert (await session.post('421["hug"]', "x", '422["hug"]')).status == 400
    assert (await waiting.task).text.startswith("431[")
    assert await session.status() == 400


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1_000, 200), (1_001, 413)])
@pytest.mark.parametrize("cut", [0, 500])
async def test_a_payload_has_so_many_bytes(size: int, status: int, cut: int) -> None:
    session = await (await PollingHarness(max_payload=1_000).open()).join()
    body = ('42["' + "a" * (size - 6) + '"]').encode()
    response = await session.harness.response("POST", session.query, body[:cut], body[cut:])
    assert response.status == status
    assert await session.status() == (200 if status == 200 else 400)


@pytest.mark.parametrize(
    ("messages", "seconds"), [(199, 0.0), (200, 0.0), (201, 0.02), (260, 1.2), (261, 1.22)]
)
async def test_a_post_beyond_the_burst_is_answered_when_its_rate_allows(
    messages: int, seconds: float
) -> None:
    harness = PollingHarness()
    session = await (await harness.open()).join()
    # given a client that has sent a burst; joining was the first
    for _ in range(3):
        await session.send(*['42["hug"]'] * 64)
    await session.send(*['42["hug"]'] * 4)
    last = messages - 1 - 3 * 64 - 4
    # when it sends more, then the answer comes as much later, and nothing is refused
    loop = asyncio.get_running_loop()
    began = loop.time()
    if last > 0:
        await session.send(*[f'42{n}["hug"]' for n in range(last)])
    assert loop.time() - began == pytest.approx(seconds, abs=0.001)
    said = []
    while len(said) < last:
        said += (await session.poll()).split(SEPARATOR)
    assert [one[:2] for one in said] == ["43"] * last


async def test_a_client_that_leaves_while_it_is_held_up_leaves_nothing() -> None:
    harness = PollingHarness(viewer_rate_limit=1)
    session = await (await harness.open()).join()
    for _ in range(3):
        await session.send(*['42["hug"]'] * 64)
    post = harness.request("POST", session.query, SEPARATOR.join(['42["hug"]'] * 20).encode())
    await settle()
    assert not post.task.done()
    assert harness.sessions.held_up.total > 0
    # when its session ends by another request of it, then its messages are not taken
    await session.get().task
    second = await session.post("6")
    assert second.status == 400
    await post.task
    assert harness.hub.viewers == 0
    assert harness.sessions.held_up.total == 0


async def test_posts_that_are_held_up_hold_a_bound_of_memory() -> None:
    # given room for the body of one client that sends too fast
    harness = PollingHarness()
    harness.sessions.held_up.max_bytes = 4_000
    sessions = [await (await harness.open()).join() for _ in range(2)]
    body = SEPARATOR.join(['42["hug"]'] * 300).encode()
    first = harness.request("POST", sessions[0].query, body)
    await settle()
    # when another one does the same, then it is closed, with the reason
    response = await harness.response("POST", sessions[1].query, body)
    assert (response.status, "from too many viewers" in response.text) == (400, True)
    # and the first one goes on
    assert (await first.task).status == 200
    assert harness.hub.viewers == 1
    assert harness.sessions.held_up.total == 0


async def test_a_full_payload_is_no_burst() -> None:
    session = await (await PollingHarness().open()).join()
    payload = SEPARATOR.join(['42["hug"]'] * 64)
    assert (await session.post(payload)).status == 200
    assert (await session.post(payload)).status == 200


async def test_a_payload_of_python_engineio_is_never_too_long() -> None:
    # given forty packets that wait
    harness = PollingHarness()
    session = await (await harness.open()).join()
    for number in range(40):
        harness.hub.emit(Event("/", "message", b"[%d]" % number))

    # then they come in order, sixteen at a time, which is all that client reads
    pages = [(await session.poll()).split(SEPARATOR) for _ in range(3)]
    assert [len(page) for page in pages] == [16, 16, 8]
    assert [packet for page in pages for packet in page] == [
        f'42["message",{n}]' for n in range(40)
    ]
