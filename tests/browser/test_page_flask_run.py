"""Under ``flask run`` the address that Flask prints is live, for our pages and stock clients."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from azurite_server import free_port
from certificates import write_certificate
from child_process import started
from statecast.server.sockets import lan_addresses, listen
from statecast.settings import Settings
from tests.browser.site import Eyes

pytestmark = pytest.mark.browser

APP = """
import os
import flask
from statecast import Statecast

client = os.environ["STOCK_CLIENT"]
app = flask.Flask(__name__, static_folder=client, static_url_path="/static")
live = Statecast(app)

@app.get("/")
def mine():
    return (
        "<!doctype html><title>Mine</title><script type=module src=/statecast/bind.js></script>"
        "<script src=/static/socket.io.min.js></script>"
        "<b data-live=pillow.mood></b><i>nothing</i>"
        "<script>const socket = io()\\n"
        "socket.on('said', (word) => document.querySelector('i').textContent = word)</script>"
    )

@app.get("/say/<word>")
def say(word):
    live.emit("said", word)
    return "", 204
"""
LIVE = " * Statecast is live at the address that Flask prints"


@dataclass
class Running:
    """``flask run``, and the address that it printed."""

    address: str
    folder: Path
    output: list[str]
    process: subprocess.Popen[str]

    def ask(self, path: str, body: bytes | None = None) -> int:
        trusting = ssl._create_unverified_context()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=20, context=trusting) as answer:
            return int(answer.status)

    def send(self, **state: Any) -> None:
        body = json.dumps({"device": "pillow", "state": state}).encode()
        assert self.ask("/api/messages", body) == 202

    def wait_until_live(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.output.append(line.rstrip())
            if line.startswith(LIVE):
                return
        raise AssertionError("\n".join(self.output))


@contextmanager
def flask_run(folder: Path, node: Any, *options: str) -> Iterator[Running]:
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "flask", "run", "-p", str(free_port()), *options]
    settings = {
        "STATECAST_STORE": f"sqlite:///{folder / 'store.db'}",
        "STATECAST_ALLOW_PUBLIC": "yes",  # the page reads and sends from an address of the network
        "STATECAST_OTHERS_MAY": "command,send",
        "STATECAST_DEVICE_COMMANDS": "pillow=hug",
        "STOCK_CLIENT": str(node.modules / "socket.io-client" / "dist"),
        "NO_COLOR": "1",
    }
    with started(
        command, cwd=folder, env=os.environ | settings, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        running = Running("", folder, [], process)
        try:
            running.wait_until_live()
            printed = re.findall(r"Running on (\S+)", "\n".join(running.output))
            running.address = printed[-1]
            yield running
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the reloader's child outlives its parent


def check_live(browser: Any, running: Running, address: str) -> None:
    """Our page, a page of the app with live fields, and its stock client with default options."""
    running.send(mood="happy", hugged=False)
    eyes = Eyes(browser, address, ignore_https_errors=True)
    sockets: list[str] = []
    eyes.page.on("websocket", lambda socket: sockets.append(socket.url))
    try:
        # then a page of ours is live there, and what it asks of the device is in the store
        page = eyes.visit("/statecast/")
        page.get_by_role("button", name="Hug pillow").click()
        page.wait_for_selector("#asked b:text('Waiting')")
        eyes.check(still=False)

        # and so is a live field of the app's own page
        page = eyes.visit("/", live=False)
        page.wait_for_selector("b:text('happy')")
        running.send(mood="sad")
        page.wait_for_selector("b:text('sad')")

        # and a stock client, which was given no address, and has a WebSocket there
        eyes.until("socket.io.engine.transport.name === 'websocket'")
        running.ask("/say/hello")
        page.wait_for_selector("i:text('hello')")
        assert not eyes.errors
        assert all(url.startswith(address.replace("http", "ws", 1)) for url in sockets), sockets
    finally:
        eyes.close()


def in_every_network(address: str) -> str:
    """The same port by the address under which other machines find this one."""
    listening = listen(Settings(host="0.0.0.0", port=0))
    with listening:
        found = lan_addresses(listening)
    if not found:
        pytest.skip("needs a network: this machine has no address but loopback")
    return f"{found[0].rpartition(':')[0]}:{address.rpartition(':')[2]}"


@dataclass
class Way:
    options: Callable[[Path], list[str]]
    opened: Callable[[str], str] = str


def with_certificate(folder: Path) -> list[str]:
    certificate, key = write_certificate(folder)
    return ["--cert", str(certificate), "--key", str(key)]


def by_name(address: str) -> str:
    return address.replace("127.0.0.1", "localhost")


WAYS = {
    "by its name": Way(lambda folder: [], by_name),
    "--host 0.0.0.0": Way(lambda folder: ["--host", "0.0.0.0"], in_every_network),
    "--cert": Way(with_certificate),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_however_flask_runs_its_address_is_live(
    browser: Any, node: Any, tmp_path: Path, way: Way
) -> None:
    with flask_run(tmp_path, node, *way.options(tmp_path)) as running:
        check_live(browser, running, way.opened(running.address))
        warned = [line for line in running.output if "may read every" in line]
        assert warned == (
            [
                " * Everyone who reaches 0.0.0.0 may read every state, ask something of a device "
                "and send messages for devices and take their commands."
            ]
            if way is WAYS["--host 0.0.0.0"]
            else []
        )


def test_after_the_reloader_started_again_an_open_page_is_live_again(
    browser: Any, node: Any, tmp_path: Path
) -> None:
    with flask_run(tmp_path, node, "--debug") as running:
        # given an open page; all is live as without --debug
        check_live(browser, running, running.address)
        running.send(mood="happy")
        eyes = Eyes(browser, running.address)
        try:
            page = eyes.visit("/", live=False)
            page.wait_for_selector("b:text('happy')")
            # when the code of the app changes
            (tmp_path / "app.py").write_text(f"{APP}\n# changed\n")
            running.wait_until_live()
            # then the page goes on without a reload
            running.send(mood="calm")
            page.wait_for_selector("b:text('calm')")
            eyes.until("socket.connected")
            running.ask("/say/there")
            page.wait_for_selector("i:text('there')")
        finally:
            eyes.close()
