"""Long polling and the upgrade: requests and answers as tables, on a loop without a network and without waiting."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from paper import Client, FakeBroadcaster, Piece
from paper_web import Answer, Ask, run, settle

from statecast.realtime.hub import Hub
from statecast.realtime.polling import Polling
from statecast.realtime.protocol import engineio, websocket
from statecast.settings import Settings

QUERY = "EIO=4&transport=polling"
SEPARATOR = "\x1e"


class Visit:
    """A hub with its polling endpoint, on the running loop."""

    def __init__(self, **settings: Any) -> None:
        self.broadcaster = FakeBroadcaster()
        self.hub = Hub(self.broadcaster, Settings(**settings), namespaces=["/test"])
        self.hub.start(asyncio.get_running_loop())
        self.app = Polling(self.hub)

    def ask(self, method: str, query: str, *pieces: bytes, **more: Any) -> Ask:
        return Ask(self.app, method, "/socket.io/", query, pieces or (b"",), **more)

    async def answer(self, method: str, query: str, *pieces: bytes, **more: Any) -> Answer:
        return await self.ask(method, query, *pieces, **more).task

    async def open(self, **more: Any) -> Session:
        answer = await self.answer("GET", QUERY, **more)
        assert answer.status == 200, answer
        return Session(self, json.loads(answer.text[1:])["sid"])


class Session:
    """One client that polls."""

    def __init__(self, visit: Visit, sid: str) -> None:
        self.visit = visit
        self.sid = sid
        self.query = f"{QUERY}&sid={sid}"

    def get(self) -> Ask:
        return self.visit.ask("GET", self.query)

    async def poll(self) -> str:
        answer = await self.get().task
        assert answer.status == 200, answer
        return answer.text

    async def post(self, *packets: str) -> Answer:
        return await self.visit.answer("POST", self.query, SEPARATOR.join(packets).encode())

    async def say(self, *packets: str) -> None:
        answer = await self.post(*packets)
        assert (answer.status, answer.body) == (200, b"ok")

    async def join(self, namespace: str = "/") -> Session:
        await self.say("40" if namespace == "/" else f"40{namespace},")
        assert (await self.poll()).startswith("40")
        return self

    async def status(self) -> int:
        """What a further POST gets: 400 when the session is over."""
        return (await self.post("6")).status

    def probe(self) -> Client:
        client = Client(self.visit.hub)
        client.open(f"/socket.io/?EIO=4&transport=websocket&sid={self.sid}")
        return client


def on_loop(story: Coroutine[Any, Any, None]) -> None:
    """Run a test, and see that it leaves nothing behind."""

    async def main() -> None:
        await story
        await settle()

    run(main())


# The handshake


def test_a_session_is_opened() -> None:
    async def story() -> None:
        visit = Visit(ping_interval=0.3, ping_timeout=0.2, max_payload=1_000_000)
        answer = await visit.answer("GET", QUERY)
        assert answer.status == 200
        assert answer.headers is not None
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.text[0] == "0"
        said = json.loads(answer.text[1:])
        assert said == {
            "sid": said["sid"],
            "upgrades": ["websocket"],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1_000_000,
        }
        assert visit.hub.viewers == 1

    on_loop(story())


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
def test_a_wrong_request_gets_the_error_of_the_specification(
    method: str, query: str, code: int
) -> None:
    async def story() -> None:
        visit = Visit()
        answer = await visit.answer(method, query)
        assert answer.status == 400
        assert json.loads(answer.text)["code"] == code
        assert visit.hub.viewers == 0

    on_loop(story())


def test_a_wrong_method_on_a_session_leaves_it_as_it_is() -> None:
    async def story() -> None:
        session = await Visit().open()
        answer = await session.visit.answer("PUT", session.query)
        assert (answer.status, json.loads(answer.text)["code"]) == (400, 2)
        await session.join()

    on_loop(story())


def test_jsonp_is_not_spoken() -> None:
    async def story() -> None:
        answer = await Visit().answer("GET", QUERY + "&j=0")
        assert answer.text[0] == "0"

    on_loop(story())


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        ("http://example.test", (), 200),
        ("http://evil.test", (), 403),
        ("null", ("*",), 403),
        ("http://app.test", ("http://app.test",), 200),
        ("http://any.test", ("*",), 200),
    ],
)
def test_the_origin_counts_on_every_request(
    origin: str, allowed: tuple[str, ...], status: int
) -> None:
    async def story() -> None:
        visit = Visit(allow_origins=allowed)
        session = await visit.open()
        for method, query in [("GET", QUERY), ("POST", session.query), ("OPTIONS", QUERY)]:
            answer = await visit.answer(method, query, b"6", headers={"origin": origin})
            assert answer.status == status
            assert answer.headers is not None
            assert answer.headers.get("access-control-allow-origin") == (
                origin if status == 200 else None
            )
        assert await session.status() == 200

    on_loop(story())


def test_an_allowed_page_may_read_what_it_did_wrong() -> None:
    async def story() -> None:
        answer = await Visit().answer(
            "GET", "EIO=3&transport=polling", headers={"origin": "http://example.test"}
        )
        assert answer.headers is not None
        assert answer.headers["access-control-allow-origin"] == "http://example.test"

    on_loop(story())


def test_several_processes_refuse_polling_in_a_sentence() -> None:
    async def story() -> None:
        answer = await Visit(workers=2).answer("GET", QUERY)
        assert answer.status == 400
        assert 'transports: [\\"websocket\\"]' in answer.text

    on_loop(story())


@pytest.mark.parametrize(("sessions", "status"), [(1, 200), (2, 200), (3, 429)])
def test_an_address_has_so_many_sessions(sessions: int, status: int) -> None:
    async def story() -> None:
        visit = Visit(connections_per_address=2)
        answers = [await visit.answer("GET", QUERY) for _ in range(sessions)]
        assert answers[-1].status == status
        other = await visit.answer("GET", QUERY, client=("192.0.2.2", 5))
        assert other.status == 200

        # and one that ends makes room
        sid = json.loads(answers[0].text[1:])["sid"]
        await Session(visit, sid).say("1")
        assert (await visit.answer("GET", QUERY)).status == 200

    on_loop(story())


def test_a_full_or_stopping_server_takes_nobody() -> None:
    async def story() -> None:
        visit = Visit(max_connections=1)
        session = await visit.open()
        full = await visit.answer("GET", QUERY)
        assert (full.status, (full.headers or {})["retry-after"]) == (503, "1")
        await session.say("1")
        visit.hub.draining = True
        assert (await visit.answer("GET", QUERY)).status == 503

    on_loop(story())


# Messages


def test_the_conversation_goes_both_ways() -> None:
    async def story() -> None:
        # given a session that joined
        visit = Visit()
        session = await (await visit.open()).join()

        # when it watches in one POST with something else, then both are answered in one GET
        await session.say('420["watch",{}]', '421["hug"]')
        first, second = (await session.poll()).split(SEPARATOR)
        assert first == '430[{"epoch":"e","offset":0,"reset":false}]'
        assert second.startswith('431[{"error"')

        # and a GET that waits is answered by what comes
        asked = session.get()
        await settle()
        assert not asked.task.done()
        (watching,) = visit.broadcaster.watching
        watching.deliver(Piece("states", b"{}"))
        assert (await asked.task).text == '42["states",{}]'

    on_loop(story())


def test_an_audience_shares_one_encoding() -> None:
    async def story() -> None:
        visit = Visit()
        piece = Piece("states", b"{}")
        for _ in range(2):
            session = await (await visit.open()).join()
            await session.say('42["watch",{}]')
        for watching in visit.broadcaster.watching:
            watching.deliver(piece)
        first, second = visit.hub.polling.values()
        assert first._queue[-1] is second._queue[-1]

    on_loop(story())


def test_bytes_travel_as_base64_both_ways() -> None:
    async def story() -> None:
        visit = Visit()

        async def echo(sid: str, *arguments: Any) -> Any:
            return arguments

        visit.hub.on("hug", echo)
        session = await (await visit.open()).join()
        await session.say('451-7["hug",{"_placeholder":true,"num":0}]', "bAQID/w==")
        assert (await session.poll()).split(SEPARATOR) == [
            '461-7[{"_placeholder":true,"num":0}]',
            "bAQID/w==",
        ]

    on_loop(story())


@pytest.mark.parametrize(
    "body",
    [
        "abc", "", "2", "2probe", "5", "7", "0", "0{}", "4", "4abc", "42{}", "40x", '42["connect"]', "6x", "3x",
        "bAQID", "b!", "bAQID\n", "b", "bAQID/w==", "40" + SEPARATOR, SEPARATOR, "6" + SEPARATOR + "x",
        '420["hug"]',
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_ends_the_session(body: str) -> None:
    async def story() -> None:
        # given a session whose GET waits
        visit = Visit()
        session = await visit.open()
        asked = session.get()
        await settle()

        # when it posts what is no packet, then both requests learn it and the session is over
        answer = await session.post(body)
        assert (answer.status, json.loads(answer.text)["code"]) == (400, 3)
        assert (await asked.task).text == "1"
        assert await session.status() == 400
        assert visit.hub.viewers == 0

    on_loop(story())


def test_a_body_that_is_not_utf8_ends_the_session() -> None:
    async def story() -> None:
        session = await Visit().open()
        answer = await session.visit.answer("POST", session.query, b"4\xff")
        assert answer.status == 400
        assert await session.status() == 400

    on_loop(story())


def test_the_reserved_names_end_the_session_after_joining_too() -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        assert (await session.post('42["disconnect"]')).status == 400
        assert await session.status() == 400

    on_loop(story())


@pytest.mark.parametrize(("packets", "status"), [(63, 200), (64, 200), (65, 400)])
def test_a_payload_has_so_many_packets(packets: int, status: int) -> None:
    async def story() -> None:
        # (attachments are paid for by the packet that announces them)
        session = await (await Visit().open()).join()
        places = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(10))
        binary = [f'4510-["hug",{places}]', *["bAA=="] * 10]
        assert (await session.post(*binary * 5, *["6"] * (packets - 55))).status == status
        assert await session.status() == status

    on_loop(story())


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1_000, 200), (1_001, 413)])
@pytest.mark.parametrize("cut", [0, 500])
def test_a_payload_has_so_many_bytes(size: int, status: int, cut: int) -> None:
    async def story() -> None:
        session = await (await Visit(max_payload=1_000).open()).join()
        body = ('42["' + "a" * (size - 6) + '"]').encode()
        answer = await session.visit.answer("POST", session.query, body[:cut], body[cut:])
        assert answer.status == status
        assert await session.status() == (200 if status == 200 else 400)

    on_loop(story())


@pytest.mark.parametrize(("messages", "kept"), [(49, True), (50, True), (51, False)])
def test_a_burst_of_fifty_on_polling_too(messages: int, kept: bool) -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        for _ in range(messages - 2):  # joining was the first
            await session.say('42["hug"]')
        assert ((await session.post('42["hug"]')).status == 200) is kept

    on_loop(story())


def test_a_payload_of_python_engineio_is_never_too_long() -> None:
    async def story() -> None:
        # given forty packets that wait
        visit = Visit()
        session = await (await visit.open()).join()
        for number in range(40):
            visit.hub.emit("/", None, "message", b"[%d]" % number)

        # then they come in order, sixteen at a time, which is all that client reads
        pages = [(await session.poll()).split(SEPARATOR) for _ in range(3)]
        assert [len(page) for page in pages] == [16, 16, 8]
        assert [packet for page in pages for packet in page] == [
            f'42["message",{n}]' for n in range(40)
        ]

    on_loop(story())


# One request of a kind at a time


def test_a_second_get_ends_the_session() -> None:
    async def story() -> None:
        visit = Visit()
        session = await visit.open()
        first = session.get()
        await settle()
        second = await session.get().task
        assert (await first.task).text == "1"
        assert second.status == 400
        assert (await session.get().task).status == 400
        assert visit.hub.viewers == 0

    on_loop(story())


def test_a_second_post_ends_the_session() -> None:
    async def story() -> None:
        # given a POST whose body does not end
        visit = Visit()
        session = await visit.open()
        first = Ask(visit.app, "POST", "/socket.io/", session.query, (b"4",), more=True)
        await settle()

        # when another one comes
        assert (await session.post("40")).status == 400

        # then the session is over, also for the first
        first.leave()
        await first.task
        assert visit.hub.viewers == 0

    on_loop(story())


def test_who_does_not_read_an_answer_gets_no_second_one() -> None:
    async def story() -> None:
        # given a GET whose answer fills the transport
        visit = Visit()
        session = await (await visit.open()).join()
        asked = session.get()
        await settle()
        asked.fill()
        visit.hub.emit("/", None, "message", b"[1]")
        await settle()

        # when the client asks on another connection before it has read it, then that is a second GET
        assert (await session.get().task).status == 400
        asked.leave()
        await asked.task

    on_loop(story())


def test_a_client_that_gives_up_its_get_has_left() -> None:
    """As the protocol's suite has it. Stock clients begin anew then, and their place brings what they missed."""

    async def story() -> None:
        visit = Visit()
        session = await (await visit.open()).join()
        asked = session.get()
        await settle()
        asked.leave()
        await asked.task
        assert (await session.get().task).status == 400
        assert visit.hub.viewers == 0
        assert not visit.app._addresses

    on_loop(story())


