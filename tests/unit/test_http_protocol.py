"""HTTP with limits: every limit at its edge, over real sockets."""

from __future__ import annotations

import contextlib
import gc
import logging
import random
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import httptools
import psutil
import pytest
from serving import TARGET, UPGRADE, Peer, fetch, get, serving

from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.http_protocol import (
    MAX_PIPELINED,
    TRANSITIONS,
    HttpLimits,
    HttpState,
    LimitedHttpProtocol,
)
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[BackgroundServer]:
    with serving(header_timeout=0.3) as running:
        yield running


def test_the_parser_says_where_http_ended() -> None:
    seen: list[bytes] = []

    class Protocol:
        def on_url(self, url: bytes) -> None:
            seen.append(url)

    parser = httptools.HttpRequestParser(Protocol())
    request = b"GET / HTTP/1.1\r\n" + UPGRADE + b"\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as upgrade:
        parser.feed_data(request + b"rest")
    assert upgrade.value.args == (len(request),)
    assert not issubclass(httptools.HttpParserUpgrade, httptools.HttpParserError)
    assert issubclass(httptools.HttpParserCallbackError, httptools.HttpParserError)


# Time


@pytest.mark.parametrize("begin", [b"", b"GET / HT", HEALTH + b"X: y\r\n", b"\r\n\r\n"])
def test_a_head_has_its_time(hasty: BackgroundServer, begin: bytes) -> None:
    # given a client that says nothing, or half
    answer = fetch(hasty, begin)

    # then it is told so, and the connection ends
    assert answer.status == 408
    assert answer.detail == "The request did not come within 0.3 seconds."


def test_drops_of_a_head_buy_no_time(hasty: BackgroundServer) -> None:
    with Peer(hasty) as peer:
        peer.send(HEALTH)
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.02):
                try:
                    peer.send(b"X: y\r\n")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        received = peer.read_until(b"seconds.")
        stop.set()
        dripping.join()
    assert b" 408 " in received


def test_a_second_head_has_its_time_too(hasty: BackgroundServer) -> None:
    with Peer(hasty) as peer:
        peer.send(HEALTH + b"\r\n").read_until(b"alive")
        assert b" 408 " in peer.send(b"GET /").read_all()


# Size


def test_the_head_at_its_limit(server: BackgroundServer) -> None:
    for size, status in ((32_767, 200), (32_768, 200), (32_769, 431)):
        short = get(b"/healthz", b"X: \r\n")
        assert (
            fetch(server, get(b"/healthz", b"X: " + b"a" * (size - len(short)) + b"\r\n")).status
            == status
        )
    assert (
        fetch(server, get(b"/healthz", b"X: " + b"a" * 32_768)).detail
        == "A request's head may have 32768 bytes."
    )


def test_the_number_of_headers_at_its_limit(server: BackgroundServer) -> None:
    for more, status in ((97, 200), (98, 200), (99, 431)):
        assert fetch(server, get(b"/healthz", b"X: y\r\n" * more)).status == status


def test_the_url_at_its_limit(server: BackgroundServer) -> None:
    for size, status in ((8_191, 200), (8_192, 200), (8_193, 414)):
        assert fetch(server, get(b"/healthz?" + b"a" * (size - 9))).status == status


def test_endless_lines_leave_the_memory_flat(server: BackgroundServer) -> None:
    """A header, a URL and a trailer of 100 MB; the parser would keep each."""
    megabyte = b"a" * 1_000_000
    before = psutil.Process().memory_info().rss
    for begin, status in (
        (HEALTH + b"X: ", b" 431 "),
        (b"GET /", b" 414 "),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
            b" 431 ",
        ),
    ):
        with Peer(server) as peer:
            peer.send(begin)
            try:
                for _ in range(100):
                    peer.send(megabyte)
            except OSError:
                pass  # the server does not listen for ever
            assert status in peer.socket.recv(20)
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_trailers_do_not_reach_the_application() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ.get("HTTP_AUTHORIZATION", "none").encode(), environ["wsgi.input"].read()]

    with serving(app) as server:
        body = b"3\r\nabc\r\n0\r\nAuthorization: stolen\r\n\r\n"
        assert (
            b"none"
            in fetch(
                server, get(b"/", b"Transfer-Encoding: chunked\r\n", b"POST")[:-2] + b"\r\n" + body
            ).body
        )


