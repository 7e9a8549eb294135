"""A server killed hundreds of times while partial messages flow, doubled and out of order: nothing
is lost or wrong.

The oracle is its own few lines: the messages sorted by their stamps and folded by RFC 7396, never
``apply`` again.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import ScriptProcess

from azurite_server import free_port
from statecast import strict_json, timestamps
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Store
from statecast.testing import oracle
from statecast.timestamps import now

pytestmark = pytest.mark.bare

LIVES = {
    kind: int(os.environ.get("TEST_STATECAST_LIVES", lives))
    for kind, lives in {"sqlite": "200", "postgresql": "50"}.items()
}
"""How often the server is killed, by the kind of its store. A crash of a process leaves less to
repair in PostgreSQL, which is a process of its own."""
GARBAGE = b'{"device": "pillow", "state": 5}'
FIELDS = 200
STAYS_FOR = 10
"""In every tenth life the server is not killed before the client has joined."""
LIFE = 0.3
"""Maximum seconds until a server is killed.

Long enough to commit, short enough to die in the middle.
"""


class Flow:
    """What devices say.

    Partial, late, out of order, now and then twice or unreadable. It remembers all of it.
    """

    def __init__(self, queue: EmbeddedQueue, seed: int) -> None:
        self.queue = queue
        self.random = random.Random(seed)
        self.times = iter(self.random.sample(range(1, 36_000_000), 500_000))
        self.started = now()
        self.sent: list[tuple[int, int, dict[str, Any]]] = []
        self.garbage: list[str] = []

    def say(self) -> None:
        """One message.

        Each sets a field of its own too, which no later one covers: whichever is lost is missed.
        """
        if self.random.random() < 0.02:
            self.garbage.append(self.queue.send(GARBAGE))
            return
        # Each time is its own, and the past is longer than the test: no clock can make two orders
        # of it.
        at = self.started - next(self.times)
        device, own = divmod(len(self.sent), FIELDS)
        shared = {
            self.random.choice("abcdef"): self.value() for _ in range(self.random.randint(1, 2))
        }
        message: dict[str, Any] = {"id": f"event {at}", "time": timestamps.iso(at)}
        if self.random.random() < 0.9:
            message |= {"device": f"floor/{device}", "state": {f"own{own}": at, **shared}}
        elif self.random.random() < 0.9:
            message |= {"device": "restless", "state": shared}
        elif self.random.random() < 0.5:
            message |= {"device": "restless", "replace": True, "state": oracle.merged({}, shared)}
        else:
            message |= {"device": "restless", "delete": True}
        bodies = [strict_json.encode(message)] * (2 if self.random.random() < 0.1 else 1)
        self.sent.append((at, int(self.queue.send_many(bodies)[0]), message))

    def value(self) -> Any:
        return self.random.choice(
            [None, 1, 2, 3, "x", {"deep": self.random.randint(0, 9)}, {"deep": None, "er": 1}]
        )

    def folded(self) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for _, _, message in sorted(self.sent, key=lambda one: one[:2]):
            before = None if message.get("replace") else states.get(message["device"])
            gone = message.get("delete")
            states[message["device"]] = None if gone else oracle.merged(before, message["state"])
        return {device: state for device, state in states.items() if state is not None}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(store: Store, port: int, store_url: str) -> Iterator[ScriptProcess]:
    child = ScriptProcess("crash_server.py", store_url, port)
    yield child
    child.ask("kill")
    child.end()


@pytest.fixture
def client(port: int) -> Iterator[ScriptProcess]:
    child = ScriptProcess("reconnecting_client.py", f"http://127.0.0.1:{port}")
    yield child
    child.end()


def drained(queue: EmbeddedQueue, store: Store) -> None:
    """Return when nothing waits; the test's own time limit ends it otherwise."""
    while queue.waiting():
        store.wait(0.2)


def join_again(client: ScriptProcess, joined: int) -> int:
    """Wait until the client has joined more often than that; how often."""
    report = json.loads(client.ask(json.dumps({"joined": joined})))
    number: int = report["joined"]
    assert number > joined, "the client does not come back"
    return number


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_all_the_time_loses_nothing(
    store: Store, store_url: str, server: ScriptProcess, client: ScriptProcess
) -> None:
    lives = LIVES[store_url.partition(":")[0]]
    # given devices that talk, and one client that reconnects like a browser
    queue = EmbeddedQueue(store)
    joined = 0
    flow = Flow(queue, seed=int(os.environ.get("TEST_STATECAST_SEED", "1")))
    # when the server is killed at random moments, again and again, and messages come meanwhile
    for life in range(lives):
        assert server.ask("start") == "start"
        if life % STAYS_FOR == 0:  # so that the client is there in some of them on any machine
            flow.say()
            joined = join_again(client, joined)
        dies_at = time.monotonic() + flow.random.uniform(0, LIFE)
        while time.monotonic() < dies_at:
            flow.say()
        assert server.ask("kill") == "killed"
    # and it is started for the last time
    assert server.ask("start") == "start"
    drained(queue, store)
    # then the store is what the oracle says, and the unreadable ones are in quarantine, each once
    states = {
        update.device: strict_json.decode(update.state)
        for update in store.devices()
        if update.state
    }
    assert states == flow.folded()
    assert sorted(row.id for row in store.quarantined(limit=10_000)) == sorted(flow.garbage)
    # and the client ends equal to the store, without ever having gone back
    report = json.loads(client.ask(json.dumps({"states": states})))
    assert report["overtaken"] == []
    assert report["states"] == states
    assert report["joined"] > lives // STAYS_FOR