def test_a_client_that_leaves_in_the_middle_of_a_post_said_nothing() -> None:
    async def story() -> None:
        visit = Visit()
        session = await visit.open()
        asked = Ask(visit.app, "POST", "/socket.io/", session.query, (b"4",), more=True)
        await settle()
        asked.leave()
        assert (await asked.task).status == 0
        await session.join()

    on_loop(story())


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def story() -> None:
        visit = Visit(body_timeout=3, ping_interval=100, connect_timeout=100)
        session = await visit.open()
        answer = await Ask(visit.app, "POST", "/socket.io/", session.query, (b"4",), more=True).task
        assert answer.status == 408
        assert await session.status() == 400

    on_loop(story())


# Heartbeat and other times


@pytest.mark.parametrize("interval", [0.05, 0.3, 25.0])
def test_pings_are_answered_and_go_on(interval: float) -> None:
    async def story() -> None:
        visit = Visit(ping_interval=interval, ping_timeout=max(interval / 2, 0.05))
        session = await (await visit.open()).join()
        began = asyncio.get_running_loop().time()
        for _ in range(5):
            assert await session.poll() == "2"
            await session.say("3")
        took = asyncio.get_running_loop().time() - began
        assert 5 * interval - 1e-6 <= took <= 5 * (interval + visit.hub.wheel.beat) + 1e-6

    on_loop(story())


