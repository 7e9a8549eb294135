"""Server-sent events.

Requests, events and the ways in which a stream ends, without a network and without waiting.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from statecast.access import secret_tokens
from statecast.access.directory import AccessDirectory
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.records import AccessRecord, RecordKind
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.errors import Malformed, StoreUnavailable
from statecast.http.credentials import of_head
from statecast.realtime.authenticator import Authenticator
from statecast.realtime.protocol.handshake import HandshakeError
from statecast.realtime.readers import Readers
from statecast.realtime.sse import CHUNK, EventStreamEndpoint, PendingEvents, encode, watch_request
from tests.fakes.asgi_client import AsgiRequest
from tests.fakes.fake_broadcaster import FakeBroadcaster
from tests.fakes.fake_loop import settle
from tests.fakes.harness import Harness

pytestmark = pytest.mark.asyncio(fast_forward=True)


class Picky(FakeBroadcaster):
    """Keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def watch(self, viewer: Any, request: Any) -> dict[str, Any]:
        if "//" in request["devices"]:
            raise Malformed("That is no name.")
        self.requests.append(request)
        return super().watch(viewer, request)


class EventsHarness(Harness):
    """A hub with its events, on the running loop."""

    def __init__(self, **settings: Any) -> None:
        self.picky = Picky()
        super().__init__(loop=asyncio.get_running_loop(), broadcaster=self.picky, **settings)
        self.endpoint = EventStreamEndpoint(self.hub, self.broadcaster, self.settings)

    def request(
        self, query: str = "device=pillow", method: str = "GET", **more: Any
    ) -> AsgiRequest:
        return AsgiRequest(self.endpoint, method, "/events", query, **more)

    async def watch(self, query: str = "device=pillow", **more: Any) -> tuple[AsgiRequest, Any]:
        """A request, and what watches for it."""
        request = self.request(query, **more)
        await settle()
        assert request.response.status == 200
        return request, self.broadcaster.watching[-1]


STATES = (
    b'{"epoch":"abc","offset":17,"scope":"f600","states":[{"device":"pillow"}],"complete":true}'
)


@pytest.mark.parametrize(
    ("name", "payload", "event"),
    [
        ("states", STATES, b"event: states\nid: abc:17:f600\ndata: " + STATES + b"\n\n"),
        ("seen", b'{"pillow":"t"}', b'event: seen\ndata: {"pillow":"t"}\n\n'),
        ("health", b'{"now":"t"}', b'event: health\ndata: {"now":"t"}\n\n'),
        ("states", b'{"states":\r\n[]}', b'event: states\ndata: {"states":  []}\n\n'),
    ],
)
def test_events_as_the_specification_has_them(name: str, payload: bytes, event: bytes) -> None:
    assert encode(name, payload) == event


async def test_a_position_that_is_not_named_is_the_id_all_the_same() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch()
    message = OutgoingMessage("states", b'{"offset":17,"states":[]}', 17)
    message.unnamed = "abc", "f600"
    watching.deliver(message)
    await settle()
    assert request.response.body == (
        b'event: states\nid: abc:17:f600\ndata: {"offset":17,"states":[]}\n\n'
    )


PLACE = {"epoch": "abc", "offset": 17}


@pytest.mark.parametrize(
    ("query", "last", "wish"),
    [
        (b"", None, {"devices": ["*"], "health": False}),
        (b"device=pillow", None, {"devices": ["pillow"], "health": False}),
        (b"device=a&device=floor2/*", None, {"devices": ["a", "floor2/*"], "health": False}),
        (b"device=floor2%2F*&health=1", None, {"devices": ["floor2/*"], "health": True}),
        (b"health=0", None, {"devices": ["*"], "health": False}),
        (b"device=a&once=1", None, {"devices": ["a"], "health": False, "once": True}),
        (b"protocol=2", None, {"devices": ["*"], "health": False, "protocol": 2}),
        (b"protocol=1", None, {"devices": ["*"], "health": False, "protocol": 1}),
        (
            b"protocol=2&reset=1",
            None,
            {"devices": ["*"], "health": False, "protocol": 2, "reset": True},
        ),
        (b"device=a", "abc:17", {"devices": ["a"], "health": False, "since": PLACE}),
        (b"device=a&since=abc:17", None, {"devices": ["a"], "health": False, "since": PLACE}),
        (b"device=a&since=old:1", "abc:17", {"devices": ["a"], "health": False, "since": PLACE}),
        (
            b"",
            "abc:17:f600",
            {"devices": ["*"], "health": False, "since": {**PLACE, "scope": "f600"}},
        ),
        (
            b"",
            "abc:17:f600:x",
            {"devices": ["*"], "health": False, "since": {"epoch": "", "offset": 0}},
        ),
        (
            b"device=a",
            "nonsense",
            {"devices": ["a"], "health": False, "since": {"epoch": "", "offset": 0}},
        ),
        (b"device=a", "", {"devices": ["a"], "health": False, "since": {"epoch": "", "offset": 0}}),
        (
            b"device=a",
            "abc:-1",
            {"devices": ["a"], "health": False, "since": {"epoch": "", "offset": 0}},
        ),
    ],
)
def test_a_request_is_a_wish(query: bytes, last: str | None, wish: dict[str, Any]) -> None:
    assert watch_request(query, last) == wish


