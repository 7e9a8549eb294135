"""A viewer on a WebSocket says who it is: with its request, as it joins, and again later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from statecast import timestamps
from statecast.access import secret_tokens
from statecast.access.grants import Grants
from statecast.broadcast.broadcaster import NOTHING_READABLE
from statecast.model import Change
from statecast.realtime.protocol import websocket
from statecast.realtime.readers import ENDED
from statecast.realtime.viewer import NO_CREDENTIAL
from statecast.runtime import Runtime
from statecast.settings import Settings
from tests.fakes.harness import TARGET, FakeClient, Harness

NOW = 1_800_000_000_000
SECRET = "s" * secret_tokens.SECRET_CHARACTERS
WRONG = "sk_smiths_" + "x" * 43
WATCH = '421["watch",{"devices":["*"]}]'


class Scene:
    """A server without a network. Its store has two devices and three keys."""

    def __init__(self, **settings: Any) -> None:
        self.now = NOW
        given = Settings(store="memory:", namespaces=("/chat",), **settings)
        self.runtime = Runtime(given, lambda: self.now)
        self.broadcaster = self.runtime.broadcaster()
        self.harness = Harness(hub=self.runtime.hub(self.broadcaster))
        self.loop = self.harness.loop
        for device in ("smith/pillow", "jones/pillow"):
            self.runtime.edit(Change(device, "merge", {"n": 1}))
        self.smiths = self.key("smiths", "smith/*")
        self.joneses = self.key("joneses", "jones/*", 60)
        self.nobody = f"sk_nobody_{SECRET}"
        body = {"digest": secret_tokens.digest(SECRET), "grants": {}}
        self.runtime.store.put_access("key", "nobody", body)
        self.broadcaster.start(self.loop, follow=False)

    def key(self, name: str, device: str, seconds: float | None = None) -> str:
        grants = Grants.of({device: "read"})
        return self.runtime.rights.keys.create(name, grants, seconds, by="test")

    def client(self, token: str = "") -> FakeClient:
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        client = FakeClient(self.harness).open(TARGET, *headers)
        client.received()
        return client

    def tick(self) -> None:
        self.broadcaster.read_changes()
        self.loop.settle()

    def devices(self, client: FakeClient) -> set[str]:
        """What the client is sent when it watches everything."""
        client.send(WATCH)
        self.loop.settle()
        return {
            item["device"]
            for text in client.received()
            if text.startswith('42["states"')
            for item in json.loads(text[2:])[1]["states"]
        }


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.broadcaster.stop()
    made.harness.hub.close_threads()
    made.runtime.stop()


def auth(token: Any, namespace: str = "") -> str:
    return f"40{namespace}" + json.dumps({"token": token})


def refusal(packet: str) -> tuple[int, str]:
    assert packet.startswith("44")
    content = json.loads(packet[packet.index("{") :])
    return content["data"]["status"], content["message"]


@pytest.mark.parametrize(
    ("in_request", "in_packet", "devices"),
    [
        ("smiths", None, {"smith/pillow"}),
        ("", "smiths", {"smith/pillow"}),
        ("joneses", "smiths", {"smith/pillow"}),  # the packet's is the stronger one
        ("wrong", "smiths", {"smith/pillow"}),
    ],
)
def test_a_viewer_sees_what_its_token_allows(
    scene: Scene, in_request: str, in_packet: str | None, devices: set[str]
) -> None:
    tokens = {"smiths": scene.smiths, "joneses": scene.joneses, "wrong": WRONG, "": ""}
    client = scene.client(tokens[in_request])
    client.send("40" if in_packet is None else auth(tokens[in_packet]))
    (joined,) = client.wait_for(1)
    assert joined.startswith('40{"sid":')
    assert scene.devices(client) == devices


@pytest.mark.parametrize(
    ("packet", "status", "sentence"),
    [
        ("40", 401, "No one is signed in"),
        (auth(WRONG), 401, "The token is wrong"),
        (auth("sk_unknown_" + "x" * 43), 401, "The token is wrong"),
        (auth("nobody"), 403, "The key “nobody” may not see states"),
        (auth("of the application"), 401, "No one is signed in"),
    ],
)
def test_who_may_see_nothing_is_refused_with_a_sentence_and_may_try_again(
    scene: Scene, packet: str, status: int, sentence: str
) -> None:
    client = scene.client()
    client.send(packet.replace("nobody", scene.nobody))
    (refused,) = client.wait_for(1)
    assert refusal(refused)[0] == status
    assert sentence in refusal(refused)[1]
    assert WRONG not in refused
    client.send(auth(scene.smiths))
    assert client.wait_for(1)[0].startswith("40")


def test_what_is_sent_before_the_decision_ends_the_connection(scene: Scene) -> None:
    for early in ("40", WATCH):
        client = scene.client(scene.smiths)
        client.send("40")
        client.send(early)
        assert client.closed_with() == websocket.POLICY_VIOLATION
        scene.loop.take_call()
        assert client.received() == []
    assert scene.harness.hub.readers._entries == {}


def test_who_leaves_before_the_decision_is_not_let_in(scene: Scene) -> None:
    client = scene.client(scene.smiths)
    client.send("40")
    client.lose()
    scene.loop.take_call()
    assert scene.harness.hub.readers._entries == {}
    assert scene.broadcaster.subscribers == {}


def test_a_further_namespace_asks_nothing_again_unless_it_brings_another_token(
    scene: Scene,
) -> None:
    client = scene.client(scene.smiths)
    client.send("40")
    client.wait_for(1)
    client.send("40/chat,")
    assert client.received()[0].startswith("40/chat,")
    client.send("41/chat,")
    client.send(auth(scene.joneses, "/chat,"))
    assert client.wait_for(1)[0].startswith("40/chat,")
    assert scene.devices(client) == {"jones/pillow"}


def test_a_watch_of_what_may_not_be_seen_is_refused(scene: Scene) -> None:
    client = scene.client(scene.smiths)
    client.send("40")
    client.wait_for(1)
    for device in ("jones/pillow", "jones/none"):
        client.send(f'421["watch",{{"devices":["{device}"]}}]')
        assert json.loads(client.received()[0][3:]) == [{"error": NOTHING_READABLE}]


def test_a_key_that_is_revoked_ends_its_connections(scene: Scene) -> None:
    client, beside = scene.client(scene.smiths), scene.client(scene.joneses)
    for one in (client, beside):
        one.send("40")
        one.wait_for(1)
        one.send("40/chat,")
        assert len(scene.devices(one)) == 1
    # when the key is revoked and its device changes
    scene.runtime.rights.keys.revoke("smiths", by="test")
    scene.runtime.edit(Change("smith/pillow", "merge", {"n": 2}))
    scene.tick()
    # then both namespaces hear why, nothing of the change is sent, and the connection ends
    root, chat, close = client.received()
    assert (refusal(root), refusal(chat)) == ((401, ENDED), (401, ENDED))
    assert close == (8, websocket.POLICY_VIOLATION.to_bytes(2, "big") + ENDED.encode())
    assert beside.received() == []


def test_a_viewer_renews_its_sign_in_without_a_new_connection(scene: Scene) -> None:
    client = scene.client(scene.joneses)
    client.send("40")
    client.wait_for(1)
    assert scene.devices(client) == {"jones/pillow"}
    # what is refused changes nothing
    for number, token in enumerate((WRONG, scene.nobody, "of the application")):
        client.send(f"42{number}" + json.dumps(["authenticate", {"token": token}]))
        (answer,) = client.wait_for(1)
        assert answer.startswith(f'43{number}[{{"error":')
    later = scene.key("later", "*", 3_600)
    scene.tick()
    client.send("425" + json.dumps(["authenticate", {"token": later}]))
    states, answer = sorted(client.wait_for(2))
    assert json.loads(states[2:])[1]["states"][0]["device"] == "smith/pillow"
    assert json.loads(answer[3:]) == [{"expires_at": timestamps.iso(NOW + 3_600_000)}]
    # when the first key's time is over, then the connection stays
    scene.now += 61_000
    scene.tick()
    assert client.received() == []
    scene.now += 3_600_000
    scene.tick()
    assert client.received()[0].startswith("44")


@pytest.mark.parametrize("arguments", [[], [None], [{}], [{"token": 5}], ["token"]])
def test_what_is_no_token_is_refused(scene: Scene, arguments: list[Any]) -> None:
    client = scene.client(scene.smiths)
    client.send("40")
    client.wait_for(1)
    client.send("421" + json.dumps(["authenticate", *arguments]))
    assert json.loads(client.received()[0][3:]) == [{"error": NO_CREDENTIAL}]


def test_an_application_with_an_event_of_that_name_keeps_it(scene: Scene) -> None:
    async def authenticate(sid: str, given: Any) -> str:
        return "mine"

    scene.harness.hub.on("authenticate", authenticate)
    client = scene.client(scene.smiths)
    client.send("40")
    client.wait_for(1)
    handled: list[Any] = []
    namespaces = scene.harness.hub._namespaces
    namespaces.dispatch = handled.append  # type: ignore[method-assign]
    client.send("421" + json.dumps(["authenticate", {"token": scene.joneses}]))
    assert [event.name for event in handled] == ["authenticate"]
