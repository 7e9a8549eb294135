"""A queue as the program of a device opens it: the same for every kind of queue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from azurite_server import Azurite
from statecast.commands.request import new_command
from statecast.errors import BadSetting, TooLarge
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources import open_queue
from tests.waiting import wait_for

DEVICE = """
import sys
from statecast.sources import open_queue
url, store = sys.argv[1:]
with open_queue(url, store=store) as commands:
    taken = commands.receive(2, wait=10)
    commands.delete(taken)
    print(*[item.body.decode() for item in taken])
"""
"""A program that takes two messages."""


class AnyQueue:
    scheme: str

    @pytest.fixture
    def url(self, request: pytest.FixtureRequest) -> str:
        return f"{self.scheme}:q{abs(hash(request.node.name))}"[:40]

    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/statecast.db"

    def test_what_is_received_and_deleted_is_gone(self, url: str, store: str) -> None:
        with open_queue(url, store=store) as sender, open_queue(url, store=store) as device:
            # Given an empty queue
            assert device.receive() == []
            # When two messages are sent, the second one in letters beyond ASCII
            sender.send(b'{"name":"hug"}')
            sender.send('{"name":"fühlen"}'.encode())
            # Then the device has both in their order, and nobody else while it has them
            items = device.receive(wait=10)
            bodies = [item.body.decode() for item in items]
            assert bodies == ['{"name":"hug"}', '{"name":"fühlen"}']
            assert sender.receive() == []
            # And what was deleted is gone when the call returns
            device.delete(items)
            assert sender.receive() == [] and device.receive() == []

    def test_another_process_takes_and_deletes(self, url: str, store: str) -> None:
        with open_queue(url, store=store) as queue:
            for number in range(3):
                queue.send(b"%d" % number)
            # When a program of its own takes two messages and ends
            found = subprocess.run(
                [sys.executable, "-c", DEVICE, url, store],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            assert found.stdout.split() == ["0", "1"]
            # Then the third one is left
            assert [item.body for item in queue.receive(wait=10)] == [b"2"]

    def test_a_message_that_is_too_large_is_refused(self, url: str, store: str) -> None:
        with open_queue(url, store=store) as queue, pytest.raises(TooLarge, match="65537 bytes"):
            queue.send(b"x" * 65_537)

    def test_a_command_goes_through_its_queue_and_the_answer_comes_back(
        self, url: str, store: str
    ) -> None:
        # Given two servers on one store, and a device that reports through a queue and whose
        # commands go into another one
        source = f"{url}s"
        settings = Settings(store=store, source=(f"{source}?commands={url}",))
        servers = [Runtime(settings), Runtime(settings)]
        for server in servers:
            server.open_sources()
            server.start()
        live = servers[1]
        with open_queue(url, store=store) as commands, open_queue(source, store=store) as states:
            states.send(b'{"device":"pillow","state":{"mood":"calm"}}')
            wait_for(lambda: live.store.get("pillow") is not None)
            # When it is asked, does it, and says so
            asked = [live.begin_command(new_command("pillow", "hug")) for _ in range(3)]
            taken = []
            while len(taken) < len(asked):
                found = commands.receive(wait=10)
                taken += [json.loads(item.body) for item in found]
                commands.delete(found)
            for one in taken:
                answer = {"device": "pillow", "command": one["id"], "outcome": "done"}
                states.send(json.dumps(answer).encode())
            # Then each command came once, and is done
            assert [one["id"] for one in taken] == [one.id for one in asked]
            wait_for(lambda: {one.status for one in live.store.commands()} == {"done"})
            # And the other server goes on when the one with the lease stops
            servers[0].stop()
            last = live.begin_command(new_command("pillow", "hug"))
            assert [json.loads(item.body)["id"] for item in commands.receive(wait=10)] == [last.id]
            wait_for(lambda: live.store.command(last.id).status == "delivered")
        live.stop()


class TestEmbedded(AnyQueue):
    scheme = "embedded"


class TestAzurite(AnyQueue):
    scheme = "azure-queue"

    @pytest.fixture(autouse=True)
    def account(self, azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("pillow-commands", "There is no source 'pillow-commands'; a source is written"),
        ("carrier-pigeon:pillow", "There is no source 'carrier-pigeon:pillow'"),
        ("embedded:", "lacks the queue's name"),
        ("embedded:commands?order=time", "has no option 'order'"),
    ],
)
def test_a_wrong_url_is_refused_with_a_sentence(url: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=sentence):
        open_queue(url, store=f"sqlite:///{tmp_path}/statecast.db")