@pytest.mark.parametrize(
    "query",
    [
        *(b"devices=a", b"health=yes", b"once=0", b"x", b"&".join([b"device=a"] * 2_001)),
        *(b"protocol=3", b"protocol=", b"protocol=02", b"reset=yes"),
    ],
)
def test_what_is_no_wish_is_declined(query: bytes) -> None:
    with pytest.raises(HandshakeError):
        watch_request(query, None)


async def test_states_flow_as_they_are_delivered() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch(headers={"last-event-id": "abc:16"})
    assert request.response.headers is not None
    assert request.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert harness.picky.requests == [
        {"devices": ["pillow"], "health": False, "since": {"epoch": "abc", "offset": 16}}
    ]
    assert harness.hub.viewers == 1

    # when slices are delivered, then they are written at once
    watching.deliver(OutgoingMessage("states", STATES))
    await settle()
    assert request.response.body == encode("states", STATES)
    watching.deliver(OutgoingMessage("seen", b"{}"))
    await settle()
    assert request.response.body.endswith(b"event: seen\ndata: {}\n\n")

    # and when the client leaves, everything is given back
    request.leave()
    await request.task
    assert harness.hub.viewers == 0
    assert len(harness.hub.wheel) == 0
    assert harness.broadcaster.watching == []


async def test_an_audience_shares_one_encoding() -> None:
    harness = EventsHarness()
    requests = [await harness.watch() for _ in range(2)]
    message = OutgoingMessage("states", STATES)
    for _, watching in requests:
        watching.deliver(message)
    await settle()
    assert message.encodings["sse"] == encode("states", STATES)
    for request, _ in requests:
        assert request.response.body == message.encodings["sse"]
        request.leave()


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"method": "POST"}, 405),
        ({"method": "HEAD"}, 405),
        ({"query": "device=//"}, 400),
        ({"query": "devices=a"}, 400),
        ({"headers": {"origin": "http://evil.test"}}, 403),
        ({"headers": {"origin": "null"}}, 403),
    ],
)
async def test_what_is_no_stream_gets_a_sentence(more: dict[str, Any], status: int) -> None:
    harness = EventsHarness()
    response = await harness.request(**more).task
    assert (response.status, response.complete) == (status, True)
    # as every error outside of Socket.IO, and without the list of allowed origins
    assert response.headers is not None
    assert response.headers["content-type"] == "application/problem+json"
    problem = json.loads(response.body)
    assert problem["status"] == status and problem["detail"].endswith(".")
    assert "allowed are" not in problem["detail"]
    assert harness.hub.viewers == 0


async def test_a_browser_gets_a_page_that_says_why_there_is_no_stream() -> None:
    harness = EventsHarness()
    response = await harness.request(query="x", headers={"accept": "text/html"}).task
    assert response.headers is not None and response.status == 400
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "The query takes device" in response.text


@pytest.mark.parametrize("setting", ["http://app.test", "*"])
async def test_an_allowed_origin_may_read(setting: str) -> None:
    request, _ = await EventsHarness(allow_origins=(setting,)).watch(
        headers={"origin": "http://app.test"}
    )
    headers = request.response.headers
    assert headers is not None
    assert headers["access-control-allow-origin"] == setting
    assert headers.get("access-control-allow-credentials") == (None if setting == "*" else "true")
    request.leave()
    await request.task