# Requests that two readers could read differently


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"Content-Length: +3\r\n\r\nabc", 400),
        (b"Content-Length: 99999999999999999999999\r\n\r\nabc", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"X : y\r\n\r\n", 400),
        (b"X: a\r\n b\r\n\r\n", 400),
        (b"X: a\0b\r\n\r\n", 400),
        (b"Host: localhost\r\n\r\n", 400),
    ],
)
def test_doubtful_framing_is_refused(
    server: BackgroundServer, request_: bytes, status: int
) -> None:
    answer = fetch(
        server,
        b"POST / HTTP/1.1\r\nHost: localhost\r\n" + request_ + b"GET /healthz HTTP/1.1\r\n\r\n",
    )
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert answer.detail
    assert b"alive" not in answer.data


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.7", 400),
        (b"PRI * HTTP/2.0", 400),
        (b"FOO / HTTP/1.1", 400),
        (b"CONNECT example.test:443 HTTP/1.1", 405),
        (b"OPTIONS * HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
)
def test_what_is_not_our_http_is_refused(
    server: BackgroundServer, line: bytes, status: int
) -> None:
    assert fetch(server, line + b"\r\nHost: localhost\r\n\r\n").status == status


def test_http_1_0_is_answered_and_closed(server: BackgroundServer) -> None:
    answer = fetch(server, b"GET /healthz HTTP/1.0\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
    assert answer.status == 200
    assert answer.data.count(b"alive") == 1
    assert (
        fetch(server, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").status
        == 501
    )


# Pipelining


def test_pipelined_requests_are_answered_in_order(server: BackgroundServer) -> None:
    received = fetch(server, HEALTH + b"\r\n" + get(b"/statecast/page.css", method=b"HEAD")).data
    assert received.index(b"alive") < received.index(b"text/css")


def test_a_bad_request_does_not_break_the_answer_before_it(server: BackgroundServer) -> None:
    # given a good request and rubbish behind it
    answer = fetch(server, HEALTH + b"\r\nrubbish\r\n\r\n")

    # then the first is answered as if alone, and the connection ends
    assert answer.body == b'{"status":"alive"}'


def test_a_client_that_leaves_has_left_all_its_requests() -> None:
    """uvicorn tells only the newest request; the one that is answered would go on for ever."""
    begun, ended = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])

        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    begun.set()
                    yield b""
            finally:
                ended.set()

        return pieces()

    with serving(app) as server:
        with Peer(server) as peer:
            peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEALTH + b"\r\n")
            assert begun.wait(20)
        assert ended.wait(20)


