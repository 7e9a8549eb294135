"""The clients of docs/wire.md follow a real server through a restart, and what the page says of the
wire is so.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess, statecast
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import serve as serve_websockets

from child_process import started
from statecast.realtime import sse
from statecast.realtime.protocol import websocket

pytestmark = pytest.mark.bare

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS = ROOT / "examples" / "clients"
PAGE = (ROOT / "docs" / "wire.md").read_text()
VARYING = re.compile(
    r'"(sid|epoch|id|changed_at|arrived_at|seen_at|now|since|received_at)":"[^"]*"'
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    servers: list[ServerProcess] = []

    def begin(port: int = 0) -> ServerProcess:
        servers.append(ServerProcess(tmp_path, "--port", str(port)))
        return servers[-1]

    yield begin
    for one in servers:
        one.kill()


# The clients


def in_python(node: Any, address: str) -> list[str]:
    return [sys.executable, str(CLIENTS / "follow.py"), address, "pillow", "floor2/*"]


def in_javascript(node: Any, address: str) -> list[str]:
    show = "(states) => console.log(JSON.stringify(Object.fromEntries(states)))"
    script = (
        f'import {{ follow }} from "{CLIENTS}/follow.mjs"; follow("{address}", '
        f'["pillow", "floor2/*"], {show});'
    )
    return [node.program, "--no-warnings", "--input-type=module", "-e", script]


def test_the_python_client_of_the_how_to_shows_every_change(
    tmp_path: Path, start: Callable[..., ServerProcess]
) -> None:
    # Given a server, and the client of the page as a file
    server = start()
    how_to = (ROOT / "docs" / "how-to" / "own-page.md").read_text()
    script = block("## Any other client", "python", how_to)
    (tmp_path / "client.py").write_text(script.replace("http://127.0.0.1:8000", server.address))
    statecast(tmp_path, "send", "pillow", "mood=happy")
    command = [sys.executable, str(tmp_path / "client.py")]
    with started(command, stdout=subprocess.PIPE) as client:
        assert client.stdout
        assert client.stdout.readline() == "pillow 1 {'mood': 'happy'}\n"
        # When the server is away while a message is sent, and comes back
        assert server.terminate() == 143
        statecast(tmp_path, "send", "pillow", "mood=calm")
        start(server.port)
        # Then the client misses nothing and shows nothing twice
        assert client.stdout.readline() == "pillow 2 {'mood': 'calm'}\n"


@pytest.mark.parametrize("client", [in_python, in_javascript])
def test_an_example_ends_equal_to_the_store(
    tmp_path: Path, node: Any, start: Callable[..., ServerProcess], client: Callable[..., list[str]]
) -> None:
    server = start()
    statecast(tmp_path, "send", "pillow", "mood=happy", "battery=80")
    command = client(node, server.address)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout

            def shows(states: dict[str, Any]) -> None:
                for line in process.stdout or ():
                    if json.loads(line) == states:
                        return
                raise AssertionError(process.stderr and process.stderr.read())

            # given a client that shows what is, and what changes
            shows({"pillow": {"mood": "happy", "battery": 80}})
            statecast(tmp_path, "send", "floor2/lamp", "on=true")
            statecast(tmp_path, "send", "elsewhere", "on=true")
            shows({"pillow": {"mood": "happy", "battery": 80}, "floor2/lamp": {"on": True}})
            # when the server stops, much happens, and it starts again
            assert server.terminate() == 143
            statecast(tmp_path, "send", "pillow", "mood=calm")
            statecast(tmp_path, "send", "floor2/lamp", "--delete")
            statecast(tmp_path, "send", "floor2/fan", "speed=3")
            start(server.port)
            # then it ends on what there is
            shows({"pillow": {"mood": "calm", "battery": 80}, "floor2/fan": {"speed": 3}})
        finally:
            process.kill()


@pytest.mark.parametrize("client", [in_python, in_javascript])
def test_an_example_that_is_refused_says_why(
    node: Any, start: Callable[..., ServerProcess], client: Any
) -> None:
    command = [part.replace("floor2/*", "floor2/*/x") for part in client(node, start().address)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "error" in ended.stderr and "floor2/*/x" in ended.stderr


@pytest.mark.parametrize("client", [in_python, in_javascript])
def test_an_example_that_gets_a_patch_of_what_it_does_not_have_asks_for_everything(
    node: Any, client: Any
) -> None:
    asked: list[Any] = []

    def states(offset: int, *items: dict[str, Any], **more: Any) -> str:
        event = {"epoch": "e", "offset": offset, "scope": "s", "states": items, **more}
        return f'42["states",{json.dumps(event)}]'

    def item(version: int, **more: Any) -> dict[str, Any]:
        return {"device": "pillow", "version": version, "offset": version, **more}

    # given a server with a defect: its second patch is of a version that it never sent
    def serve(socket: Any) -> None:
        socket.send('0{"sid":"a","upgrades":[],"pingInterval":9000,"pingTimeout":9000}')
        assert socket.recv(timeout=10) == "40"
        socket.send('40{"sid":"b"}')
        asked.append(json.loads(socket.recv(timeout=10)[3:])[1])
        socket.send('431[{"epoch":"e","offset":0,"scope":"s","reset":false}]')
        socket.send(states(1, item(1, state={"n": 1, "on": True}), complete=True))
        socket.send(states(2, item(2, **{"from": 1}, patch={"n": 2, "on": None})))
        socket.send(states(4, item(4, **{"from": 3}, patch={"n": 4})))
        asked.append(json.loads(socket.recv(timeout=10)[3:])[1])
        socket.send(states(4, item(4, state={"n": 4}), reset=True, complete=True))
        for _ in socket:
            pass

    with serve_websockets(serve, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        with subprocess.Popen(client(node, address), stdout=subprocess.PIPE, text=True) as process:
            try:
                # then it shows what it has, and everything as soon as that comes
                shown = [json.loads(next(process.stdout or iter(()))) for _ in range(4)]
            finally:
                process.kill()
                server.shutdown()
                thread.join(10)
    assert [one["pillow"] for one in shown] == [{"n": 1, "on": True}, {"n": 2}, {"n": 2}, {"n": 4}]
    assert [one.get("reset") for one in asked] == [None, True]
    assert "since" not in asked[1] and asked[1]["protocol"] == 2


# The page


def block(after: str, language: str, page: str = PAGE) -> str:
    """The first block of a language after some words of the page."""
    found = re.search(
        rf"^```{language}\n(.*?)^```$", page[page.index(after) :], re.MULTILINE | re.DOTALL
    )
    assert found
    return found[1]


def alike(text: str) -> Any:
    """What an example and the real thing must have in common.

    All but names, times and numbers that are drawn.
    """
    return VARYING.sub(r'"\1":"…"', text.strip())


@pytest.mark.parametrize(("name", "language"), [("follow.py", "python"), ("follow.mjs", "js")])
def test_the_page_shows_the_clients_as_they_are(name: str, language: str) -> None:
    assert block("## A client in", language) == (CLIENTS / name).read_text()


def talk(socket: ClientConnection, conversation: str) -> None:
    """Say the client's lines, and hear the server's."""
    for line in conversation.splitlines():
        speaker, _, words = line.partition(": ")
        if speaker == "C":
            socket.send(words)
        else:
            assert alike(str(socket.recv(timeout=10))) == alike(words)


def shown(address: str) -> None:
    """Return when the server's viewers are told of the pillow.

    What comes later is told the same.
    """
    with urllib.request.urlopen(f"{address}/events?device=pillow", timeout=30) as stream:
        while b'"device":"pillow"' not in stream.readline():
            pass


def test_the_conversation_of_the_page_is_one(
    tmp_path: Path, start: Callable[..., ServerProcess]
) -> None:
    server = start()
    command = ["send", "pillow", "mood=happy", "battery=82", "--silent-after", "60"]
    assert statecast(tmp_path, *command).returncode == 0
    shown(server.address)
    with connect(
        server.address.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    ) as socket:
        talk(socket, block("## A conversation", "text"))


def test_the_handshake_of_the_page_is_one(start: Callable[..., ServerProcess]) -> None:
    address = start().address.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    with connect(address, compression=None) as socket:
        assert socket.request and socket.response
    lines = block("## The handshake", "text").splitlines()
    assert (
        f"S: Sec-WebSocket-Accept: {websocket.accept_value(b'dGhlIHNhbXBsZSBub25jZQ==').decode()}"
        in lines
    )
    answered = {
        line.partition(": ")[2].partition(":")[0].lower()
        for line in lines
        if line.startswith("S: ") and ":" in line[3:]
    }
    assert answered == {name.lower() for name in socket.response.headers}


def requested(command: str) -> str:
    """What ``curl`` with these words would print; the words of the page are few."""
    words = argparse.ArgumentParser()
    words.add_argument("-s", action="store_true")
    words.add_argument("-d", dest="body", type=str.encode)
    words.add_argument("url")
    given = words.parse_args(shlex.split(command)[1:])
    with urllib.request.urlopen(given.url, given.body, timeout=30) as response:
        body: bytes = response.read()
    return body.decode()


def test_the_requests_of_long_polling_of_the_page_are_answered(
    tmp_path: Path, start: Callable[..., ServerProcess]
) -> None:
    server = start()
    statecast(tmp_path, "send", "pillow", "mood=happy")
    shown(server.address)
    sid = heard = ""
    for line in block("## Long polling", "sh").splitlines():
        if line.startswith("curl"):
            command = line.replace("http://127.0.0.1:8000", server.address).replace("$SID", sid)
            heard = requested(command)
            sid = sid or json.loads(heard[1:])["sid"]
        else:
            assert alike(heard.replace("\x1e", " ")) == alike(line.removeprefix("# "))


def test_server_sent_events_of_the_page_are_ours() -> None:
    event = block("## Server-sent events", "text")
    payload = re.search(r"^data: (.*)$", event, re.MULTILINE)
    assert payload
    assert sse.encode("states", payload[1].encode()).decode().strip() == event.strip()


def test_the_close_codes_and_limits_of_the_page_are_ours() -> None:
    named = set(map(int, re.findall(r"^\| (1\d{3}) \|", PAGE, re.MULTILINE)))
    ours = {
        websocket.NORMAL_CLOSURE,
        websocket.GOING_AWAY,
        websocket.PROTOCOL_ERROR,
        websocket.INVALID_DATA,
        websocket.POLICY_VIOLATION,
        websocket.MESSAGE_TOO_BIG,
        websocket.INTERNAL_ERROR,
        websocket.SERVICE_RESTART,
    }
    assert named == ours
