"""The keys of an identity provider: when they are read, and what happens when they cannot be."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from statecast.access import key_set
from statecast.access.key_set import (
    AGAIN_AFTER,
    DAY,
    FIRST_AGAIN_AFTER,
    OLD_AFTER,
    WAITING,
    KeySet,
)
from statecast.access.token_rules import BY_KEY
from statecast.errors import BadSetting, Malformed, Unavailable
from statecast.problems import Problems
from statecast.settings import Settings
from tests.identity_provider import Provider, public_jwk

PROVIDER = Provider()


class KeysAt:
    """A set of keys in a file, a clock that stands, and how often the file was read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.now, self.reads = path, 1_000.0, 0
        self.problems = Problems()
        self.ended = threading.Event()
        self.held: threading.Event | None = None
        """Reading waits for it."""
        self.keys = KeySet(str(path), BY_KEY, self.problems, monotonic=lambda: self.now)
        read = key_set.read

        def counted(location: str, time_limit: float) -> bytes:
            self.reads += 1
            if self.held is not None:
                assert self.held.wait(30)
            return read(location, time_limit)

        monkeypatch.setattr(key_set, "read", counted)

    def publish(self, *kids: str) -> None:
        keys = [public_jwk(PROVIDER.rsa, kid) for kid in kids]
        self.path.write_text(json.dumps({"keys": keys}))

    def wrong(self) -> list[str]:
        return [one.detail for one in self.problems.current()]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeysAt:
    return KeysAt(tmp_path / "jwks.json", monkeypatch)


def test_keys_are_read_once_and_again_for_one_that_is_not_there(at: KeysAt) -> None:
    # Given keys that were read
    at.publish("a")
    assert at.keys.find("a") and at.keys.find("a")
    assert at.reads == 1
    # When the provider has a new one within 30 seconds, a token with it is refused
    at.publish("a", "b")
    at.now += AGAIN_AFTER - 0.1
    assert at.keys.find("b") is None and at.reads == 1
    # And afterwards it counts; any number of unknown ids cost one reading
    at.now += 0.1
    assert at.keys.find("b") and at.reads == 2
    assert [at.keys.find(f"forged-{n}") for n in range(100)] == [None] * 100
    assert at.reads == 2


def test_a_key_that_was_withdrawn_stops_counting(at: KeysAt) -> None:
    at.publish("a", "b")
    assert at.keys.find("a")
    at.publish("b")
    # When the keys are old, a request gets them at once, and they are read meanwhile
    at.now += OLD_AFTER + 0.1
    at.held = threading.Event()
    assert at.keys.find("a") is not None
    reading = at.keys._reading
    at.held.set()
    assert reading is not None and reading.wait(30)
    # Then the next one sees what the provider has
    assert at.keys.find("a") is None and at.keys.find("b")


@pytest.mark.parametrize("what", ["gone", "no JSON", "no keys", "a huge document"])
def test_the_last_good_keys_stay_for_a_day(at: KeysAt, what: str) -> None:
    # Given keys, and a provider that fails from then on
    at.publish("a")
    assert at.keys.find("a")
    if what == "gone":
        at.path.unlink()
    else:
        at.path.write_text({"no JSON": "{", "no keys": '{"keys": []}'}.get(what, " " * 300_000))
    # Then unknown ids are refused, known ones count, and the problem is named once
    at.now += AGAIN_AFTER
    assert at.keys.find("b") is None and at.keys.find("a") and at.reads == 2
    assert len(at.wrong()) == 1 and str(at.path) in at.wrong()[0]
    assert str(at.path) not in at.problems.current()[0].sentence
    # And after a day nothing counts: the server cannot know which keys were withdrawn
    at.now += DAY - AGAIN_AFTER + 0.1
    with pytest.raises(Unavailable, match="cannot be read just now"):
        at.keys.find("a")
    # When the provider is back, so are the keys
    at.publish("a")
    at.now += FIRST_AGAIN_AFTER
    assert at.keys.find("a") and not at.wrong()


def test_a_provider_that_starts_later_is_asked_every_two_seconds(at: KeysAt) -> None:
    for attempts in (1, 2):
        for _ in range(10):
            with pytest.raises(Unavailable):
                at.keys.find("a")
        assert at.reads == attempts
        at.now += FIRST_AGAIN_AFTER
    at.publish("a")
    assert at.keys.find("a")


def test_requests_at_the_same_time_share_one_reading(at: KeysAt) -> None:
    # Given a reading that takes a while, and several requests meanwhile
    at.publish("a")
    at.held = threading.Event()
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(at.keys.find("a"))) for _ in range(WAITING)
    ]
    for thread in threads:
        thread.start()
    # When it ends
    at.held.set()
    for thread in threads:
        thread.join(30)
    # Then all have the key
    assert len(found) == WAITING and None not in found and at.reads == 1


