"""The server: begins, serves, ends."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import socketio as stock
from serving import TARGET, UPGRADE, Peer, empty_app, fetch, get, serving

from statecast.errors import BadSetting, StoreUnusable
from statecast.flask import create_app, runtime_of
from statecast.model import Change
from statecast.runtime import Runtime
from statecast.server import http_protocol, readiness, supervisor
from statecast.server import server as module
from statecast.server.server import BackgroundServer
from statecast.server.service_manager import Watchdog
from statecast.server.shutdown import StopRequest
from statecast.settings import Settings

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_page_its_states_and_a_viewer() -> None:
    """From a change to a stock client, through everything."""
    # given a server with our own pages
    app = create_app(Settings(store="memory:", port=0))
    server = BackgroundServer(runtime_of(app), app)
    server.start()
    try:
        assert b"<!doctype html>" in fetch(server, get()).body
        assert json.loads(fetch(server, get(b"/readyz")).body)["status"] == "ready"

        # when a viewer watches and the device changes
        received: Any = threading.Semaphore(0)
        states: list[Any] = []
        client = stock.Client()
        client.on("states", lambda data: (states.append(data), received.release()))
        client.connect(server.address)  # long polling first, as its defaults have it
        client.call("watch", {"devices": ["pillow"]})
        server.runtime.store.edit(Change("pillow", "merge", {"mood": "happy"}))
        while not any(
            item["state"] == {"mood": "happy"} for data in states for item in data["states"]
        ):
            assert received.acquire(timeout=20)

        # then everybody knows
        client.disconnect()
        assert b"happy" in fetch(server, get(b"/api/devices/pillow")).body
        assert b"happy" in fetch(server, get()).body
    finally:
        server.stop()


def test_a_server_in_the_background_leaves_nothing_behind() -> None:
    before = threading.enumerate()
    with serving() as server:
        address = server.address
        assert fetch(server, get()).status == 200
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert not [
        one
        for one in threading.enumerate()
        if one.name in ("statecast", "change-feed") and one.is_alive()
    ]
    # And the threads of its pools end by themselves
    began = [one for one in threading.enumerate() if one not in before]
    for thread in began:
        thread.join(20)
    assert [one.name for one in began if one.is_alive()] == []


def test_a_burst_of_connections_is_taken_in_few_turns_of_the_loop() -> None:
    # given clients that connect while the loop is busy
    wanted, go_on, done = 32, threading.Event(), threading.Event()
    with serving() as running, contextlib.ExitStack() as clients:
        loop, connections = running.server.hub.loop, running.server.server_state.connections
        assert loop is not None
        loop.call_soon_threadsafe(go_on.wait)
        for _ in range(wanted):
            clients.enter_context(Peer(running))

        # when it goes on
        seen = []

        def look() -> None:
            seen.append(len(connections))
            if seen[-1] < wanted:
                loop.call_soon(look)
            else:
                done.set()

        loop.call_soon_threadsafe(look)
        go_on.set()

        # then a turn takes several of them
        assert done.wait(20)
        assert len(set(seen)) <= wanted // 2


def test_what_is_wrong_is_said_before_it_serves(tmp_path: Path) -> None:
    def start(**settings: Any) -> None:
        BackgroundServer(
            Runtime(Settings(**{"store": "memory:", "port": 0} | settings)), empty_app
        ).start()

    with pytest.raises(BadSetting, match="--allow-public"):
        start(host="0.0.0.0")
    with pytest.raises(BadSetting, match="no source 'nonsense:x'"):
        start(source="nonsense:x")
    with pytest.raises(BadSetting, match="trusted_proxy"):
        start(trusted_proxy="nonsense")
    with pytest.raises(StoreUnusable):
        start(store=f"sqlite:///{tmp_path}/nowhere/x.db")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(BadSetting, match="is taken"),
    ):
        start(port=taken.getsockname()[1])


def test_the_one_who_serves_is_public_only_on_demand() -> None:
    with pytest.raises(BadSetting, match="--allow-public"):
        module.serve(Runtime(Settings(host="0.0.0.0", store="memory:")), empty_app)


def test_several_processes_need_a_store_that_they_can_share() -> None:
    with pytest.raises(BadSetting, match="in memory"):
        module.serve(Runtime(Settings(store="memory:", workers=2)), empty_app)


def test_several_processes_say_once_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a parent that must not come to start anything
    monkeypatch.setattr(supervisor, "supervise", lambda *_: pytest.fail("it started its processes"))
    many = {"workers": 4, "store": f"sqlite:///{tmp_path}/statecast.db"}
    # Then it finds itself what each of them would find
    with pytest.raises(StoreUnusable):
        module.serve(
            Runtime(Settings(**many | {"store": f"sqlite:///{tmp_path}/nowhere/x.db"})),
            empty_app,
        )
    with pytest.raises(BadSetting, match="no source 'nonsense:x'"):
        module.serve(Runtime(Settings(**many | {"source": "nonsense:x"})), empty_app)
    with pytest.raises(BadSetting, match="trusted_proxy"):
        module.serve(Runtime(Settings(**many | {"trusted_proxy": "nonsense"})), empty_app)


def test_the_watchdog_is_fed_only_while_the_store_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a server under a watchdog
    monkeypatch.setattr(readiness, "TIMEOUT", 0.05)
    monkeypatch.setattr(readiness, "FRESH", 0.0)
    app = create_app(Settings(store="memory:", port=0))
    runtime = runtime_of(app)
    asked, hangs, starved = threading.Event(), threading.Event(), threading.Event()
    fed: Queue[None] = Queue()
    meanwhile: list[int] = []
    ready = runtime.ready

    def ready_or_hung() -> tuple[bool, dict[str, Any]]:
        if hangs.is_set():
            before = fed.qsize()  # the loop asks after it has fed: nothing is on its way
            asked.wait(1)  # ten intervals; only a test that is over cuts it short
            meanwhile.append(fed.qsize() - before)
            hangs.clear()
            starved.set()
        return ready()

    monkeypatch.setattr(runtime, "ready", ready_or_hung)
    watchdog = Watchdog(0.1, lambda: fed.put(None))
    stop = StopRequest()
    server, taken = module.prepare(runtime, app, lambda: None, stop, watchdog=watchdog)
    thread = threading.Thread(target=module.run, args=(server, taken))
    thread.start()
    try:
        # then it is fed, and again
        fed.get(timeout=20)
        fed.get(timeout=20)
        # when the store hangs, then it is fed no more
        hangs.set()
        assert starved.wait(20)
        assert meanwhile == [0]
        # and once the store answers it is fed again
        while not fed.empty():
            fed.get()
        fed.get(timeout=20)
    finally:
        asked.set()
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_it_serves_in_the_main_thread_or_says_so() -> None:
    said: list[Exception] = []

    def elsewhere() -> None:
        try:
            module.serve(Runtime(Settings(store="memory:", port=0)), empty_app)
        except BadSetting as error:
            said.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(20)
    assert "BackgroundServer" in str(said[0])


SERVING = """
import gc, os, signal, sys
from statecast.runtime import Runtime
from statecast.server.server import serve
from statecast.settings import Settings