def test_who_polls_but_does_not_answer_a_ping_is_cut() -> None:
    async def story() -> None:
        visit = Visit(ping_interval=0.3, ping_timeout=0.2)
        session = await (await visit.open()).join()
        assert await session.poll() == "2"
        assert await session.poll() == "1"
        assert (await session.get().task).status == 400

    on_loop(story())


def test_who_stops_polling_is_forgotten() -> None:
    async def story() -> None:
        visit = Visit()
        session = await (await visit.open()).join()
        await session.say('42["watch",{}]')
        await asyncio.sleep(46)
        assert visit.hub.viewers == 0
        assert visit.broadcaster.watching == []
        assert len(visit.hub.wheel) == 0
        assert not visit.app._addresses

    on_loop(story())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_time_is_up_to_the_moment_although_the_wheel_is_coarse(method: str) -> None:
    async def story() -> None:
        # given a session that was silent for exactly as long as it may be
        visit = Visit(ping_interval=0.3, ping_timeout=0.2, connect_timeout=1)
        session = await visit.open()
        await asyncio.sleep(0.501)

        # then its next request comes too late
        answer = await visit.answer(method, session.query, b"40")
        assert (answer.status, json.loads(answer.text)["code"]) == (400, 1)

    on_loop(story())


def test_who_joins_nothing_is_cut_on_polling_too() -> None:
    async def story() -> None:
        session = await Visit().open()
        began = asyncio.get_running_loop().time()
        assert await session.poll() == "1"
        assert 10 <= asyncio.get_running_loop().time() - began <= 10.5

    on_loop(story())