async def test_a_full_or_stopping_server_takes_nobody() -> None:
    harness = EventsHarness(max_connections=1)
    request, _ = await harness.watch()
    assert (await harness.request().task).status == 503
    request.leave()
    await request.task
    harness.hub.draining = True
    assert (await harness.request().task).status == 503


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    request, _ = await EventsHarness(ping_interval=25).watch()
    await asyncio.sleep(76)
    assert request.response.body == b":\n\n" * 3
    request.leave()
    await request.task


async def test_a_slow_reader_is_paused_and_costs_no_more_than_a_bound() -> None:
    # given a reader whose transport is full
    harness = EventsHarness(viewer_buffer=1_024)
    request, watching = await harness.watch()
    request.fill()

    # when more is delivered than may wait, then it is paused, and no comment is added
    for _ in range(3):
        watching.deliver(OutgoingMessage("states", b"[" + b"1" * 600 + b"]"))
    assert harness.broadcaster.calls == ["pause"]
    await settle()
    waiting = watching._pending.size
    watching.on_timeout(asyncio.get_running_loop().time() + 100)
    assert watching._pending.size == waiting

    # when it reads again, then it is resumed, and every event came whole
    request.flow()
    await settle()
    assert harness.broadcaster.calls == ["pause", "resume"]
    assert request.response.body == encode("states", b"[" + b"1" * 600 + b"]") * 3
    request.leave()
    await request.task


async def test_a_large_slice_is_written_in_chunks() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch()
    payload = b"[" + b"1" * (3 * CHUNK) + b"]"
    watching.deliver(OutgoingMessage("states", payload))
    await settle()
    assert request.response.body == encode("states", payload)
    assert max(request.written) == CHUNK
    request.leave()
    await request.task


async def test_a_frozen_reader_is_cut() -> None:
    cut: list[bool] = []
    harness = EventsHarness()
    request, watching = await harness.watch(
        extensions={"statecast.abort": lambda: cut.append(True)}
    )
    request.fill()
    watching.deliver(OutgoingMessage("states", b"{}"))
    await request.task
    assert cut == [True]
    assert not request.response.complete
    assert harness.hub.viewers == 0
    assert harness.hub.throttled_log.counted == 1


async def test_streams_end_when_the_server_stops_and_say_when_to_come_back() -> None:
    harness = EventsHarness()
    requests = [await harness.watch() for _ in range(3)]
    requests[0][1].deliver(OutgoingMessage("states", STATES))
    await harness.hub.close_all(2)
    for request, _ in requests:
        response = await request.task
        assert response.complete
        assert response.body.rpartition(b"retry: ")[2].strip().isdigit()
    assert requests[0][0].response.body.startswith(encode("states", STATES))
    assert harness.hub.viewers == 0


async def test_a_frozen_reader_does_not_hold_up_the_end() -> None:
    harness = EventsHarness(write_timeout=1_000)
    request, watching = await harness.watch()
    request.fill()
    watching.deliver(OutgoingMessage("states", STATES))
    await settle()
    await harness.hub.close_all(10, grace=1)
    await request.task
    assert harness.hub.viewers == 0


async def test_nothing_is_delivered_to_who_left() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch()
    request.leave()
    await request.task
    watching.deliver(OutgoingMessage("states", STATES))
    watching.close(1012, "")
    watching.abort()
    assert watching.on_timeout(0) is None
    assert not watching._pending.size


HEALTH = OutgoingMessage("health", b"{}")
PART = OutgoingMessage("states", STATES.replace(b',"complete":true', b""))
WHOLE = OutgoingMessage("states", STATES)
SEEN = OutgoingMessage("seen", b"{}")


@pytest.mark.parametrize(
    ("query", "before", "last"),
    [
        ("once=1", [PART], [WHOLE, SEEN]),
        ("once=1", [], [WHOLE]),
        ("once=1&health=1", [PART, HEALTH, PART], [WHOLE]),
        ("once=1&health=1", [PART, WHOLE, SEEN], [HEALTH]),
    ],
)
async def test_once_ends_when_the_client_has_everything(
    query: str, before: list[OutgoingMessage], last: list[OutgoingMessage]
) -> None:
    # given a client that asks once
    harness = EventsHarness()
    request, watching = await harness.watch(query)
    for message in before:
        watching.deliver(message)
    await settle()
    assert not request.response.complete and harness.hub.viewers == 1

    # when the last that it waits for is delivered, with what belongs to it
    for message in last:
        watching.deliver(message)
    await settle()

    # then the response has all of it, and ends
    events = [encode(message.name, message.payload) for message in (*before, *last)]
    assert request.response.body == b"".join(events)
    assert request.response.complete and harness.hub.viewers == 0