def announce(line):
    print("frozen", gc.get_freeze_count())
    print("youngest", gc.get_threshold()[0])
    os.kill(os.getpid(), signal.SIGTERM)

if len(sys.argv) > 1:
    gc.set_threshold(int(sys.argv[1]))
before = len(gc.get_objects())
print("before", before)
serve(Runtime(Settings(store="memory:", port=0)), lambda environ, begin: [], announce=announce)
"""


@pytest.mark.parametrize(
    ("own", "youngest"), [([], 5_000), (["300"], 300), (["0"], 0)], ids=["default", "own", "off"]
)
def test_a_process_that_serves_collects_rarely_and_nothing_of_its_start(
    own: list[str], youngest: int
) -> None:
    # when a program serves, which has a threshold of its own or not
    command = [sys.executable, "-c", SERVING, *own]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    # then full collections visit nothing that was there before the first viewer
    said = dict(line.split() for line in ended.stdout.splitlines())
    assert int(said["frozen"]) >= int(said["before"])
    # and the youngest objects are visited rarely, if the program does not say when
    assert int(said["youngest"]) == youngest


def test_viewers_are_sent_away_with_the_code_for_a_restart() -> None:
    with (
        serving() as server,
        Peer(server) as viewer,
        Peer(server) as polling,
        Peer(server) as stream,
    ):
        viewer.send(
            b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n"
        ).read_until(b"maxPayload")
        opened = fetch(server, get(b"/socket.io/?EIO=4&transport=polling")).body
        sid = json.loads(opened[1:])["sid"].encode()
        polling.send(
            b"GET /socket.io/?EIO=4&transport=polling&sid="
            + sid
            + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        stream.send(STREAM).read_until(b"text/event-stream")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert b"\x88" in (closed := viewer.read_until(b"come back"))
        assert (1012).to_bytes(2, "big") in closed
        viewer.send(b"\x88\x80\0\0\0\0")
        assert polling.read_all().endswith(b"\r\n\r\n1")
        assert b"retry:" in stream.read_all()
        stopping.join(20)
        assert not stopping.is_alive()


def test_a_request_under_way_is_finished_and_others_are_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "FIRST_REQUEST", 20.0)
    begun, go = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.set()
        go.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with (
        serving(app, shutdown_timeout=20) as server,
        Peer(server) as fresh,
        Peer(server) as busy,
        Peer(server) as idle,
    ):
        idle.send(HEALTH).read_until(b"alive")
        busy.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert begun.wait(20)

        # when it stops, then an idle connection ends, readiness is red, new requests are refused
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.read_all() == b""
        assert b" 503 " in fresh.send(HEALTH.replace(b"healthz", b"readyz")).read_all(), (
            "it had come before"
        )
        assert fetch(server, get(b"/readyz")).status == 503
        assert fetch(server, get()).headers["retry-after"] == "1"
        assert (
            fetch(
                server, b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n"
            ).status
            == 503
        )

        # and what was begun is finished
        go.set()
        answer = busy.read_all()
        assert b"connection: close" in answer
        assert answer.endswith(b"ok")
        stopping.join(20)
        assert not stopping.is_alive()


def test_who_does_not_end_is_cut() -> None:
    """A generator without an end, half a body, half a head, a reader who does not read."""
    ended = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"a" * 1_000
        finally:
            ended.set()

    with serving(app, shutdown_timeout=0.2) as server:
        peers = [Peer(server) for _ in range(3)]
        peers[0].send(get()).read_until(b"aaa")
        peers[1].send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na")
        peers[2].send(b"GET / HT")
        server.stop()
        assert server._thread is not None
        assert not server._thread.is_alive()
        assert ended.wait(20)
        for peer in peers:
            peer.socket.close()