# Slow clients


def test_what_waits_is_bounded_and_resumed_when_it_was_fetched() -> None:
    async def story() -> None:
        # given a viewer that does not poll
        visit = Visit(viewer_buffer=1_024)
        session = await (await visit.open()).join()
        await session.say('42["watch",{}]')
        (watching,) = visit.broadcaster.watching

        # when more waits than its bound, then it is paused, and application events are dropped
        for _ in range(3):
            watching.deliver(Piece("states", b"[" + b"1" * 500 + b"]"))
        assert visit.broadcaster.said == ["pause"]
        assert visit.hub.emit("/", None, "message", b"[]") == 0
        assert visit.hub.dropped_emits == 1

        # and when it has fetched it, it goes on
        assert len((await session.poll()).split(SEPARATOR)) == 3
        assert visit.broadcaster.said == ["pause", "resume"]
        assert visit.hub.emit("/", None, "message", b"[]") == 1

    on_loop(story())


def test_who_asks_without_fetching_is_cut() -> None:
    async def story() -> None:
        visit = Visit(viewer_buffer=1_024, max_states_bytes=1_024, viewer_rate_limit=10_000_000)

        async def shout(sid: str) -> str:
            return "a" * 1_000

        visit.hub.on("shout", shout)
        session = await (await visit.open()).join()
        statuses = []
        for _ in range(10):
            statuses.append((await session.post('420["shout"]')).status)
            await settle()
        assert statuses[0] == 200
        assert statuses[-1] == 400
        assert visit.hub.viewers == 0

    on_loop(story())


