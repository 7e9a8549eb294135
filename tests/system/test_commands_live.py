"""From a hug to the pillow and back, with a real server and a device that waits."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import socketio as stock
from server_process import ServerProcess, statecast

from tests.waiting import wait_for

HUGS = 30


class Pillow:
    """A device that waits for commands, does them and answers."""

    def __init__(self, address: str, device: str) -> None:
        self.commands = f"{address}/api/devices/{device}/commands"
        self.messages = f"{address}/api/messages"
        self.device = device
        self.felt: list[Any] = []
        self.questions = 0
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        after, session = "", requests.Session()
        while not self.stop.is_set():
            self.questions += 1
            found = session.get(f"{self.commands}?after={after}&wait=50").json()["commands"]
            for command in found:
                after = command["id"]
                self.felt.append(command["arguments"])
                answer = {"device": self.device, "command": after, "outcome": "done"}
                answer |= {"state": {"hugs": len(self.felt)}}
                session.post(self.messages, json=answer)

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path, "--port", "0")
    statecast(tmp_path, "send", "pillow", "mood=calm")
    yield one
    one.kill()


def test_commands_come_as_a_stream(server: ServerProcess) -> None:
    # Given a device that reads a stream, with nothing to do
    address = f"{server.address}/api/devices/pillow"
    wait_for(lambda: requests.get(address, timeout=5).status_code == 200)
    stream = f"{address}/commands?after="
    headers = {"Accept": "text/event-stream"}
    with requests.get(stream, headers=headers, stream=True, timeout=20) as answer:
        lines = answer.iter_lines(decode_unicode=True, chunk_size=1)
        assert next(lines) == "retry: 1000"
        # When it is asked for something, again and again
        ids = []
        for _ in range(3):
            ids.append(requests.post(f"{address}/commands", json={"name": "hug"}).json()["id"])
            # Then it has that at once, and it counts as delivered
            assert next(line for line in lines if line.startswith("id:")) == f"id: {ids[-1]}"
            command = requests.get(f"{server.address}/api/commands/{ids[-1]}").json()
            assert command["status"] == "delivered"
    # And after a cut it goes on from where it was
    with requests.get(
        stream, headers=headers | {"Last-Event-ID": ids[1]}, stream=True, timeout=20
    ) as answer:
        lines = answer.iter_lines(decode_unicode=True, chunk_size=1)
        assert next(line for line in lines if line.startswith("id:")) == f"id: {ids[2]}"
    # And a device that is not there gets the reason
    assert requests.get(f"{address}s/commands?after=", headers=headers).status_code == 404


class SocketPillow:
    """A device on the stock Socket.IO client: it takes its commands there, and answers by POST."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.felt: list[str] = []
        self.got: list[str] = []
        self.lock = threading.Lock()
        self.answers: list[Any] = []
        self.client = stock.Client(reconnection_delay=0.05, reconnection_delay_max=0.1)
        self.client.on("connect", self.take)
        self.client.on("command", self.do)
        self.client.connect(address, transports=["websocket"])

    def take(self) -> None:
        self.client.emit("take", {"device": "pillow"}, callback=self.answers.append)

    def do(self, command: dict[str, Any]) -> None:
        with self.lock:  # this client handles each event on a thread of its own
            self.got.append(command["id"])
            if command["id"] not in self.felt:  # after a cut the same command may come again
                self.felt.append(command["id"])
        answer = {"device": command["device"], "command": command["id"], "outcome": "done"}
        requests.post(f"{self.address}/api/messages", json=answer, timeout=5)

    def cut(self) -> None:
        """Lose the connection, as by a cable that is pulled."""
        self.client.eio.ws.sock.shutdown(socket.SHUT_RDWR)


def test_a_socketio_client_takes_commands_through_cuts(server: ServerProcess) -> None:
    # Given a device on Socket.IO that was asked for something before it came
    address = f"{server.address}/api/devices/pillow"
    wait_for(lambda: requests.get(address, timeout=5).status_code == 200)
    ids = [ask_for_a_hug(address)]
    pillow = SocketPillow(server.address)
    try:
        # When it is asked for more, before and while its connection is lost again and again
        for number in range(12):
            ids.append(ask_for_a_hug(address))
            if number % 3 == 2:
                wait_for(lambda: pillow.client.connected)
                pillow.cut()
        # Then each hug is felt once, and done
        wait_for(lambda: len(pillow.felt) >= len(ids))
        assert sorted(pillow.felt) == sorted(ids)
        for one in ids:
            wait_for(lambda one=one: status_of(server, one) == "done")
        assert pillow.answers[0] == {"device": "pillow"}
        # And what is wrong with a request is its acknowledgement
        wait_for(lambda: pillow.client.connected)
        nobody = pillow.client.call("take", {"device": "nobody"}, timeout=10)
        assert nobody == {"error": "No device called “nobody” has sent anything."}
    finally:
        pillow.client.disconnect()


def ask_for_a_hug(address: str) -> str:
    return str(requests.post(f"{address}/commands", json={"name": "hug"}, timeout=5).json()["id"])


def status_of(server: ServerProcess, command: str) -> str:
    found = requests.get(f"{server.address}/api/commands/{command}", timeout=5)
    return str(found.json()["status"])


def test_a_hug_is_felt_and_known(server: ServerProcess, tmp_path: Path) -> None:
    # given a pillow that waits for commands
    address = f"{server.address}/api/devices/pillow"
    wait_for(lambda: requests.get(address, timeout=5).status_code == 200)
    pillow = Pillow(server.address, "pillow")
    # when it is hugged, again and again, and once from the command line
    took = []
    for number in range(HUGS):
        began = time.monotonic()
        asked = requests.post(
            f"{address}/commands", json={"name": "hug", "arguments": {"n": number}}, timeout=5
        ).json()
        one = f"{server.address}/api/commands/{asked['id']}"
        while requests.get(one, timeout=5).json()["status"] != "done":
            time.sleep(0.001)
        took.append(time.monotonic() - began)
    ended = statecast(tmp_path, "command", "pillow", "hug", f"n={HUGS}", "--wait")
    # then it felt each hug once, in their order, and everybody knows
    assert ended.returncode == 0 and ended.stdout.startswith("done"), ended.stderr
    assert pillow.felt == [{"n": number} for number in range(HUGS + 1)]
    # and it asked once per hug, not all the time
    assert pillow.questions <= HUGS + 2
    # and when the server stops, it does not wait for those who wait
    pillow.stop.set()
    assert server.terminate() in (0, 143)
    pillow.join()
    print(f"from the hug to its answer: median {statistics.median(took) * 1000:.1f} ms")