def test_rubbish_after_a_promise_of_more(
    server: BackgroundServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The application asks for the rest of a body when its sender has been turned away already."""
    more = b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
    with caplog.at_level(logging.ERROR):
        answer = fetch(server, get(b"/", more, b"POST") + b"ZZ\r\n")
    assert answer.status == 400
    assert not caplog.records


def test_the_pipeline_has_a_bound(server: BackgroundServer) -> None:
    received = fetch(server, (HEALTH + b"\r\n") * 1_000).data
    assert received.count(b"alive") == MAX_PIPELINED + 1


# Hosts


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:80", b"127.0.0.1:8000", b"[::1]:8000", b"pillow.example."]
)
def test_our_own_names(host: bytes) -> None:
    with serving(allow_hosts="pillow.example") as server:
        assert (
            fetch(
                server, b"GET / HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n"
            ).status
            == 200
        )


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example", b"192.0.2.1", b"127.0.0.1.evil.example"]
)
def test_a_foreign_host_is_refused_except_for_health(server: BackgroundServer, host: bytes) -> None:
    head = b" HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n"
    assert "allow_hosts" in fetch(server, b"GET /" + head + b"\r\n").detail
    assert fetch(server, b"GET /" + head + b"\r\n").status == 421
    assert fetch(server, b"GET " + TARGET + head + UPGRADE + b"\r\n").status == 421
    assert fetch(server, b"GET /healthz" + head + b"\r\n").status == 200
    assert fetch(server, b"GET /readyz?x" + head + b"\r\n").status == 200


def test_a_browser_reads_a_page_about_the_name_and_what_to_set(server: BackgroundServer) -> None:
    # given a browser that opens the server under a name which no setting allows
    accept = b"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
    head = b" HTTP/1.1\r\nConnection: close\r\nHost: Pi.Lan:8000\r\n"
    answer = fetch(server, b"GET /" + head + accept + b"\r\n")
    # then it gets a page for people, with the name and the flag
    assert answer.status == 421
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert "This server has another name" in text and "--allow-hosts pi.lan" in text
    # and what the server answers itself later is such a page too
    refused = fetch(server, b"POST /healthz" + get(more=accept)[5:])
    assert refused.status == 405 and b"<h1>Method Not Allowed</h1>" in refused.body


@pytest.mark.parametrize(
    "host", [b"", b"a b", b"a/b", b"localhost, localhost", b"localhost:x", b"<script>"]
)
def test_a_host_that_is_none(server: BackgroundServer, host: bytes) -> None:
    assert fetch(server, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").status == 400
    assert fetch(server, b"GET /healthz HTTP/1.1\r\n\r\n").status == 400


def test_an_absolute_url_is_its_path_and_must_name_the_same_host(server: BackgroundServer) -> None:
    end = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert fetch(server, b"GET http://localhost/healthz" + end).body == b'{"status":"alive"}'
    assert fetch(server, b"GET http://evil.example/healthz" + end).status == 400
    assert fetch(server, b"GET http://localhost:81/healthz" + end).status == 400


# Connections


def test_too_many_connections_in_all() -> None:
    with serving(max_connections=1) as server:
        with Peer(server) as first:
            first.send(HEALTH + b"\r\n").read_until(b"alive")
            answer = fetch(server, get(b"/healthz"))
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.detail
            # the first still is served
            first.send(HEALTH + b"\r\n").read_until(b"alive")
            assert first.send(HEALTH + b"Connection: close\r\n\r\n").read_all()
        assert fetch(server, get(b"/healthz")).status == 200


def test_the_limits_of_an_address_count_for_the_proxys_clients() -> None:
    """Only viewers and requests under way count, for the client that the proxy names."""
    with serving(trusted_proxy="127.0.0.1", connections_per_address=1) as server:

        def upgrade(client: bytes) -> bytes:
            return (
                b"GET "
                + TARGET
                + b" HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: "
                + client
                + b"\r\n"
                + UPGRADE
            )

        with Peer(server) as first, Peer(server) as other:
            # given one client's viewer
            first.send(upgrade(b"203.0.113.7") + b"\r\n").read_until(b"maxPayload")

            # then its second is refused, also with a lie in front, and another client's is not
            answer = fetch(server, upgrade(b"198.51.100.1, 203.0.113.7") + b"\r\n")
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            assert answer.detail == "Too many open connections from this address."
            assert fetch(server, get(b"/", b"X-Forwarded-For: 203.0.113.7\r\n")).status == 429
            other.send(upgrade(b"203.0.113.8") + b"\r\n").read_until(b"maxPayload")
            assert server.server.limiter.total == 2

            # when the viewer leaves, then its place is free
            first.send(b"\x88\x80\0\0\0\0").read_all()
        assert fetch(server, get(b"/", b"X-Forwarded-For: 203.0.113.7\r\n")).status == 200


def test_who_the_client_is() -> None:
    seen: list[tuple[str, str]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append((environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]))
        start_response("200 OK", [("Content-Length", "0")])
        return []

    forwarded = get(b"/", b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n")
    with serving(app, trusted_proxy="127.0.0.0/8") as trusting:
        fetch(trusting, forwarded)
    with serving(app) as server:
        fetch(server, forwarded)
    assert seen == [("203.0.113.7", "https"), ("127.0.0.1", "http")]


# What all connections share


def limits(**settings: Any) -> HttpLimits:
    loaded = Settings(**settings)
    return HttpLimits(loaded, ConnectionLimiter(loaded), lambda address, sentence: None)


def test_a_websocket_is_counted_until_it_is_lost() -> None:
    # given a connection that became a WebSocket
    one = limits()
    one.limiter.acquire()
    key = one.limiter.acquire_address("203.0.113.7", 0.0)
    assert one.limiter.total == 1

    # when it is lost, then its place is free
    one.websocket_lost(key)
    assert one.limiter.total == 0
    assert not one.limiter.per_address


# States


def test_every_state_but_the_first_is_reached_and_the_last_ones_are_final() -> None:
    reached = set().union(*TRANSITIONS.values())
    assert TRANSITIONS.keys() == set(HttpState)
    assert reached == set(HttpState) - {HttpState.CONNECTING}
    assert {state for state, following in TRANSITIONS.items() if not following} == {
        HttpState.UPGRADED,
        HttpState.CLOSED,
    }


def test_the_states_of_a_connection(
    server: BackgroundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the table draws is what happens: each request and the states it goes through."""
    entered: dict[LimitedHttpProtocol, list[str]] = {}
    enter = LimitedHttpProtocol._enter

    def note(self: LimitedHttpProtocol, state: HttpState) -> None:
        entered.setdefault(self, []).append(state.name)
        enter(self, state)

    monkeypatch.setattr(LimitedHttpProtocol, "_enter", note)
    keep_alive = HEALTH + b"\r\n"
    old = b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    h2c = HEALTH + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    websocket = b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n"
    close_frame = b"\x88\x80\0\0\0\0"
    for request, expected in (
        (get(b"/healthz"), "NEW HEAD LAST_BODY FINISHED CLOSED"),
        (keep_alive + get(b"/healthz"), "NEW HEAD BODY HEAD LAST_BODY FINISHED CLOSED"),
        (b"rubbish\r\n\r\n", "NEW HEAD DISCARDING CLOSED"),
        (keep_alive + b"rubbish\r\n\r\n", "NEW HEAD BODY HEAD DISCARDING CLOSED"),
        (old + b"GET", "NEW HEAD LAST_BODY FINISHED DISCARDING CLOSED"),
        (h2c, "NEW HEAD LAST_BODY FINISHED DISCARDING CLOSED"),
        (websocket + close_frame, "NEW UPGRADED"),
        (b"\r\n" + websocket + close_frame, "NEW HEAD UPGRADING UPGRADED"),
    ):
        before = len(entered)
        fetch(server, request)
        with Peer(server) as last:  # the one before it is lost by then
            last.send(HEALTH + b"\r\n").read_until(b"alive")
        assert list(entered.values())[before] == expected.split(), request

    # and one whose client leaves without a word
    before = len(entered)
    with Peer(server), Peer(server) as last:
        last.send(HEALTH + b"\r\n").read_until(b"alive")
    with Peer(server) as last:
        last.send(HEALTH + b"\r\n").read_until(b"alive")
    assert list(entered.values())[before] == ["NEW", "CLOSED"]


# Upgrades


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + UPGRADE, 404),
        (b"GET /healthz HTTP/1.1\r\n" + UPGRADE, 404),
        (b"POST " + TARGET + b" HTTP/1.1\r\n" + UPGRADE, 400),
        (b"GET " + TARGET + b" HTTP/1.1\r\nContent-Length: 5\r\n" + UPGRADE, 400),
        (b"GET " + TARGET + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + UPGRADE, 400),
    ],
)
def test_only_the_live_endpoint_is_upgraded(
    server: BackgroundServer, request_: bytes, status: int
) -> None:
    assert fetch(server, request_ + b"Host: localhost\r\n\r\n").status == status