@pytest.mark.parametrize("is_full", [False, True], ids=["it waits for the store", "it is slow"])
async def test_once_ends_without_an_answer_after_a_while(is_full: bool) -> None:
    # given a client that asks once, and has not got everything
    harness = EventsHarness()
    request, watching = await harness.watch("once=1")
    if is_full:
        request.fill()
        watching.deliver(PART)
    await settle()
    assert not request.response.complete

    # when a comment is due, then it ends instead if nothing is on its way
    watching.on_timeout(asyncio.get_running_loop().time() + 100)
    request.flow()
    await settle()
    on_its_way = encode("states", PART.payload) + b":\n\n"
    assert request.response.body == (on_its_way if is_full else b"")
    assert request.response.complete is not is_full
    request.leave()
    await request.task


async def test_without_once_a_stream_goes_on() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch("health=1")
    for message in (WHOLE, HEALTH):
        watching.deliver(message)
    await settle()
    assert not request.response.complete and harness.hub.viewers == 1


def test_readers_share_the_bytes_that_wait() -> None:
    # Given an event for two readers
    event = b"x" * 50_000
    one, two = PendingEvents(), PendingEvents()
    for reader in (one, two):
        reader.add(event)
        reader.add(b"end")
    # then neither has a copy of it, and each takes it in chunks, small events together
    assert one._events[0] is two._events[0] is event
    assert (one.size, one.take(20_000), one.size) == (50_003, b"x" * 20_000, 30_003)
    assert (one.take(40_000), one.size) == (b"x" * 30_000 + b"end", 0)
    assert one.take(10) == b""
    two.take(10)
    two.clear()
    assert (two.size, two.take(10)) == (0, b"")


# Rights

SECRET = "s" * secret_tokens.SECRET_CHARACTERS


class OneKey:
    """The records of a store with a key that may do nothing; or a store that is away."""

    def __init__(self) -> None:
        self.away = False

    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        if self.away:
            raise StoreUnavailable("The disk failed.")
        body = {"digest": secret_tokens.digest(SECRET), "grants": {}}
        return AccessRecord("key", id_, body, 1) if (kind, id_) == ("key", "none") else None


@pytest.mark.parametrize(
    ("token", "away", "status", "header"),
    [
        ("", False, 401, ("www-authenticate", "Bearer")),
        (f"sk_none_{SECRET}", False, 403, None),
        (f"sk_other_{SECRET}", False, 401, ("www-authenticate", "Bearer")),
        (f"sk_none_{SECRET}", True, 503, ("retry-after", "1")),
    ],
)
async def test_who_may_read_nothing_is_refused_before_the_stream_begins(
    token: str, away: bool, status: int, header: tuple[str, str] | None
) -> None:
    harness, records = EventsHarness(), OneKey()
    records.away = away
    policy = AccessPolicy(Rules(), lambda: records, lambda: 0)
    harness.hub.readers = Readers(
        policy,
        Authenticator(policy, lambda: records, threads=1, inline=True),
        AccessDirectory(lambda: 0),
        lambda viewers: None,
        credentials_of=of_head,
        clock=lambda: 0,
        monotonic=lambda: 0.0,
    )
    headers = {"authorization": f"Bearer {token}"} if token else {}
    response = await harness.request(headers=headers).task
    assert response.status == status
    if header is not None:
        assert response.headers is not None
        assert response.headers[header[0]] == header[1]
    assert harness.picky.requests == []
    assert harness.hub.viewers == 0


async def test_a_stream_that_may_be_read_no_longer_ends_with_a_sentence() -> None:
    harness = EventsHarness()
    request, watching = await harness.watch()
    watching.end("Sign in again.")
    watching.deliver(OutgoingMessage("states", STATES))
    response = await request.task
    refused = b'event: refused\ndata: {"message":"Sign in again.","data":{"status":401}}\n\n'
    assert response.body == refused
    assert harness.broadcaster.watching == []