# Closing


def test_a_client_that_closes_gets_a_noop_for_its_get() -> None:
    async def story() -> None:
        session = await Visit().open()
        asked = session.get()
        await settle()
        await session.say("1")
        assert (await asked.task).text == "6"
        assert (await session.get().task).status == 400

    on_loop(story())


def test_what_follows_a_close_in_a_payload_is_not_heard() -> None:
    async def story() -> None:
        visit = Visit()
        session = await (await visit.open()).join()
        await session.say("1", '42["watch",{}]', "6")
        assert visit.broadcaster.watching == []
        assert visit.broadcaster.said == ["leave"]

    on_loop(story())


@pytest.mark.parametrize("how", ["ended", "upgraded"])
def test_a_post_under_way_when_the_session_goes_is_not_swallowed(how: str) -> None:
    async def story() -> None:
        # given a POST of which a part has come
        session = await (await Visit().open()).join()
        asked = Ask(session.visit.app, "POST", "/socket.io/", session.query, (b"4",), more=True)
        await settle()

        # when the session ends, or goes over to a WebSocket, before the rest comes
        if how == "ended":
            session.visit.hub.polling[session.sid].abort()
        else:
            session.probe().say("5")
        asked.say(b"0")

        # then the client is not told that it was heard
        assert (await asked.task).status == 400

    on_loop(story())


def test_all_are_sent_away_when_the_server_stops() -> None:
    async def story() -> None:
        visit = Visit()
        sessions = [await (await visit.open()).join() for _ in range(3)]
        asked = [session.get() for session in sessions]
        await settle()
        await visit.hub.close_all(2)
        assert [(await ask.task).text for ask in asked] == ["1"] * 3
        assert visit.hub.viewers == 0
        assert (await visit.answer("GET", QUERY)).status == 503

    on_loop(story())


def test_who_leaves_its_namespace_stays_for_another() -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        await session.say("41", "40/test,")
        assert (await session.poll()).startswith("40/test,")

    on_loop(story())


# The upgrade


