"""What an Azure queue can do to its consumer, scene by scene.

Every good message is applied, the queue runs empty.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from statecast import strict_json
from statecast.decoders import open_decoder
from statecast.errors import StoreUnavailable
from statecast.ingest import overdue
from statecast.ingest.consumer import Consumer
from statecast.ingest.pipeline import Pipeline
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources import open_source, retry_pause
from statecast.sources.azure_queue import AzureQueue, source
from statecast.sources.contract import SourceContext
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing.azure import FORBIDDEN, FakeAzure
from statecast.timestamps import now

SHORT = 30.0
"""Seconds after which a test gives up; nothing takes that long."""
QUICK = "warm=0.01&idle=0.02"


class Scene:
    """A queue, its watcher, and a store; pauses are short."""

    def __init__(self) -> None:
        self.azure = FakeAzure()
        self.azure.start()
        self.azure.queues["pillow"] = []
        self.store = MemoryStore(Limits(), now)
        self.open("pillow")
        self.watcher: Consumer | None = None

    def open(self, rest: str, **environ: str) -> None:
        environ = environ or {"AZURE_STORAGE_CONNECTION_STRING": self.azure.connection}
        mark = "&" if "?" in rest else "?"
        context = SourceContext(lambda: self.store, Settings(), environ, now)
        source = open_source(f"azure-queue:{rest}{mark}{QUICK}", context)
        assert isinstance(source, AzureQueue)
        self.source = source

    def start(self) -> None:
        decode = open_decoder({}, "azure-queue:pillow")
        pipeline = Pipeline(self.source, decode, self.store, batch_size=256)
        self.watcher = Consumer(pipeline, self.store, now)
        self.watcher.start()

    def put(self, device: str, **state: Any) -> str:
        return self.azure.put(
            "pillow", strict_json.encode({"device": device, "state": state}).decode()
        )

    def applied(self, *devices: str) -> bool:
        return all(self.store.get(device) is not None for device in devices)

    def drained(self) -> bool:
        return not self.azure.texts("pillow")

    def away(self, *words: str) -> bool:
        assert self.watcher is not None
        health = self.watcher.current()
        return health.status == "away" and all(word in (health.sentence or "") for word in words)

    def blocked(self) -> bool:
        """Whether the store is named, not the queue."""
        return self.watcher is not None and self.watcher.current().status == "blocked"

    def connected(self) -> bool:
        return self.watcher is not None and self.watcher.health.status == "connected"

    def until(self, *conditions: Callable[[], bool], why: str = "") -> None:
        """Wait until all of them hold."""
        deadline = time.monotonic() + SHORT
        while not all(condition() for condition in conditions):
            health = self.watcher.health if self.watcher else None
            assert time.monotonic() < deadline, (
                f"never came to be: {why} {health} {self.azure.asked[-10:]}"
            )
            self.store.wait(0.01)

    def end(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher.join(SHORT)
        else:
            self.source.close()
        self.azure.stop()
        self.store.close()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(retry_pause, "MAX_PAUSE", 0.06)
    monkeypatch.setattr(source, "RETRY_DELAYS", (0.0, 0.01, 0.01))
    made = Scene()
    yield made
    made.end()


OUTAGES: dict[str, tuple[dict[str, Any], str]] = {
    "throttled": ({"kind": "busy"}, "busy or ill (503 ServerBusy)"),
    "too many requests": (
        {"kind": "busy", "status": 429, "code": "TooManyRequests"},
        "busy or ill",
    ),
    "internal error": (
        {"kind": "error", "status": 500, "code": "InternalError"},
        "busy or ill (500",
    ),
    "being deleted": (
        {"kind": "error", "status": 409, "code": "QueueBeingDeleted"},
        "being deleted",
    ),
    "expired signature": (
        {"kind": "error", "status": 403, "code": "AuthenticationFailed"},
        "wrong or has expired",
    ),
    "firewall": ({"kind": "error", "status": 403, "code": "AuthorizationFailure"}, "firewall"),
    "no right": (
        {"kind": "error", "status": 403, "code": FORBIDDEN},
        "Storage Queue Data Message Processor",
    ),
    "old Azurite": (
        {"kind": "error", "status": 400, "code": "InvalidHeaderValue"},
        "does not understand us",
    ),
    "reset": ({"kind": "reset"}, "queue's service"),
    "captive portal": ({"kind": "page"}, "Somebody else answers"),
    "redirected": ({"kind": "redirect"}, "Somebody else answers"),
    "bad XML": ({"kind": "broken"}, "not expected"),
    "cut off": ({"kind": "cut"}, "queue's service"),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_is_told_and_survived(scene: Scene, name: str) -> None:
    fault, sentence = OUTAGES[name]
    # given a queue that fails
    scene.azure.fail(request="receive", times=float("inf"), **fault)
    scene.put("pillow", mood="happy")
    scene.start()
    # then its health says why
    scene.until(lambda: scene.away(sentence), why=sentence)
    assert not scene.applied("pillow")
    # and when it is well again, it goes on by itself
    scene.azure.heal()
    scene.until(lambda: scene.applied("pillow"), scene.drained, scene.connected)


def test_a_service_that_is_gone_comes_back(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.put("a", n=1)
    scene.start()
    scene.until(lambda: scene.applied("a"), scene.drained)
    heard_at = scene.watcher and scene.watcher.health.received_at
    scene.azure.stop()
    scene.until(lambda: scene.away("cannot be reached"))
    assert scene.watcher and scene.watcher.health.received_at >= heard_at  # type: ignore[operator]
    scene.put("b", n=1)
    scene.azure.start()
    scene.until(lambda: scene.applied("b"), scene.drained, scene.connected)
    # The service may have ended in the middle of an answer: then that is what was seen first.
    *away, back = [record.message for record in caplog.records]
    at = f"(The queue's service at {scene.source.client.account.host}"
    gone, broken = (
        f"source pillow: The queue's service {why} {at} {why})"
        for why in ("cannot be reached.", "broke off in the middle of its answer.")
    )
    assert away in ([gone], [broken], [broken, gone])
    assert back.startswith("source pillow: over after ")


def test_a_page_whose_answer_is_lost_comes_again(scene: Scene) -> None:
    # given a receive that hides messages and loses the answer
    scene.azure.fail("lost", "receive")
    scene.put("pillow", mood="happy")
    scene.start()
    scene.until(lambda: scene.azure.asked.count("receive") > 1)
    assert not scene.applied("pillow")
    # when they appear again, then they are applied
    scene.azure.advance(31)
    scene.until(lambda: scene.applied("pillow"), scene.drained)


def test_a_receive_that_hangs_is_told_and_its_page_used_when_it_comes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RESPONSE_TIMEOUT", 0.1)
    scene.azure.fail("hang", "receive")
    scene.put("pillow", mood="happy")
    scene.start()
    scene.until(lambda: scene.away("does not answer"))
    # when it is let go, then the next one brings the message
    scene.azure.heal()
    scene.until(lambda: scene.applied("pillow"), scene.drained, scene.connected)


def test_a_frozen_service_is_away_long_before_its_connection_times_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "OPEN_QUESTION", 0.1)
    scene.put("a", n=1)
    scene.start()
    scene.until(lambda: scene.applied("a"), scene.drained, scene.connected)
    # given a service that takes the request and answers nothing
    scene.azure.fail("hang", "receive")
    scene.until(lambda: scene.away("The queue does not answer."))
    assert scene.watcher is not None
    health = scene.watcher.current()
    assert health.received_at is not None and health.since <= health.received_at, "since its answer"
    # then its page is used when it comes
    scene.put("b", n=1)
    scene.azure.heal()
    scene.until(lambda: scene.applied("b"), scene.drained)
    assert scene.watcher.current().status == "connected"


def test_a_hanging_service_does_not_hold_up_the_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "CLOSE_RECEIVE_TIMEOUT", 0.05)
    scene.azure.fail("hang", "receive")
    scene.start()
    scene.until(lambda: "receive" in scene.azure.asked)
    assert scene.watcher is not None
    scene.watcher.stop()
    scene.watcher.join(SHORT)
    assert not scene.watcher._thread.is_alive()


def test_a_deletion_whose_answer_is_lost_was_done(scene: Scene) -> None:
    scene.azure.fail("lost", "delete")
    scene.put("pillow", mood="happy")
    scene.start()
    scene.until(
        lambda: scene.applied("pillow"),
        scene.drained,
        lambda: scene.azure.asked.count("delete") == 2,
    )
    assert scene.connected()


@pytest.mark.parametrize("kind", ["busy", "reset", "page"])
def test_what_could_not_be_deleted_comes_again_and_is_known(scene: Scene, kind: Any) -> None:
    # given a queue that receives and does not delete
    scene.azure.fail(kind, "delete", times=3)
    scene.put("pillow", mood="happy")
    scene.start()
    scene.until(lambda: scene.applied("pillow"), lambda: scene.azure.asked.count("delete") == 3)
    assert not scene.drained()
    # when the message appears again, then it is deleted, and nothing else happens
    scene.azure.advance(31)
    scene.until(scene.drained)
    assert scene.watcher is not None
    scene.until(lambda: scene.watcher is not None and scene.watcher.total.duplicates == 1)
    assert scene.store.get("pillow").version == 1  # type: ignore[union-attr]


def test_a_message_of_another_consumer_is_not_deleted_under_its_hands(scene: Scene) -> None:
    scene.put("pillow", mood="happy")
    stale = scene.source.receive(32, 0)
    scene.azure.advance(31)
    other = scene.source.receive(32, 0)
    scene.source.acknowledge(stale)
    assert scene.source.acknowledge([]) == [stale[0].id]
    assert not scene.drained()
    scene.source.acknowledge(other)
    assert scene.source.acknowledge([]) == [other[0].id]
    assert scene.drained()


def test_a_poisonous_message_is_set_aside_twice_and_hurts_nobody(scene: Scene) -> None:
    # given garbage among good messages
    garbage = [
        "",
        "\x7f",
        "[" * 60_000,
        '{"device": null}',
        "4711",
        '{"device": "a", "state": {"n": NaN}}',
        "&<>é",
    ]
    devices = [f"d{number}" for number in range(40)]
    for number, device in enumerate(devices):
        scene.put(device, n=number)
        if number < len(garbage):
            scene.azure.put("pillow", garbage[number])
    scene.start()
    # then the good ones are applied, the others in quarantine, each with a reason
    scene.until(lambda: scene.applied(*devices), scene.drained)
    rows = scene.store.quarantined()
    assert sorted(row.body.decode() for row in rows) == sorted(garbage)
    assert all(row.reason for row in rows)
    # and copies are where Azure's own tools put them, for good
    scene.until(lambda: len(scene.azure.texts("pillow-poison")) == len(garbage))
    assert sorted(scene.azure.texts("pillow-poison")) == sorted(garbage)
    scene.azure.advance(8 * 86_400)
    assert all(one.expires > scene.azure.now() for one in scene.azure.queues["pillow-poison"])


def test_a_count_alone_condemns_nothing(scene: Scene) -> None:
    scene.put("pillow", mood="happy")
    for _ in range(10):
        assert len(scene.source.receive(32, 0)) == 1
        scene.azure.advance(31)
    scene.start()
    scene.until(lambda: scene.applied("pillow"), scene.drained)
    assert scene.store.quarantine_count() == 0


def test_least_rights_suffice(scene: Scene) -> None:
    # given a SAS that may receive and delete, and nothing else
    scene.azure.rights = "p"
    scene.azure.queues["pillow-poison"] = []
    scene.put("pillow", mood="happy")
    scene.azure.put("pillow", "garbage")
    scene.start()
    scene.until(
        lambda: scene.applied("pillow"), scene.drained, lambda: scene.store.quarantine_count() == 1
    )
    # then all goes its way, without a copy, and how many wait is asked once
    assert scene.connected() and scene.watcher is not None and scene.watcher.health.waiting is None
    scene.put("other", n=1)
    scene.until(lambda: scene.applied("other"), scene.drained)
    assert scene.azure.asked.count("count") <= 1
    assert scene.azure.texts("pillow-poison") == []


def test_a_queue_that_is_missing_is_made(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.azure.queues.clear()
    scene.start()
    scene.until(lambda: "pillow" in scene.azure.queues, scene.connected)
    scene.put("pillow", mood="happy")
    scene.until(lambda: scene.applied("pillow"), scene.drained)
    assert "made it" in caplog.text


def test_a_queue_that_may_not_be_made_says_how(scene: Scene) -> None:
    scene.azure.queues.clear()
    scene.azure.rights = "p"
    scene.start()
    scene.until(lambda: scene.away("az storage queue create --name pillow"))
    scene.azure.queues["pillow"] = []
    scene.until(scene.connected)


def test_a_misspelt_queue_is_not_made_if_told_so(scene: Scene) -> None:
    scene.open("pilow?create=no")
    scene.start()
    scene.until(lambda: scene.away("There is no queue “pilow”"))
    assert "pilow" not in scene.azure.queues


def test_while_the_store_is_down_the_page_is_held(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, down = scene.store.commit, threading.Event()
    down.set()
    tried: list[int] = []

    def failing(*arguments: Any, **more: Any) -> Any:
        tried.append(len(scene.azure.asked))
        if down.is_set():
            raise StoreUnavailable("The disk is full.")
        return commit(*arguments, **more)

    monkeypatch.setattr(scene.store, "commit", failing)
    scene.put("pillow", mood="happy")
    scene.start()
    # given a store that fails again and again: nothing more is received meanwhile, nobody poisons
    # anything
    scene.until(lambda: len(tried) > 5, lambda: scene.blocked())
    assert scene.azure.asked.count("receive") == 1
    # when it is back, then nothing was lost
    down.clear()
    scene.until(lambda: scene.applied("pillow"), scene.drained, scene.connected)
    assert scene.store.quarantine_count() == 0


def test_what_is_in_hand_at_the_end_is_given_back_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **more: Any) -> Any:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(scene.store, "commit", failing)
    scene.put("pillow", mood="happy")
    scene.start()
    scene.until(lambda: scene.blocked())
    assert scene.watcher is not None
    scene.watcher.stop()
    scene.watcher.join(SHORT)
    # then another process gets it without waiting for the visibility
    scene.open("pillow")
    assert [one.attempt for one in scene.source.receive(32, 0)] == [2]
    scene.source.close()


def test_what_the_server_sends_wakes_its_own_watcher(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", scene.azure.connection)
    runtime = Runtime(Settings(store="memory:", source=("azure-queue:pillow", "embedded:queue")))
    runtime.start()
    # the queue that is sent to is the one that is watched, so that sending wakes its consumer
    assert runtime.queue is runtime.consumers[0].pipeline.source
    assert [one.name for one in runtime.consumers] == ["pillow", "queue"]
    runtime.send(b'{"device": "pillow", "state": {"mood": "happy"}}')
    scene.until(
        lambda: runtime.store.get("pillow") is not None,
        lambda: all(one["status"] == "connected" for one in runtime.report()["sources"].values()),
    )
    assert runtime.report()["sources"]["pillow"]["requests_per_hour"] > 0
    assert "requests_per_hour" not in runtime.report()["sources"]["queue"]
    runtime.stop()


def test_no_secret_is_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setLevel(logging.DEBUG)
    secret = "c2VjcmV0LXNpZ25hdHVyZQ"
    port = scene.azure.connection.rpartition(":")[2].split("/")[0]
    sas = f"http://127.0.0.1:{port}/devstoreaccount1/pillow?sv=2022-11-02&sp=p&sig={secret}"
    scene.open("pillow", AZURE_STORAGE_CONNECTION_STRING=sas)
    scene.put("pillow", mood="happy")
    scene.start()
    scene.until(lambda: scene.applied("pillow"), scene.drained)
    told = []
    for fault, sentence in [*OUTAGES.values(), ({"kind": "stop"}, "cannot be reached")]:
        if fault["kind"] == "stop":
            scene.azure.stop()
        else:
            scene.azure.fail(request="receive", times=float("inf"), **fault)
        scene.until(lambda sentence=sentence: scene.away(sentence))  # type: ignore[misc]
        told.append(scene.watcher.health.sentence if scene.watcher else "")
        scene.azure.heal()
    assert secret not in caplog.text + str(told) + repr(scene.source.client.account)
    # and the sentences for viewers name no account: its host is for the log
    assert f"127.0.0.1:{port}" in caplog.text and f"127.0.0.1:{port}" not in str(told)
    for record in caplog.records:
        assert secret not in str(record.exc_info)


def test_a_connection_to_nobody(scene: Scene) -> None:
    sas = "https://127.0.0.1:9/?sv=2022-11-02&sp=p&sig=c2VjcmV0"
    scene.open("pillow", AZURE_STORAGE_CONNECTION_STRING=sas)
    scene.start()
    scene.until(lambda: scene.away("The queue's service cannot be reached"))
