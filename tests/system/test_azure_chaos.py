"""Everything at once: duplicates, disorder, garbage, faults, consumers that die. The state is the
oracle's.

What goes wrong is drawn from a seed; which thread meets it is not, so a failure may need several
runs to come again.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess
from test_azure_faults import Scene

from statecast import strict_json, timestamps
from statecast.model import Change, Stamp
from statecast.sources import retry_pause
from statecast.sources.azure_queue import source
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing.azure import FakeAzure, Fault, Kind
from statecast.testing.oracle import folded
from statecast.timestamps import now
from tests.waiting import wait_for

MESSAGES, DEVICES, FIELDS = 300, 6, 4
FAULTS: tuple[Kind, ...] = ("busy", "reset", "lost", "lost", "page", "broken", "cut", "redirect")


class Unreliable(FakeAzure):
    """Every fifth request or so goes wrong, until it is healed."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.met: Counter[str] = Counter()
        self.well = True

    def _fault(self, request: str) -> Fault | None:
        if (
            self.well
            or request not in ("receive", "delete", "send", "release")
            or self.chance.random() > 0.2
        ):
            return None
        kind = self.chance.choice(FAULTS)
        self.met[kind] += 1
        return Fault(kind, request, 1)


@pytest.fixture
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(retry_pause, "MAX_PAUSE", 0.051)
    monkeypatch.setattr(source, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(
        "test_azure_faults.FakeAzure", lambda: Unreliable(random.Random(request.param))
    )
    made = Scene()
    yield made
    made.end()


def drawn(chance: random.Random, began: int, messages: int = MESSAGES) -> list[Change]:
    """Changes of a few devices that overwrite each other; each has a time of its own."""
    return [
        Change(
            f"d{chance.randrange(DEVICES)}",
            chance.choice(("merge", "merge", "merge", "replace")),
            {
                f"f{chance.randrange(FIELDS)}": chance.choice(
                    (None, number, {"deep": number}, "text")
                )
            },
            time=began + number,
        )
        for number in range(messages)
    ]


def written(change: Change) -> str:
    said = {
        "device": change.device,
        "state": change.state,
        "time": timestamps.iso(change.time or 0),
    }
    return json.dumps(said | ({"replace": True} if change.kind == "replace" else {}))


@pytest.mark.parametrize("scene", range(4), indirect=True)
def test_the_state_is_the_oracles(scene: Scene) -> None:
    azure = scene.azure
    assert isinstance(azure, Unreliable)
    chance = random.Random(azure.chance.random())
    # given messages in any order, some twice, and garbage between them
    changes = drawn(chance, int(azure.now() * 1000) - 3_600_000)
    texts = [written(change) for change in changes]
    garbage = [f"garbage {number}" for number in range(30)]
    everything = texts + chance.sample(texts, 60) + garbage
    chance.shuffle(everything)
    azure.well = False
    scene.start()
    for number, text in enumerate(everything):
        azure.put("pillow", text)
        if number % 20 == 0:
            azure.advance(chance.choice((0, 5, 31, 40)))
        if number % 60 == 30:
            # when a consumer takes messages and dies, and another one starts
            azure.answer(
                "GET", "/devstoreaccount1/pillow/messages?numofmessages=7&visibilitytimeout=30", b""
            )
            assert scene.watcher is not None
            scene.watcher.stop()
            scene.watcher.join()
            scene.open("pillow")
            scene.start()
    azure.well = True

    def drained() -> bool:
        azure.advance(3)
        return scene.drained()

    scene.until(drained, scene.connected)
    # then every device is what its messages say, the garbage is in quarantine, each once
    assert sum(azure.met.values()) > 10
    compare(scene.store, changes, garbage)
    assert set(azure.texts("pillow-poison")) <= set(garbage)


def compare(store: Store, changes: list[Change], garbage: list[str]) -> None:
    for device in {change.device for change in changes}:
        stamped = [(Stamp(one.time or 0, 0, 0), one) for one in changes if one.device == device]
        found = store.get(device)
        assert found is not None and strict_json.decode(found.state or b"null") == folded(
            stamped
        ), device
    assert Counter(row.body.decode() for row in store.quarantined(limit=10_000)) == Counter(garbage)


def test_a_server_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """With TEST_STATECAST_AZURE=10000,20: so many messages, so many kills."""
    count, kills = map(int, os.environ.get("TEST_STATECAST_AZURE", "250,3").split(","))
    chance = random.Random(7)
    azure = FakeAzure()
    azure.start()
    changes = drawn(chance, int(azure.now() * 1000) - 3_600_000, count)
    texts, garbage = (
        [written(change) for change in changes],
        [f"garbage {number}" for number in range(count // 20)],
    )
    everything = texts + chance.sample(texts, count // 10) + garbage
    chance.shuffle(everything)
    for text in everything:
        azure.put("pillow", text)

    def left_over() -> str:
        return f"{len(azure.texts('pillow'))} messages are left"

    def running() -> ServerProcess:
        variables = {"AZURE_STORAGE_CONNECTION_STRING": azure.connection}
        return ServerProcess(
            tmp_path, "--source", "azure-queue:pillow?idle=0.2", "--port", "0", **variables
        )

    for kill in range(1, kills + 1):
        server, left = running(), len(everything) * (1 - kill / (kills + 1))
        wait_for(lambda left=left: len(azure.texts("pillow")) <= left, left_over, seconds=60)  # type: ignore[misc]
        server.kill()
        azure.advance(31)
    server = running()

    def drained() -> bool:
        return not azure.texts("pillow")

    wait_for(drained, left_over, seconds=120)
    assert server.terminate() == 143
    azure.stop()
    store = open_store(f"sqlite:///{tmp_path / 'statecast.db'}", Limits(), now, begin_epoch=False)
    compare(store, changes, garbage)
    store.close()