def test_when_many_wait_already_a_request_is_answered_by_what_is_known(
    at: KeysAt,
) -> None:
    # Given a provider that hangs, and as many requests as may wait
    keys = KeySet(str(at.path), BY_KEY, at.problems, monotonic=lambda: at.now, waiting=0)
    at.publish("a")
    at.held = threading.Event()
    # Then a further one is answered at once, although nothing was read
    with pytest.raises(Unavailable):
        keys.find("a")
    reading = keys._reading
    assert reading is not None
    at.held.set()
    assert reading.wait(30)
    assert keys.find("a")
    # And so is one with an unknown key, while known ones count
    at.held.clear()
    at.now += AGAIN_AFTER
    assert keys.find("forged") is None and keys.find("a")
    at.held.set()


# From an address


class KeysServer(ThreadingHTTPServer):
    """Answers with what ``answer`` writes."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}/keys"


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], KeysServer]]:
    servers: list[tuple[KeysServer, threading.Thread]] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> KeysServer:
        server = KeysServer(answer)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join(10)


def answer_with(
    status: int, body: bytes, **fields: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in fields.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], KeysServer]


def test_keys_come_from_an_address(serve: Serve) -> None:
    server = serve(answer_with(200, PROVIDER.jwks()))
    keys = KeySet(server.address, BY_KEY, Problems())
    assert [keys.find(kid) is not None for kid in ("r1", "e1", "x1")] == [True, True, False]


def test_another_address_is_not_trusted(serve: Serve) -> None:
    """A redirect could lead to plain HTTP, or to a service of the own network."""
    other = serve(answer_with(200, PROVIDER.jwks()))
    server = serve(answer_with(302, b"", Location=other.address))
    problems = Problems()
    with pytest.raises(Unavailable):
        KeySet(server.address, BY_KEY, problems).find("r1")
    assert "302" in problems.current()[0].detail


@pytest.mark.parametrize("status", [404, 500, 204])
def test_an_answer_without_keys(serve: Serve, status: int) -> None:
    server = serve(answer_with(status, b"" if status == 204 else b"no"))
    with pytest.raises(Unavailable):
        KeySet(server.address, BY_KEY, Problems()).find("r1")


def test_an_endless_answer_is_not_read_to_its_end(serve: Serve) -> None:
    stopped = threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        answer_with(200, b"[")(request)
        try:
            while True:
                request.wfile.write(b" " * 65_536)
        except OSError:
            stopped.set()

    problems = Problems()
    with pytest.raises(Unavailable):
        KeySet(serve(endless).address, BY_KEY, problems).find("r1")
    assert stopped.wait(30)
    assert "at most 262,144 bytes" in problems.current()[0].detail


def test_a_provider_that_never_answers_holds_a_request_for_the_limit_only(serve: Serve) -> None:
    # Given a provider that takes the request and says nothing until the test ends
    ended = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        ended.wait(30)

    keys = KeySet(serve(silent).address, BY_KEY, Problems(), time_limit=0.05)
    # When its keys are asked for, the call returns although nothing came
    with pytest.raises(Unavailable):
        keys.find("r1")
    ended.set()


@pytest.mark.parametrize(
    ("location", "is_fine"),
    [
        ("https://id.example/keys", True),
        ("https://id.example:8443/a/keys?v=2", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]/keys", True),
        ("keys.json", True),
        ("/etc/statecast/keys.json", True),
        ("", True),
        ("http://id.example/keys", False),
        ("http://127.0.0.1.id.example/keys", False),
        ("http://localhost.id.example/keys", False),
        ("HTTP://id.example/keys", False),
        ("ftp://id.example/keys", False),
        ("file:///etc/passwd", False),
        ("https:///keys", False),
        ("https://id.example:port/keys", False),
        ("https://[::1/keys", False),
    ],
)
def test_which_addresses_of_keys_are_taken(location: str, is_fine: bool) -> None:
    if is_fine:
        assert Settings(jwt_jwks=location).jwt_jwks == location
    else:
        with pytest.raises(BadSetting, match="The setting jwt_jwks must be an address"):
            Settings(jwt_jwks=location)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"[]", "no set of 1 to 100 keys"),
        (b"{}", "no set of 1 to 100 keys"),
        (b'{"keys": {}}', "no set of 1 to 100 keys"),
        (json.dumps({"keys": [{}] * 101}).encode(), "no set of 1 to 100 keys"),
        (b'{"keys": []}', "None of the keys"),
        (json.dumps({"keys": [public_jwk(PROVIDER.rsa, "a")] * 2}).encode(), "the same id"),
        (b'{"keys": [], "keys": []}', "twice"),
        (b"\xff", "UTF-8"),
        (b"[" * 60_000, "deep"),
    ],
)
def test_documents_that_are_refused(document: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        key_set.parse(document, BY_KEY)


def test_only_the_algorithms_of_the_settings_count() -> None:
    assert set(key_set.parse(PROVIDER.jwks(), ["ES256"])) == {"e1", None}
    assert set(key_set.parse(PROVIDER.jwks(), ["RS256"])) == {"r1", None}
    assert set(key_set.parse(PROVIDER.jwks(), BY_KEY)) == {"r1", "e1"}