def test_the_upgrade_as_a_stock_client_makes_it() -> None:
    async def story() -> None:
        # given a session whose GET waits
        visit = Visit()
        session = await (await visit.open()).join()
        await session.say('420["watch",{}]')
        await session.poll()
        asked = session.get()
        await settle()

        # when a WebSocket of its sid opens, then the GET is answered by a noop, and the next one soon
        probe = session.probe()
        assert probe.heard() == [101]
        assert (await asked.task).text == "6"
        assert await session.poll() == "6"

        # when it probes, and then upgrades
        probe.say("2probe")
        assert probe.heard() == ["3probe"]
        visit.hub.emit("/", None, "message", b"[1]")
        probe.say("5")

        # then what waited comes first, everything later comes here, and the sid is good for nothing
        visit.hub.emit("/", None, "message", b"[2]")
        visit.broadcaster.watching[0].deliver(Piece("states", b"{}"))
        assert probe.heard() == ['42["message",1]', '42["message",2]', '42["states",{}]']
        assert (await session.get().task).status == 400
        assert await session.status() == 400
        assert visit.hub.viewers == 1
        assert not visit.app._addresses
        second = session.probe()
        assert second.heard() == [101, (8, b"\x03\xf0the session has its WebSocket already")]

        # and everything is given back in the end
        second.lose()
        probe.lose()
        assert not visit.hub.upgraded
        assert visit.hub.viewers == 0
        assert visit.broadcaster.watching == []

    on_loop(story())


@pytest.mark.parametrize("before", [0, 1, 16, 17, 38, 39])
def test_nothing_is_lost_or_doubled_wherever_the_upgrade_comes(before: int) -> None:
    async def story() -> None:
        # given forty events, of which so many are emitted before the upgrade, and half of them fetched; and bytes
        visit = Visit()
        answer = await visit.answer("GET", QUERY)
        session = Session(visit, json.loads(answer.text[1:])["sid"])
        await session.say("40")
        sid = json.loads((await session.poll())[2:])["sid"]
        heard: list[Any] = []
        probe = session.probe()
        probe.heard()
        for number in range(40):
            if number == before:
                probe.say("2probe")
                assert probe.heard() == ["3probe"]
                while len(heard) < number // 2:
                    heard += (await session.poll()).split(SEPARATOR)
                probe.say("5")
            visit.hub.emit("/", None, "message", b"[%d]" % number)
        visit.hub.send(sid, "bytes", b"\x01\x02")

        # when all is heard, then each came once and in order
        heard += probe.heard()
        assert heard[:40] == [f'42["message",{n}]' for n in range(40)]
        assert heard[40:] == ['451-["bytes",{"_placeholder":true,"num":0}]', b"\x01\x02"]

    on_loop(story())


def test_bytes_that_wait_become_binary_frames() -> None:
    async def story() -> None:
        visit = Visit()
        session = await visit.open()
        await session.say("40")
        sid = json.loads((await session.poll())[2:])["sid"]
        visit.hub.send(sid, "bytes", b"\x01\x02")
        probe = session.probe()
        probe.say("2probe")
        probe.say("5")
        assert probe.heard() == [
            101,
            "3probe",
            '451-["bytes",{"_placeholder":true,"num":0}]',
            b"\x01\x02",
        ]

    on_loop(story())


def test_an_answer_already_promised_to_a_get_goes_one_way_only() -> None:
    async def story() -> None:
        # given a GET that is about to take an event
        visit = Visit()
        session = await (await visit.open()).join()
        probe = session.probe()
        probe.say("2probe")
        probe.heard()
        asked = session.get()
        await settle()
        visit.hub.emit("/", None, "message", b"[1]")

        # when the upgrade comes before it does
        probe.say("5")

        # then the event comes here, and the GET gets a noop
        assert probe.heard() == ['42["message",1]']
        assert (await asked.task).text == "6"

    on_loop(story())


def test_a_ping_before_the_upgrade_is_answered_after_it() -> None:
    async def story() -> None:
        visit = Visit(ping_interval=0.3, ping_timeout=0.2)
        session = await (await visit.open()).join()
        probe = session.probe()
        await asyncio.sleep(0.32)
        probe.say("2probe")
        probe.say("5")
        assert probe.heard() == [101, "3probe", "2"]
        probe.say("3")
        await asyncio.sleep(0.32)
        assert probe.heard() == ["2"]
        probe.lose()

    on_loop(story())