def test_an_upgrade_to_something_else_is_plain_http(server: BackgroundServer) -> None:
    more = b"Upgrade: h2c\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    answer = fetch(server, get(b"/healthz", more).replace(b"close", b"Upgrade"))
    assert (answer.status, answer.headers["connection"], answer.body) == (
        200,
        "close",
        b'{"status":"alive"}',
    )


def test_an_upgrade_behind_an_unfinished_request_is_not_done() -> None:
    going_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        going_on.wait(20)
        return [b"ok"]

    with serving(app) as server, Peer(server) as peer:
        peer.send(
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET "
            + TARGET
            + b" HTTP/1.1\r\nHost: localhost\r\n"
            + UPGRADE
        )
        peer.send(b"\r\n")
        going_on.set()
        assert peer.read_all().endswith(b"\r\n\r\nok")


def test_words_behind_an_upgrade_are_the_viewers(server: BackgroundServer) -> None:
    """A close frame in the same packet as the head."""
    request = (
        b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n\x88\x80\0\0\0\0"
    )
    assert fetch(server, request).data.endswith(b"\x88\x00")


def test_a_connection_that_became_a_websocket_is_forgotten(server: BackgroundServer) -> None:
    """A viewer must not keep the HTTP connection that it was; no collector is needed for that."""
    connections: list[weakref.ref[LimitedHttpProtocol]] = []
    begin = LimitedHttpProtocol.connection_made

    def remember(self: LimitedHttpProtocol, transport: Any) -> None:
        connections.append(weakref.ref(self))
        begin(self, transport)

    gc.disable()
    try:
        LimitedHttpProtocol.connection_made = remember  # type: ignore[method-assign]
        with Peer(server) as peer:
            peer.send(
                b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n"
            ).read_until(b"max")
            peer.send(b"\x89\x80\0\0\0\0").read_until(
                b"\x8a\x00"
            )  # a ping: the loop has been around
            assert [one() for one in connections] == [None]
    finally:
        LimitedHttpProtocol.connection_made = begin  # type: ignore[method-assign]
        gc.enable()


