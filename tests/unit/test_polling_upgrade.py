"""The upgrade from long polling to a WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from statecast.realtime.protocol import websocket
from tests.fakes.fake_loop import settle
from tests.fakes.polling_harness import QUERY, SEPARATOR, PollingClient, PollingHarness

pytestmark = pytest.mark.asyncio(fast_forward=True)


async def test_the_upgrade_as_a_stock_client_makes_it() -> None:
    # given a session whose GET waits
    harness = PollingHarness()
    session = await (await harness.open()).join()
    await session.send('420["watch",{}]')
    await session.poll()
    request = session.get()
    await settle()

    # when a WebSocket of its sid opens, then the GET is answered by a noop, and the next one soon
    probe = session.probe()
    assert probe.received() == [101]
    assert (await request.task).text == "6"
    assert await session.poll() == "6"

    # when it probes, and then upgrades
    probe.send("2probe")
    assert probe.received() == ["3probe"]
    harness.hub.emit(Event("/", "message", b"[1]"))
    probe.send("5")

    # then what waited comes first, everything later comes here, and the sid is good for nothing
    harness.hub.emit(Event("/", "message", b"[2]"))
    harness.broadcaster.watching[0].deliver(OutgoingMessage("states", b"{}"))
    assert probe.received() == ['42["message",1]', '42["message",2]', '42["states",{}]']
    assert (await session.get().task).status == 400
    assert await session.status() == 400
    assert harness.hub.viewers == 1
    assert not harness.endpoint._open_by_address
    second = session.probe()
    assert second.received() == [101, (8, b"\x03\xf0the session has its WebSocket already")]

    # and everything is given back in the end
    second.lose()
    probe.lose()
    assert not harness.sessions._upgraded
    assert harness.hub.viewers == 0
    assert harness.broadcaster.watching == []


PLACE = b'[{"_placeholder":true,"num":0}]'


@pytest.mark.parametrize("before", [0, 1, 16, 17, 38, 39])
async def test_nothing_is_lost_or_doubled_wherever_the_upgrade_comes(before: int) -> None:
    # given forty events, so many of them emitted before the upgrade and half of those fetched,
    # and bytes
    harness = PollingHarness()
    response = await harness.response("GET", QUERY)
    session = PollingClient(harness, json.loads(response.text[1:])["sid"])
    await session.send("40")
    sid = json.loads((await session.poll())[2:])["sid"]
    heard: list[Any] = []
    probe = session.probe()
    probe.received()
    for number in range(40):
        if number == before:
            probe.send("2probe")
            assert probe.received() == ["3probe"]
            while len(heard) < number // 2:
                heard += (await session.poll()).split(SEPARATOR)
            probe.send("5")
        harness.hub.emit(Event("/", "message", b"[%d]" % number))
    harness.hub.publish(Event("/", "bytes", PLACE, (sid,), attachments=(b"\x01\x02",)))

    # when all is heard, then each came once and in order
    heard += probe.received()
    assert heard[:40] == [f'42["message",{n}]' for n in range(40)]
    assert heard[40:] == ['451-["bytes",{"_placeholder":true,"num":0}]', b"\x01\x02"]


async def test_bytes_that_wait_become_binary_frames() -> None:
    harness = PollingHarness()
    session = await harness.open()
    await session.send("40")
    sid = json.loads((await session.poll())[2:])["sid"]
    harness.hub.publish(Event("/", "bytes", PLACE, (sid,), attachments=(b"\x01\x02",)))
    probe = session.probe()
    probe.send("2probe")
    probe.send("5")
    assert probe.received() == [
        101,
        "3probe",
        '451-["bytes",{"_placeholder":true,"num":0}]',
        b"\x01\x02",
    ]


async def test_an_answer_already_promised_to_a_get_goes_one_way_only() -> None:
    # given a GET that is about to take an event
    harness = PollingHarness()
    session = await (await harness.open()).join()
    probe = session.probe()
    probe.send("2probe")
    probe.received()
    request = session.get()
    await settle()
    harness.hub.emit(Event("/", "message", b"[1]"))

    # when the upgrade comes before it does
    probe.send("5")

    # then the event comes here, and the GET gets a noop
    assert probe.received() == ['42["message",1]']
    assert (await request.task).text == "6"


async def test_a_ping_before_the_upgrade_is_answered_after_it() -> None:
    harness = PollingHarness(ping_interval=0.3, ping_timeout=0.2)
    session = await (await harness.open()).join()
    probe = session.probe()
    await asyncio.sleep(0.32)
    probe.send("2probe")
    probe.send("5")
    assert probe.received() == [101, "3probe", "2"]
    probe.send("3")
    await asyncio.sleep(0.32)
    assert probe.received() == ["2"]
    probe.lose()


async def test_one_probe_at_a_time_and_another_after_it() -> None:
    session = await (await PollingHarness().open()).join()
    first = session.probe()
    second = session.probe()
    assert first.received() == [101]
    assert second.received()[0] == 400
    first.lose()
    third = session.probe()
    assert third.received() == [101]

    # and polling goes on meanwhile
    session.harness.hub.emit(Event("/", "message", b"[1]"))
    assert await session.poll() == '42["message",1]'


@pytest.mark.parametrize("message", ["4hello", "40", "5x", "2", "2probe2", "3", "6", "", b"x"])
async def test_before_the_upgrade_only_the_probe_is_heard(message: str | bytes) -> None:
    session = await (await PollingHarness().open()).join()
    probe = session.probe()
    probe.received()
    probe.send(message)
    assert probe.closed_with() == websocket.POLICY_VIOLATION

    # and the session goes on where it was
    session.harness.hub.emit(Event("/", "message", b"[1]"))
    assert await session.poll() == '42["message",1]'


async def test_an_upgrade_without_a_probe_is_taken() -> None:
    session = await (await PollingHarness().open()).join()
    probe = session.probe()
    probe.send("5")
    probe.received()
    session.harness.hub.emit(Event("/", "message", b"[1]"))
    assert probe.received() == ['42["message",1]']


async def test_a_probe_answers_pings_and_closes() -> None:
    session = await (await PollingHarness().open()).join()
    probe = session.probe()
    probe.received()
    probe.send_frame(b"hi", websocket.PING)
    assert probe.received() == [(websocket.PONG, b"hi")]
    probe.send_frame(b"\x03\xe8", websocket.CLOSE)
    assert probe.received() == [(websocket.CLOSE, b"\x03\xe8")]
    assert await session.status() == 200


@pytest.mark.parametrize("message", ["2probe", "5"])
async def test_a_probe_of_a_session_that_ended_is_closed(message: str) -> None:
    session = await (await PollingHarness().open()).join()
    probe = session.probe()
    probe.received()
    await session.send("1")
    probe.send(message)
    assert probe.closed_with() == websocket.GOING_AWAY


async def test_a_probe_that_says_nothing_is_cut() -> None:
    harness = PollingHarness(ping_interval=100)
    session = await (await harness.open()).join()
    probe = session.probe()
    await asyncio.sleep(10.5)
    assert probe.transport.calls[-1] == "abort"
    probe.lose()
    assert harness.hub.viewers == 1


async def test_a_slow_poller_that_upgrades_is_resumed() -> None:
    harness = PollingHarness(viewer_buffer=1_024)
    session = await (await harness.open()).join()
    await session.send('42["watch",{}]')
    harness.broadcaster.watching[0].deliver(OutgoingMessage("states", b"[" + b"1" * 2_000 + b"]"))
    probe = session.probe()
    probe.send("2probe")
    probe.send("5")
    assert harness.broadcaster.calls == ["pause", "resume"]


async def test_what_leads_to_a_close_while_probing_closes_both_when_the_server_stops() -> None:
    harness = PollingHarness()
    session = await (await harness.open()).join()
    probe = session.probe()
    probe.received()
    probe.transport.abort = probe.lose  # type: ignore[method-assign]
    await harness.hub.close_all(10, grace=0.1)
    assert probe.closed_with() == websocket.SERVICE_RESTART
    assert harness.hub.viewers == 0
