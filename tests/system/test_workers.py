"""``statecast run --workers``: stock clients that begin with long polling, in any worker.

Each request of long polling comes to the worker whose turn it is; a new connection for each, from
the clients that we write here.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest
import socketio as stock
from raw_socket import POLLING, OnPolling, request
from server_process import ScriptProcess, ServerProcess
from stock_clients import NUMBERS, in_javascript

from tests.waiting import wait_for

APP = f"""
import asyncio, os
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)
tasks = set()

async def count_towards(sid):
    for number in range({NUMBERS}):
        live.emit("number", number, to=sid)
        await asyncio.sleep(0.004)

@live.on("connect")
async def connect(sid, auth):
    live.emit("auth", auth, to=sid)
    task = asyncio.get_running_loop().create_task(count_towards(sid))
    tasks.add(task)
    task.add_done_callback(tasks.discard)

live.on("count", lambda sid, number: number)
live.on("echo", lambda sid, *arguments: arguments)
live.on("process", lambda sid: os.getpid())
"""


def serving(folder: Path, workers: str, run: Path) -> ServerProcess:
    (folder / "counting.py").write_text(APP)
    options = ("counting:app", "--port", "0", "--workers", workers, "--log-level", "warning")
    return ServerProcess(folder, *options, XDG_RUNTIME_DIR=str(run))


def short_folder() -> Iterator[Path]:
    """A folder for sockets: the path of one has at most 107 bytes, and pytest's are long."""
    with tempfile.TemporaryDirectory(prefix="sc-", dir="/tmp") as name:
        yield Path(name)


run = pytest.fixture(short_folder)
run_of_module = pytest.fixture(scope="module")(short_folder)


