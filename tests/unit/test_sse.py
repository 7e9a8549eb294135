"""Server-sent events: requests, events and the ways in which a stream ends, without a network and without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from paper import FakeBroadcaster, Piece
from paper_web import Ask, run, settle

from statecast.errors import Malformed
from statecast.realtime.hub import Hub
from statecast.realtime.protocol.handshake import Declined
from statecast.realtime.sse import CHUNK, Events, encode, read_wish
from statecast.settings import Settings


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


class Visit:
    """A hub with its events, on the running loop."""

    def __init__(self, **settings: Any) -> None:
        self.broadcaster = Picky()
        self.hub = Hub(self.broadcaster, Settings(**settings))
        self.hub.start(asyncio.get_running_loop())
        self.app = Events(self.hub)

    def ask(self, query: str = "device=pillow", method: str = "GET", **more: Any) -> Ask:
        return Ask(self.app, method, "/events", query, **more)

    async def watch(self, query: str = "device=pillow", **more: Any) -> tuple[Ask, Any]:
        """A request, and what watches for it."""
        ask = self.ask(query, **more)
        await settle()
        assert ask.answer.status == 200
        return ask, self.broadcaster.watching[-1]


def on_loop(story: Coroutine[Any, Any, None]) -> None:
    run(story)


STATES = b'{"epoch":"abc","offset":17,"states":[{"device":"pillow"}],"complete":true}'


@pytest.mark.parametrize(
    ("name", "payload", "event"),
    [
        ("states", STATES, b"event: states\nid: abc:17\ndata: " + STATES + b"\n\n"),
        ("seen", b'{"pillow":"t"}', b'event: seen\ndata: {"pillow":"t"}\n\n'),
        ("health", b'{"now":"t"}', b'event: health\ndata: {"now":"t"}\n\n'),
        ("states", b'{"states":\r\n[]}', b'event: states\ndata: {"states":  []}\n\n'),
    ],
)
def test_events_as_the_specification_has_them(name: str, payload: bytes, event: bytes) -> None:
    assert encode(name, payload) == event


PLACE = {"epoch": "abc", "offset": 17}


@pytest.mark.parametrize(
    ("query", "last", "wish"),
    [
        (b"", None, {"devices": ["*"], "health": False}),
        (b"device=pillow", None, {"devices": ["pillow"], "health": False}),
        (b"device=a&device=floor2/*", None, {"devices": ["a", "floor2/*"], "health": False}),
        (b"device=floor2%2F*&health=1", None, {"devices": ["floor2/*"], "health": True}),
        (b"health=0", None, {"devices": ["*"], "health": False}),
        (b"device=a", "abc:17", {"devices": ["a"], "health": False, "since": PLACE}),
        (b"device=a&since=abc:17", None, {"devices": ["a"], "health": False, "since": PLACE}),
        (b"device=a&since=old:1", "abc:17", {"devices": ["a"], "health": False, "since": PLACE}),
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
    assert read_wish(query, last) == wish


@pytest.mark.parametrize(
    "query", [b"devices=a", b"health=yes", b"x", b"&".join([b"device=a"] * 2_001)]
)
def test_what_is_no_wish_is_declined(query: bytes) -> None:
    with pytest.raises(Declined):
        read_wish(query, None)


def test_states_flow_as_they_are_delivered() -> None:
    async def story() -> None:
        visit = Visit()
        ask, watching = await visit.watch(headers={"last-event-id": "abc:16"})
        assert ask.answer.headers is not None
        assert ask.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert visit.broadcaster.requests == [
            {"devices": ["pillow"], "health": False, "since": {"epoch": "abc", "offset": 16}}
        ]
        assert visit.hub.viewers == 1

        # when slices are delivered, then they are written at once
        watching.deliver(Piece("states", STATES))
        await settle()
        assert ask.answer.body == encode("states", STATES)
        watching.deliver(Piece("seen", b"{}"))
        await settle()
        assert ask.answer.body.endswith(b"event: seen\ndata: {}\n\n")

        # and when the client leaves, everything is given back
        ask.leave()
        await ask.task
        assert visit.hub.viewers == 0
        assert len(visit.hub.wheel) == 0
        assert visit.broadcaster.watching == []

    on_loop(story())


def test_an_audience_shares_one_encoding() -> None:
    async def story() -> None:
        visit = Visit()
        asks = [await visit.watch() for _ in range(2)]
        piece = Piece("states", STATES)
        for _, watching in asks:
            watching.deliver(piece)
        await settle()
        assert piece.encodings["sse"] == encode("states", STATES)
        for ask, _ in asks:
            assert ask.answer.body == piece.encodings["sse"]
            ask.leave()

    on_loop(story())


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
def test_what_is_no_stream_gets_a_sentence(more: dict[str, Any], status: int) -> None:
    async def story() -> None:
        visit = Visit()
        answer = await visit.ask(**more).task
        assert (answer.status, answer.complete) == (status, True)
        assert answer.body
        assert visit.hub.viewers == 0

    on_loop(story())


def test_an_allowed_origin_may_read() -> None:
    async def story() -> None:
        ask, _ = await Visit(allow_origins=("http://app.test",)).watch(
            headers={"origin": "http://app.test"}
        )
        assert ask.answer.headers is not None
        assert ask.answer.headers["access-control-allow-origin"] == "http://app.test"
        ask.leave()
        await ask.task

    on_loop(story())


def test_a_full_or_stopping_server_takes_nobody() -> None:
    async def story() -> None:
        visit = Visit(max_connections=1)
        ask, _ = await visit.watch()
        assert (await visit.ask().task).status == 503
        ask.leave()
        await ask.task
        visit.hub.draining = True
        assert (await visit.ask().task).status == 503

    on_loop(story())


def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    async def story() -> None:
        ask, _ = await Visit(ping_interval=25).watch()
        await asyncio.sleep(76)
        assert ask.answer.body == b":\n\n" * 3
        ask.leave()
        await ask.task

    on_loop(story())


def test_a_slow_reader_is_paused_and_costs_no_more_than_a_bound() -> None:
    async def story() -> None:
        # given a reader whose transport is full
        visit = Visit(viewer_buffer=1_024)
        ask, watching = await visit.watch()
        ask.fill()

        # when more is delivered than may wait, then it is paused, and no comment is added
        for _ in range(3):
            watching.deliver(Piece("states", b"[" + b"1" * 600 + b"]"))
        assert visit.broadcaster.said == ["pause"]
        await settle()
        waiting = len(watching._pending)
        watching.turn(asyncio.get_running_loop().time() + 100)
        assert len(watching._pending) == waiting

        # when it reads again, then it is resumed, and every event came whole
        ask.flow()
        await settle()
        assert visit.broadcaster.said == ["pause", "resume"]
        assert ask.answer.body == encode("states", b"[" + b"1" * 600 + b"]") * 3
        ask.leave()
        await ask.task

    on_loop(story())


def test_a_large_slice_is_written_in_chunks() -> None:
    async def story() -> None:
        visit = Visit()
        ask, watching = await visit.watch()
        payload = b"[" + b"1" * (3 * CHUNK) + b"]"
        watching.deliver(Piece("states", payload))
        await settle()
        assert ask.answer.body == encode("states", payload)
        assert max(ask.written) == CHUNK
        ask.leave()
        await ask.task

    on_loop(story())


def test_a_frozen_reader_is_cut() -> None:
    async def story() -> None:
        cut: list[bool] = []
        visit = Visit()
        ask, watching = await visit.watch(extensions={"statecast.abort": lambda: cut.append(True)})
        ask.fill()
        watching.deliver(Piece("states", b"{}"))
        await ask.task
        assert cut == [True]
        assert not ask.answer.complete
        assert visit.hub.viewers == 0
        assert visit.hub.throttled_log.counted == 1

    on_loop(story())


def test_streams_end_when_the_server_stops_and_say_when_to_come_back() -> None:
    async def story() -> None:
        visit = Visit()
        asks = [await visit.watch() for _ in range(3)]
        asks[0][1].deliver(Piece("states", STATES))
        await visit.hub.close_all(2)
        for ask, _ in asks:
            answer = await ask.task
            assert answer.complete
            assert answer.body.rpartition(b"retry: ")[2].strip().isdigit()
        assert asks[0][0].answer.body.startswith(encode("states", STATES))
        assert visit.hub.viewers == 0

    on_loop(story())


def test_a_frozen_reader_does_not_hold_up_the_end() -> None:
    async def story() -> None:
        visit = Visit(write_timeout=1_000)
        ask, watching = await visit.watch()
        ask.fill()
        watching.deliver(Piece("states", STATES))
        await settle()
        await visit.hub.close_all(10, grace=1)
        await ask.task
        assert visit.hub.viewers == 0

    on_loop(story())


def test_nothing_is_delivered_to_who_left() -> None:
    async def story() -> None:
        visit = Visit()
        ask, watching = await visit.watch()
        ask.leave()
        await ask.task
        watching.deliver(Piece("states", STATES))
        watching.close(1012, "")
        watching.abort()
        assert watching.turn(0) is None
        assert not watching._pending

    on_loop(story())