# Readers


def test_a_client_that_half_closes_still_gets_its_answer() -> None:
    """Half-closing clients, like ``printf ...

    | nc -N``. They must say that a request is the last.
    """
    received, go = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        received.set()
        go.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def half_close(server: BackgroundServer, request: bytes) -> Peer:
        received.clear()
        peer = Peer(server).send(request)
        assert received.wait(20)
        peer.socket.shutdown(socket.SHUT_WR)
        return peer

    with serving(app) as server:
        with half_close(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as gone:
            assert gone.read_all() == b""
        last = [half_close(server, get()), half_close(server, b"GET / HTTP/1.0\r\n\r\n")]
        go.set()
        for peer in last:
            with peer:
                assert peer.read_all().endswith(b"ok")


def test_a_frozen_reader_is_cut() -> None:
    left = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])

        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    yield b"a" * 65_536
            finally:
                left.set()

        return pieces()

    with serving(app, write_timeout=0.3) as server, Peer(server) as peer:
        peer.send(get())
        assert left.wait(20), "the application still writes to nobody"


def test_nothing_is_left_when_all_have_gone(server: BackgroundServer) -> None:
    for request in (get(b"/healthz"), get(b"/"), b"rubbish\r\n\r\n", get(b"/nothing", UPGRADE)):
        fetch(server, request)
    with Peer(server) as last:  # those before it are lost by then
        last.send(HEALTH + b"\r\n").read_until(b"alive")
        assert server.server.limiter.total == 1
        assert list(server.server.limiter.per_address.values()) == [1]


PARTS = (
    b"GET / HTTP/1.1\r\n",
    b"POST /x HTTP/1.1\r\n",
    b"GET /events HTTP/1.0\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"GET http://localhost/ HTTP/1.1\r\n",
    b"GET " + TARGET + b" HTTP/1.1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"Host: localhost\r\n",
    b"Host: a:b:c\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\n",
    b"Upgrade: h2c\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"\0",
    b"\xff",
    b"X-Forwarded-For: 203.0.113.7\r\n",
    b"X-Forwarded-For: ,,[::\r\n",
    UPGRADE,
    b"\x88\x80\0\0\0\0",
    b"\x81\x82\0\0\0\x0040",
)


def test_a_thousand_requests_that_are_nearly_right_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dice = random.Random(2026)
    with serving(header_timeout=0.3, trusted_proxy="127.0.0.1", shutdown_timeout=0) as server:
        for _ in range(1_000):
            said = bytearray(
                b"".join(dice.choices(PARTS, k=dice.randint(1, 12))) * dice.choice([1, 1, 3])
            )
            for _ in range(dice.choice([0, 0, 1, 3])):
                said[dice.randrange(len(said))] = dice.randrange(256)
            with Peer(server) as peer, contextlib.suppress(OSError):
                for half in (said[: len(said) // 2], said[len(said) // 2 :]):
                    peer.send(bytes(half))
        with Peer(server) as last:
            while server.server.limiter.total > 1 or server.server.limiter.per_address:
                last.send(HEALTH + b"\r\n").read_until(b"alive")
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
