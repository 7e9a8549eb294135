"""Compressed states before stock clients.

Chromium's WebSocket and Python's `websockets` agree to permessage-deflate by themselves, and
Chromium's EventSource and `fetch`, curl and Python's `requests` ask for gzip. Two viewers at least
share what is compressed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.sync.client import ClientConnection, connect

from statecast.model import Change
from tests.browser.site import Site

pytestmark = pytest.mark.browser

STATES = [{"mood": mood, "note": mood * 60} for mood in ("happy", "sad", "sleepy")]
IN_THE_PAGE = """([count]) => new Promise((resolve, reject) => {
  const found = [], socket = new WebSocket(`ws://${location.host}/socket.io/?EIO=4&transport=websocket`);
  socket.onmessage = ({data}) => {
    if (data[0] === "0") socket.send("40");
    else if (data.startsWith("40")) {
      socket.send('42["watch",{"devices":["pillow"],"protocol":1}]');
    } else if (data.startsWith("42")) found.push(...JSON.parse(data.slice(2))[1].states);
    if (found.some(({version}) => version === count))
      resolve([socket.extensions, found.map(({state}) => state)]);
  };
  socket.onclose = reject;
  window.begun = new Promise((go) => socket.addEventListener("message", ({data}) =>
    data.includes('"complete"') && go()));
})"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.stop()


def change(site: Site, state: dict[str, Any]) -> None:
    site.runtime.store.edit(Change("pillow", "merge", state))


def watching(stack: ExitStack, site: Site) -> ClientConnection:
    """A client that has the first state."""
    address = site.address.replace("http", "ws", 1)
    client = stack.enter_context(connect(f"{address}/socket.io/?EIO=4&transport=websocket"))
    client.recv()
    client.send("40")
    client.recv()
    client.send('42["watch",{"devices":["pillow"],"protocol":1}]')
    while '"complete":true' not in client.recv(timeout=10):
        pass
    return client


def states(client: ClientConnection, version: int) -> list[Any]:
    found: list[Any] = []
    while not any(one["version"] == version for one in found):
        text = client.recv(timeout=10)
        if text.startswith('42["states"'):
            found += json.loads(text[2:])[1]["states"]
    return [one["state"] for one in found]


def test_stock_clients_agree_and_read_what_is_compressed(
    site: Site, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[bool] = []
    decode = PerMessageDeflate.decode

    def note_and_decode(self: PerMessageDeflate, frame: Frame, **how: Any) -> Frame:
        came.append(frame.rsv1)
        return decode(self, frame, **how)

    monkeypatch.setattr(PerMessageDeflate, "decode", note_and_decode)

    # given a state, two Python clients that have it, and a page with a socket
    change(site, STATES[0])
    with ExitStack() as stack:
        clients = [watching(stack, site) for _ in range(2)]
        context = browser.new_context()
        stack.callback(context.close)
        page = context.new_page()
        page.goto(site.address)
        page.evaluate(f"() => {{ window.found = ({IN_THE_PAGE})([{len(STATES)}]); }}")
        page.evaluate("() => window.begun")

        # when it changes
        for state in STATES[1:]:
            change(site, state)

        # then all of them have agreed, and each reads every state in order to the last
        for client in clients:
            (extension,) = client.protocol.extensions
            assert extension.name == "permessage-deflate"
            assert states(client, len(STATES))[-1] == STATES[-1]
        assert any(came)  # and some of it was compressed
        extensions, shown = page.evaluate("() => window.found")
        assert extensions.startswith("permessage-deflate")
        assert shown[0] == STATES[0]
        assert shown[-1] == STATES[-1]


EVENTS = "/events?device=pillow&protocol=1"
BY_EVENT_SOURCE = """([path, count]) => new Promise((resolve, reject) => {
  const found = [], source = new EventSource(path);
  source.addEventListener("states", ({data}) => {
    window.begun = true;
    found.push(...JSON.parse(data).states);
    if (found.at(-1).version !== count) return;
    source.close();
    resolve(found.map(({state}) => state));
  });
  source.onerror = reject;
})"""


def events(text: str) -> list[Any]:
    """The states in the text of an event stream."""
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    return [one["state"] for line in lines for one in json.loads(line[6:])["states"]]


def test_stock_clients_read_a_gzip_stream_event_by_event(site: Site, browser: Any) -> None:
    # given a state, and readers that have it: curl, requests, and an EventSource in a page
    change(site, STATES[0])
    with ExitStack() as stack:
        address = site.address + EVENTS
        command = ["curl", "--silent", "--no-buffer", "--compressed", address]
        curl = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(curl.kill)
        assert curl.stdout is not None
        shown_by_curl = line_with(curl.stdout, b'"complete":true')
        response = stack.enter_context(requests.get(address, stream=True, timeout=10))
        assert response.headers["content-encoding"] == "gzip"
        pieces = response.iter_content(None)
        text = next(pieces)
        page = stack.enter_context(browser.new_context()).new_page()
        page.goto(site.address)
        page.evaluate(f"() => {{ window.found = ({BY_EVENT_SOURCE})({json.dumps([EVENTS, 3])}); }}")
        page.wait_for_function("() => window.begun")

        # when it changes, then each reader has each state at once
        for state in STATES[1:]:
            change(site, state)
            mood = json.dumps(state["mood"]).encode()
            shown_by_curl += line_with(curl.stdout, mood)
            while mood not in text:
                text += next(pieces)
        assert page.evaluate("() => window.found") == STATES
        assert events(text.decode()) == STATES
        assert events(shown_by_curl.decode()) == STATES

        # and a response that ends is whole for each of them
        once = site.address + EVENTS + "&once=1"
        finished = subprocess.run(
            ["curl", "--silent", "--fail", "--compressed", once], capture_output=True, check=True
        )
        assert events(finished.stdout.decode()) == STATES[-1:]
        assert events(requests.get(once, timeout=10).text) == STATES[-1:]
        assert events(page.evaluate(f"async () => (await fetch('{EVENTS}&once=1')).text()"))


def line_with(stream: Any, text: bytes) -> bytes:
    """Lines up to the first one that has a text."""
    found = b""
    while text not in found:
        line = stream.readline()
        assert line, found
        found += line
    return found
