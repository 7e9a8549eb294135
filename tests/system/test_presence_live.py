"""Who is watching, in real processes: a viewer counts while it is there, and no longer."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from server_process import ServerProcess
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from statecast.flask import create_app, runtime_of
from statecast.settings import Settings
from waiting import wait_for

VIEWERS = 50
APP = """
import os
from flask import Flask
from statecast import Statecast

app = Flask(__name__)
live = Statecast(app)
live.set("pillow", mood="happy")
live.on("process", lambda sid: os.getpid())

@live.on("connect")
def connect(sid, auth):
    live.name_viewer(sid, auth.get("name"))
    live.enter(sid, "family")
"""


UNSHARE = ["unshare", "--net", "--map-root-user"]


def has_networks() -> bool:
    """Whether this user may make a network of its own."""
    return shutil.which("unshare") is not None and not subprocess.call(
        [*UNSHARE, "true"], stderr=subprocess.DEVNULL
    )


@pytest.mark.skipif(not has_networks(), reason="needs a network namespace (unshare, on Linux)")
def test_a_reader_of_events_that_vanishes_does_not_count_for_long() -> None:
    # Given a reader of events, when its network loses all packets from then on
    script = Path(__file__).with_name("vanishing_reader.py")
    ended = subprocess.run(
        [*UNSHARE, sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    # Then it is gone once TCP has repeated itself for as long as a ping may be answered
    assert ended.stdout.split("\n") == ["comes", "is gone", ""]


class Viewer:
    """A client of the wire. A thread of its own answers pings and keeps what it is told."""

    def __init__(self, stack: ExitStack, address: str, name: str = "", *devices: str) -> None:
        url = address.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        self.socket = stack.enter_context(connect(url))
        self.socket.recv()
        self.socket.send("40" + json.dumps({"name": name or None}))
        self.socket.recv()
        self.process: int = json.loads(self.answer('421["process"]')[3:])[0]
        request = {"devices": devices or ["pillow"], "presence": True}
        self.answer(f"422{json.dumps(['watch', request])}")
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        reader = threading.Thread(target=self._read)
        reader.start()
        stack.callback(reader.join)
        stack.callback(self.socket.close)

    def answer(self, packet: str) -> str:
        self.socket.send(packet)
        while not (answer := str(self.socket.recv())).startswith("43"):
            pass
        return answer

    def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                packet = str(self.socket.recv())
                if packet == "2":
                    self.socket.send("3")
                elif packet.startswith('42["watching"'):
                    self._told.put(json.loads(packet[2:])[1][0])

    def told(self, count: int) -> dict[str, Any]:
        """What it is told when there are so many."""
        while (one := self._told.get(timeout=30))["count"] != count:
            pass
        return one


def asked(server: ServerProcess) -> dict[str, Any]:
    """What REST says, from whatever worker."""
    with urllib.request.urlopen(f"{server.address}/api/devices/pillow/viewers") as answer:
        said: dict[str, Any] = json.load(answer)
        return said


@pytest.fixture
def server(store_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    (tmp_path / "watched.py").write_text(APP)
    started = ServerProcess(
        tmp_path, "watched:app", "--port", "0", "--workers", "2", "--log-level", "error"
    )
    yield started
    started.kill()


def test_the_viewers_of_a_killed_worker_are_no_ghosts(server: ServerProcess) -> None:
    with ExitStack() as stack:
        # given viewers of two workers, some of whom have names, one of whom watches by a pattern
        viewers = [Viewer(stack, server.address, "Ada", "*", "pillow")]
        viewers += [Viewer(stack, server.address) for _ in range(VIEWERS - 2)]
        viewers += [Viewer(stack, server.address, "Bob")]
        assert len({viewer.process for viewer in viewers}) == 2
        everyone = {"device": "pillow", "count": VIEWERS, "names": ["Ada", "Bob"]}
        for viewer in viewers:
            assert viewer.told(VIEWERS) == everyone
        wait_for(lambda: asked(server) == everyone)
        # when the worker of one of them is killed
        killed = viewers[-1].process
        os.kill(killed, signal.SIGKILL)
        # then only those of the other worker count, for every viewer and in REST
        left = [viewer for viewer in viewers if viewer.process != killed]
        names = ["Ada"] if viewers[0] in left else []
        rest = {"device": "pillow", "count": len(left), "names": names}
        for viewer in left:
            assert viewer.told(len(left)) == rest
        wait_for(lambda: asked(server) == rest)
        # when one of its viewers is back, in whatever worker, and leaves again
        back = Viewer(stack, server.address, "Bob")
        assert left[0].told(len(left) + 1)["names"] == [*names, "Bob"]
        back.socket.close()
        # then it counts no more
        assert left[0].told(len(left)) == rest


def test_a_script_beside_the_server_sees_the_viewers_and_after_it_none(
    server: ServerProcess, store_url: str
) -> None:
    beside = runtime_of(create_app(Settings(store=store_url)))
    with ExitStack() as stack:
        stack.callback(beside.stop)
        # given a viewer, whom a process sees that does not serve
        Viewer(stack, server.address, "Ada")
        wait_for(lambda: beside.viewers.who_watches("pillow").names == ("Ada",))
        wait_for(lambda: beside.viewers.who_is_in("family").names == ("Ada",))
        # when the whole server is killed
        workers = psutil.Process(server.process.pid).children()
        server.kill()
        for process in workers:
            process.kill()
            process.wait()
        # then that sees that nothing is watched, as soon as the locks of the workers are free
        wait_for(lambda: beside.viewers.who_watches("pillow").count == 0)
        assert beside.viewers.who_is_in("family").count == 0
