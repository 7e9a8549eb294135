"""A connection may break at any byte: after each such cut a client ends equal to the store.

For a number of bytes, all that passes from the server to the client is counted, and after the last
everything is cut; the client comes back, and must show what the store holds. Then the same with one
byte more, until a whole session fits; then from the client to the server. ``TEST_STATECAST_CUTS=1``
tries every byte, otherwise some of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import engineio
import persistent_client
import pytest
from cut_proxy import DOWN, UP, CutProxy, cut_proxy
from held_states import HeldStates

from statecast.flask import create_app, runtime_of
from statecast.model import Change
from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

HERE = Path(__file__).parent
OURS = HERE.parent.parent / "src" / "statecast" / "web" / "static" / "statecast.js"
STEP = int(os.environ.get("TEST_STATECAST_CUTS", "13"))
DEVICES = 3
TIMEOUT = 30


class Page:
    """What a client shows, as it says itself."""

    def __init__(self) -> None:
        self.states: Any = None
        self.changed = threading.Condition()

    def show(self, states: Any) -> None:
        with self.changed:
            self.states = states
            self.changed.notify_all()

    def wait_for(self, states: Any) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.states == states, TIMEOUT)


@contextmanager
def in_javascript(node: Any, address: str, kind: str) -> Iterator[Page]:
    page = Page()
    command = [node.program, str(HERE / "cut_client.js"), address, kind, OURS.as_uri()]
    with subprocess.Popen(
        command, env=node.variables, stdout=subprocess.PIPE, text=True
    ) as process:

        def read() -> None:
            for line in process.stdout or ():
                page.show(json.loads(line))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield page
            assert process.poll() is None
        finally:
            process.kill()
            reader.join(10)


@contextmanager
def in_python(node: Any, address: str, kind: str) -> Iterator[Page]:
    page, held, client = Page(), HeldStates(), persistent_client.client()
    lock = threading.Lock()

    def take(said: dict[str, Any]) -> None:
        with lock:  # the library handles each event on a thread of its own
            held.apply(said)
            page.show(dict(held.states))

    client.on("connect", lambda: client.emit("watch", {"devices": ["*"], **held.since}))
    client.on("states", take)
    with persistent_client.connected(client, address, [kind]):
        yield page


CLIENTS = [
    (in_javascript, "statecast"), (in_javascript, "websocket"), (in_javascript, "polling"),
    (in_javascript, "default"),
    (in_python, "websocket"),
]  # fmt: skip


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    settings = Settings(
        store="memory:", port=0, viewer_rate_limit=10_000_000, ping_interval=2, ping_timeout=2,
            connect_timeout=2,
        shutdown_timeout=0.2,
    )  # fmt: skip
    app = create_app(settings)
    runtime = runtime_of(app)
    server = BackgroundServer(runtime, app)
    server.start()
    runtime.address = server.address  # type: ignore[attr-defined]
    yield runtime
    server.stop()


def change(runtime: Runtime, number: int, who: str) -> dict[str, Any]:
    """Change a device as nobody did before, or now and then remove it; what the store holds
    then."""
    device = f"lamp/{number % DEVICES}"
    removed = number % 11 == 10
    runtime.store.edit(
        Change(
            device,
            "delete" if removed else "merge",
            {} if removed else {"number": number, "who": who},
        )
    )
    runtime.store.wake()
    return {one.device: json.loads(one.state) for one in runtime.store.devices() if one.state}


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # stock clients leave sockets behind
@pytest.mark.parametrize("direction", [DOWN, UP])
@pytest.mark.parametrize(("client", "kind"), CLIENTS)
def test_after_a_cut_at_any_byte_a_page_equals_the_store(
    node: Any, runtime: Runtime, client: Callable[..., Any], kind: str, direction: str
) -> None:
    proxy: CutProxy
    who = f"{client.__name__} {kind} {direction}"
    with cut_proxy(runtime.address) as (address, proxy), client(node, address, kind) as page:  # type: ignore[attr-defined]
        # given a client that shows what there is
        assert page.wait_for(change(runtime, 0, who))
        number, spent = 0, True
        while spent:
            # when its session breaks after so many bytes, and something changes meanwhile
            number += 1
            budget = 1 + (number - 1) * STEP
            proxy.begin(direction, budget)
            held = change(runtime, number, who)
            # then it comes back and shows what the store holds
            assert page.wait_for(held), (budget, page.states, held)
            spent = proxy.spent
        # and no patch was of a state that it did not have
        assert runtime.own_report()["requested_resets"] == 0
        # (the last session was whole: it showed everything before it had used up its bytes)
        assert number > 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_python_client_returns_after_a_cut_within_its_connect(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a stock client whose first connection ends before ``connect`` has returned
    connect, cuts = engineio.Client.connect, [1]

    def cut_once(client: engineio.Client, *given: Any, **options: Any) -> None:
        connect(client, *given, **options)
        if cuts:
            cuts.pop()
            client.ws.shutdown()
            client.wait()

    monkeypatch.setattr(engineio.Client, "connect", cut_once)
    # when it goes on, then it shows what the store holds
    with in_python(None, runtime.address, "websocket") as page:  # type: ignore[attr-defined]
        assert page.wait_for(change(runtime, 0, "cut within connect"))
    assert not cuts
