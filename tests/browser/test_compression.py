"""Compressed states before stock clients: Chromium's WebSocket, and Python's `websockets`.

Each of them agrees to permessage-deflate by itself. Two viewers at least share what is compressed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
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
