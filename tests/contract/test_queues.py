"""A queue as the program of a device opens it: the same for every kind of queue."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azurite_server import Azurite
from statecast.errors import BadSetting, TooLarge
from statecast.sources import open_queue

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


@pytest.fixture(scope="module")
def azurite(azurite_program: list[str | Path]) -> Iterator[Azurite]:
    server = Azurite(azurite_program)
    server.start()
    yield server
    server.stop()


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