@pytest.fixture(scope="module", params=["2", "4"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run_of_module: Path
) -> Iterator[ServerProcess]:
    started = serving(tmp_path_factory.mktemp("w"), request.param, run_of_module)
    yield started
    started.kill()


@pytest.mark.parametrize("transports", ["polling", "default"])
def test_stock_clients_of_javascript(node: Any, server: ServerProcess, transports: str) -> None:
    # when 50 clients connect at once, count, are counted towards, and leave
    all_said = in_javascript(node, server.address, transports, 50)
    # then all of it came to each, once, and the default ones were upgraded
    assert [said["error"] for said in all_said] == [None] * 50
    for said in all_said:
        assert said["auth"] == {"token": "abc"}
        assert said["bytes"] == [0, 1, 255]
        assert said["heard"] == list(range(NUMBERS))
        # the handlers of events that come in one POST run at once, on several threads
        assert sorted(said["acknowledged"]) == list(range(NUMBERS))
        assert said["transport"] == ("polling" if transports == "polling" else "websocket")


@pytest.mark.parametrize("transports", [None, ["polling"]], ids=["default", "polling"])
def test_the_stock_client_of_python(server: ServerProcess, transports: list[str] | None) -> None:
    for _ in range(4):
        client = stock.Client(reconnection=False)
        client.connect(server.address, transports=transports)
        try:
            assert [client.call("count", n) for n in range(10)] == list(range(10))
            assert client.call("echo", b"\0\1\xff") == b"\0\1\xff"
            assert client.transport() == ("websocket" if transports is None else "polling")
        finally:
            client.disconnect()


def test_each_request_on_a_connection_of_its_own(server: ServerProcess) -> None:
    # given sessions of clients whose requests come to whatever worker accepts them
    viewers = [OnPolling(server.address) for _ in range(8)]
    for number in range(5):
        for viewer in viewers:
            # when each sends an event, then it has the answer with its next polls
            assert viewer.post(b'42%d["count",%d]' % (number, number)) == 200
            answer = b"43%d[%d]" % (number, number)
            while answer not in viewer.get()[1].split(b"\x1e"):
                pass
    # and their sids begin with the ids of several workers, and nothing else in common
    assert len({viewer.path.partition("sid=")[2][:2] for viewer in viewers}) > 1


def test_a_killed_worker_ends_its_own_sessions_and_leaves_nothing(
    tmp_path: Path, run: Path
) -> None:
    server = serving(tmp_path, "2", run)
    (folder,) = run.iterdir()
    try:
        assert len(list(folder.iterdir())) == 4
        # given a client on long polling, which comes back when it is cut
        connected: queue.Queue[str] = queue.Queue()
        client = stock.Client(reconnection_delay=0.05, reconnection_delay_max=0.1)
        client.on("connect", lambda: connected.put(client.sid))
        client.connect(server.address, transports=["polling"])
        first = connected.get(timeout=30)
        process, others = client.call("process"), psutil.Process(server.process.pid).children()
        assert process in {one.pid for one in others}
        path = f"{POLLING}&sid={client.eio.sid}"
        # when its worker is killed
        os.kill(process, signal.SIGKILL)
        # then a session of it is unknown at once, as after a restart
        status, body = request(server.address, "POST", path, b"3")
        assert (status, json.loads(body)["code"]) == (400, 1)
        # and the client is back
        assert connected.get(timeout=30) != first
        assert client.call("process") != process
        client.disconnect()
        assert server.terminate() == 143
    finally:
        server.kill()
    # and nothing is left
    assert not folder.exists()


ROLLING = """
import os
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)

@app.get("/process")
def process():
    return str(os.getpid())

@app.post("/set/<int:number>")
def change(number):
    live.set(f"lamp{number % 5}", number=number)
    return ""
"""


def fetch(address: str, method: str = "GET") -> str:
    with urlopen(Request(address, method=method), timeout=30) as answer:
        return str(answer.read().decode())


def test_workers_restarted_one_after_the_other_lose_nobody(tmp_path: Path, run: Path) -> None:
    (tmp_path / "rolling.py").write_text(ROLLING)
    options = ("rolling:app", "--port", "0", "--workers", "2", "--log-level", "warning")
    server = ServerProcess(tmp_path, *options, XDG_RUNTIME_DIR=str(run))
    clients = [ScriptProcess("reconnecting_client.py", server.address) for _ in range(4)]
    numbers, over = itertools.count(), threading.Event()
    set_numbers: list[int] = []

    def change() -> None:
        while not over.is_set():
            number = next(numbers)
            fetch(f"{server.address}/set/{number}", "POST")
            set_numbers.append(number)

    def serves(process: int) -> bool:
        return fetch(f"{server.address}/process") == str(process)

    changing = threading.Thread(target=change)
    try:
        # given clients of both workers that have joined, and changes that go on
        for client in clients:
            assert json.loads(client.ask('{"joined": 0}'))["joined"] == 1
        changing.start()
        parent = psutil.Process(server.process.pid)
        for old in [worker.pid for worker in parent.children()]:
            before = {worker.pid for worker in parent.children()}
            # when one worker after the other is told to end, each when the last is back
            os.kill(old, signal.SIGTERM)
            wait_for(lambda old=old: old not in {one.pid for one in parent.children()})
            wait_for(lambda before=before: {one.pid for one in parent.children()} - before)
            (new,) = {one.pid for one in parent.children()} - before
            wait_for(lambda new=new: serves(new))
        over.set()
        changing.join(30)
        # then no request failed, and each client equals the store and has missed nothing
        assert set_numbers == list(range(len(set_numbers)))
        states = {f"lamp{number % 5}": {"number": number} for number in set_numbers}
        for client in clients:
            found = json.loads(client.ask(json.dumps({"states": states})))
            assert (found["states"], found["overtaken"]) == (states, [])
            assert found["joined"] > 1  # both workers ended, so each was cut at least once
    finally:
        over.set()
        for client in clients:
            client.end()
        server.kill()


def test_workers_whose_parent_was_killed_leave_nothing(tmp_path: Path, run: Path) -> None:
    server = serving(tmp_path, "2", run)
    (folder,) = run.iterdir()
    workers = psutil.Process(server.process.pid).children()
    server.kill()
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert not folder.exists()
