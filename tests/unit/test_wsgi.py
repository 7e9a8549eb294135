"""WSGI on threads that only the application itself can hold."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Peer, fetch, get, serving

from statecast.server import wsgi

Start = Callable[..., Any]
Environ = dict[str, Any]


def post(body: bytes, more: bytes = b"", path: bytes = b"/") -> bytes:
    return get(path, b"Content-Length: %d\r\n" % len(body) + more, b"POST") + body


def echo(environ: Environ, start_response: Start) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def tell(environ: Environ, start_response: Start) -> list[bytes]:
    start_response("200 OK", [])
    return [
        json.dumps(
            {name: value for name, value in environ.items() if isinstance(value, str)}
        ).encode()
    ]


# The environment


def test_the_application_sees_the_request() -> None:
    with serving(tell) as server:
        more = b"X-Mood: happy\r\nX-Mood: calm\r\nContent-Type: a/b\r\n"
        more += b"X_Forwarded_For: 1\r\nContent_Length: 7\r\n"
        environ = json.loads(
            fetch(server, post(b"hug", more, b"/a%2Fb%C3%BC?x=%20")).body.split(b"\r\n")[1]
        )
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (
        "POST",
        "/a/b\u00c3\u00bc",
        "x=%20",
    )
    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"], environ["HTTP_X_MOOD"]) == (
        "3",
        "a/b",
        "happy,calm",
    )
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    # with an underscore it would look like the header that a proxy before us may have set
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_an_answer_has_one_date_whoever_else_gives_it_one() -> None:
    def dated(environ: Environ, start_response: Start) -> list[bytes]:
        start_response(
            "200 OK", [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Content-Length", "0")]
        )
        return []

    with serving(dated) as server:
        answer = fetch(server, get())
    assert answer.data.lower().count(b"\r\ndate:") == 1
    assert "1970" not in answer.headers["date"]


def test_a_chunked_body_has_a_length_like_any_other() -> None:
    with serving(tell) as server:
        request = get(b"/", b"Transfer-Encoding: chunked\r\n", b"POST") + b"3\r\nhug\r\n0\r\n\r\n"
        environ = json.loads(fetch(server, request).body.split(b"\r\n")[1])
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_TRANSFER_ENCODING" not in environ


# Bodies


def test_the_body_at_its_limit() -> None:
    with serving(echo, body_bytes=2_000) as server:
        for size, status in ((1_999, 200), (2_000, 200), (2_001, 413)):
            assert fetch(server, post(b"a" * size)).status == status
            chunked = b"%x\r\n" % size + b"a" * size + b"\r\n0\r\n\r\n"
            assert (
                fetch(
                    server, get(b"/", b"Transfer-Encoding: chunked\r\n", b"POST") + chunked
                ).status
                == status
            )
        assert fetch(server, post(b"a" * 3_000_000)).detail == "A body may have 2000 bytes."


def test_a_body_too_large_is_refused_before_it_is_sent() -> None:
    with serving(echo, body_bytes=2_000) as server, Peer(server) as peer:
        peer.send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\n"
            b"Expect: 100-continue\r\nContent-Length: 2001\r\n\r\n"
        )
        assert peer.read_until(b"\r\n").startswith(b"HTTP/1.1 413 ")


def test_a_body_that_is_asked_for_comes() -> None:
    with serving(echo) as server, Peer(server) as peer:
        peer.send(get(b"/", b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"POST"))
        assert peer.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert peer.send(b"hug").read_all().endswith(b"\r\n\r\nhug")


def test_half_a_body_takes_no_thread_and_has_its_time() -> None:
    # given one thread, and many who send half a body
    with serving(echo, wsgi_threads=1, body_timeout=0.5) as server:
        slow = [Peer(server) for _ in range(20)]
        for peer in slow:
            peer.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nhu")

        # then another is answered meanwhile, and they are told
        assert fetch(server, post(b"hug")).body == b"hug"
        for peer in slow:
            with peer:
                assert peer.read_until(b"seconds.").startswith(b"HTTP/1.1 408 ")


def test_all_bodies_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "MAX_HELD", 1_000)
    with serving(echo) as server, Peer(server) as first:
        first.send(
            b"POST / HTTP/1.1\r\nHost: localhost\r\n"
            b"Connection: close\r\nContent-Length: 901\r\n\r\n" + b"a" * 900
        )
        with Peer(server) as between:  # when it has been served, so has the half body before it
            between.send(get()).read_all()
        answer = fetch(server, post(b"b" * 200))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert first.send(b"a").read_all().endswith(b"a" * 901)
        assert fetch(server, post(b"b" * 2_000)).status == 200, "alone it may be larger"


# Answers


def test_an_answer_in_pieces() -> None:
    def app(environ: Environ, start_response: Start) -> Iterator[bytes]:
        write = start_response("201 Created", [("X-Mood", "happy")])
        write(b"a")
        yield b""
        yield b"bc"

    with serving(app) as server:
        answer = fetch(server, get())
        assert (answer.status, answer.headers["x-mood"]) == (201, "happy")
        assert answer.body == b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
        assert fetch(server, get(method=b"HEAD")).body == b""


def test_an_application_may_change_its_mind_until_the_first_byte() -> None:
    def app(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError("sad")
        except ValueError as error:
            start_response("418 I'm a teapot", [("Content-Length", "3")], (ValueError, error, None))
        return [b"tea"]

    with serving(app) as server:
        assert (fetch(server, get()).status, fetch(server, get()).body) == (
            418,
            b"tea",
        )


@pytest.mark.parametrize(
    "when", ["before", "between", "never started", "bad header", "bad length", "exit"]
)
def test_a_failing_application_tells_nothing_of_itself(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Environ, start_response: Start) -> Any:
        if when == "before":
            raise RuntimeError("secret")
        if when == "exit":
            raise SystemExit("secret")
        if when == "never started":
            return [b"secret"]
        if when == "bad header":
            start_response("200 OK", [("X", "a\r\nSet-Cookie: secret")])
        elif when == "bad length":
            start_response("200 OK", [("Content-Length", "6")])
            return [b"abc"]
        else:
            start_response("200 OK", [])
        return fail()

    def fail() -> Iterator[bytes]:
        yield b"abc"
        raise RuntimeError("secret")

    with serving(app) as server, caplog.at_level(logging.ERROR):
        answer = fetch(server, get())
    assert b"secret" not in answer.data
    assert b"Traceback" not in answer.data
    (record,) = caplog.records
    if when in ("between", "bad length"):
        # the client sees an answer that breaks off, and cannot take it for a whole one
        assert answer.body in (b"3\r\nabc\r\n", b"abc")
    else:
        assert answer.status == 500
        assert answer.detail.split()[-1].rstrip(".") in record.getMessage()


def test_a_broken_application_stops_nobody() -> None:
    def app(environ: Environ, start_response: Start) -> list[bytes]:
        raise BaseException("gone mad")

    with serving(app, wsgi_threads=1) as server:
        assert [fetch(server, get()).status for _ in range(5)] == [500] * 5


# Clients that leave, and slow ones


def test_a_leaving_client_ends_the_iterable() -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while not closed.is_set():
                yield b"" if went.is_set() else b"a"

        def close(self) -> None:
            closed.set()

    def app(environ: Environ, start_response: Start) -> Endless:
        start_response("200 OK", [])
        return Endless()

    went = threading.Event()
    with serving(app) as server:
        with Peer(server) as peer:
            peer.send(get()).read_until(b"a\r\n")
        went.set()  # from now on it says nothing, and is ended all the same
        assert closed.wait(20)


def test_slow_readers_hold_no_thread() -> None:
    """A page is written into a buffer of its own; the thread goes on to the next."""
    page = b"a" * 5_000_000

    def app(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(page)))])
        return [page]

    with serving(app, wsgi_threads=4) as server:
        slow = [Peer(server) for _ in range(20)]
        for peer in slow:
            peer.send(get())
        assert fetch(server, get(method=b"HEAD")).status == 200
        for peer in slow:
            with peer:
                assert peer.read_all().endswith(page)


def test_an_answer_waits_for_its_reader() -> None:
    said: queue.Queue[int] = queue.Queue()

    def app(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(1_000):
            said.put(number)
            yield b"a" * 65_536

    with serving(app) as server, Peer(server) as peer:
        peer.send(get()).read_until(b"aaa")
        assert said.qsize() < 1_000
        assert peer.read_all().count(b"a" * 65_536 + b"\r\n") >= 998
    assert said.qsize() == 1_000


def test_when_all_threads_are_taken_some_wait_and_the_rest_come_back() -> None:
    # given one thread, taken, and as many waiting as may
    begun, go = threading.Semaphore(0), threading.Event()

    def app(environ: Environ, start_response: Start) -> list[bytes]:
        begun.release()
        go.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with serving(app, wsgi_threads=1) as server:
        waiting = [Peer(server)]
        waiting[0].send(get())
        assert begun.acquire(timeout=20)
        for _ in range(wsgi.BACKLOG):
            waiting.append(Peer(server))
            waiting[-1].send(get())

        # when one more comes, then it is refused; what runs on the loop is answered all the time
        answer = fetch(server, get())
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert fetch(server, get(b"/readyz")).status == 200

        # and who waited is served
        go.set()
        for peer in waiting:
            with peer:
                assert peer.read_all().endswith(b"ok")


def test_waiting_for_a_thread_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "THREAD_TIMEOUT", 0.2)
    begun, go = threading.Semaphore(0), threading.Event()
    paths: list[str] = []

    def app(environ: Environ, start_response: Start) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        begun.release()
        go.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with serving(app, wsgi_threads=1) as server, Peer(server) as first:
        first.send(get(b"/first"))
        assert begun.acquire(timeout=20)
        assert fetch(server, get(b"/second")).detail == "No thread came free in time; come back."
        go.set()
        assert first.read_all().endswith(b"ok")
        assert fetch(server, get(b"/third")).body == b"ok"
    assert paths == ["/first", "/third"], "who was sent away is not served behind his back"