def test_one_probe_at_a_time_and_another_after_it() -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        first = session.probe()
        second = session.probe()
        assert first.heard() == [101]
        assert second.heard()[0] == 400
        first.lose()
        third = session.probe()
        assert third.heard() == [101]

        # and polling goes on meanwhile
        session.visit.hub.emit("/", None, "message", b"[1]")
        assert await session.poll() == '42["message",1]'

    on_loop(story())


@pytest.mark.parametrize("message", ["4hello", "40", "5x", "2", "2probe2", "3", "6", "", b"x"])
def test_before_the_upgrade_only_the_probe_is_heard(message: str | bytes) -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        probe = session.probe()
        probe.heard()
        probe.say(message)
        assert probe.closed_with() == websocket.AGAINST_POLICY

        # and the session goes on where it was
        session.visit.hub.emit("/", None, "message", b"[1]")
        assert await session.poll() == '42["message",1]'

    on_loop(story())


def test_an_upgrade_without_a_probe_is_taken() -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        probe = session.probe()
        probe.say("5")
        probe.heard()
        session.visit.hub.emit("/", None, "message", b"[1]")
        assert probe.heard() == ['42["message",1]']

    on_loop(story())


def test_a_probe_answers_pings_and_closes() -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        probe = session.probe()
        probe.heard()
        probe.frame(b"hi", websocket.PING)
        assert probe.heard() == [(websocket.PONG, b"hi")]
        probe.frame(b"\x03\xe8", websocket.CLOSE)
        assert probe.heard() == [(websocket.CLOSE, b"\x03\xe8")]
        assert await session.status() == 200

    on_loop(story())


@pytest.mark.parametrize("message", ["2probe", "5"])
def test_a_probe_of_a_session_that_ended_is_closed(message: str) -> None:
    async def story() -> None:
        session = await (await Visit().open()).join()
        probe = session.probe()
        probe.heard()
        await session.say("1")
        probe.say(message)
        assert probe.closed_with() == websocket.GOING_AWAY

    on_loop(story())


def test_a_probe_that_says_nothing_is_cut() -> None:
    async def story() -> None:
        visit = Visit(ping_interval=100)
        session = await (await visit.open()).join()
        probe = session.probe()
        await asyncio.sleep(10.5)
        assert probe.transport.calls[-1] == "abort"
        probe.lose()
        assert visit.hub.viewers == 1

    on_loop(story())


def test_a_slow_poller_that_upgrades_is_resumed() -> None:
    async def story() -> None:
        visit = Visit(viewer_buffer=1_024)
        session = await (await visit.open()).join()
        await session.say('42["watch",{}]')
        visit.broadcaster.watching[0].deliver(Piece("states", b"[" + b"1" * 2_000 + b"]"))
        probe = session.probe()
        probe.say("2probe")
        probe.say("5")
        assert visit.broadcaster.said == ["pause", "resume"]

    on_loop(story())


def test_what_leads_to_a_close_while_probing_closes_both_when_the_server_stops() -> None:
    async def story() -> None:
        visit = Visit()
        session = await (await visit.open()).join()
        probe = session.probe()
        probe.heard()
        probe.transport.abort = probe.lose  # type: ignore[method-assign]
        await visit.hub.close_all(10, grace=0.1)
        assert probe.closed_with() == websocket.RESTARTING
        assert visit.hub.viewers == 0

    on_loop(story())


def test_packets_of_a_payload() -> None:
    data = base64.b64encode(b"\x01\x02").decode()
    assert engineio.parse_payload(f"4a{SEPARATOR}b{data}{SEPARATOR}3".encode()) == [
        ("4", "a"),
        ("4", b"\x01\x02"),
        ("3", ""),
    ]
    assert engineio.unpacked(engineio.binary_packet(b"\x00\xff")) == b"\x00\xff"
