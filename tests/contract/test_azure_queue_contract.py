"""The Azure source keeps the contract of sources, over the fake service and over Azurite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from azurite_server import Azurite
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.azure_queue import AzureQueue
from statecast.sources.contract import DeadLetterSource, Metered, Sender, Source, SourceContext
from statecast.testing import SourceContract
from statecast.testing.azure import FakeAzure


class OverAzure(SourceContract):
    connection: str
    sources: list[AzureQueue]
    queue = "pillow"

    def make_source(self, visibility_timeout: float) -> Source:
        environ = {"AZURE_STORAGE_CONNECTION_STRING": self.connection}
        context = SourceContext(
            lambda: pytest.fail("it needs no store"), Settings(), environ, lambda: 0
        )
        source = open_source(
            f"azure-queue:{self.queue}?visibility_timeout={visibility_timeout}", context
        )
        assert isinstance(source, AzureQueue)
        self.sources.append(source)
        return source

    def put(self, body: bytes) -> None:
        source = self.sources[0] if self.sources else self.make_source(30)
        source.send(body)  # type: ignore[attr-defined]

    def test_it_keeps_the_optional_contracts(self) -> None:
        source = self.make_source(30)
        assert (
            isinstance(source, Metered)
            and isinstance(source, DeadLetterSource)
            and isinstance(source, Sender)
        )


class TestFakeAzure(OverAzure):
    @pytest.fixture(autouse=True)
    def service(self) -> Iterator[None]:
        self.azure, self.sources = FakeAzure(), []
        self.azure.start()
        self.connection = self.azure.connection
        yield
        for source in self.sources:
            source.close()
        self.sources.clear()  # the last answer of each holds a connection until it is collected
        self.azure.stop()

    def advance(self, seconds: float) -> None:
        self.azure.advance(seconds)


class TestAzurite(OverAzure):
    @pytest.fixture(autouse=True)
    def service(self, azurite: Azurite, request: pytest.FixtureRequest) -> Iterator[None]:
        self.azurite, self.sources, self.connection = azurite, [], azurite.connection
        self.queue = f"q{abs(hash(request.node.name))}"[:40]
        yield
        for source in self.sources:
            source.close()
        self.sources.clear()  # the last answer of each holds a connection until it is collected

    def advance(self, seconds: float) -> None:
        self.azurite.advance(seconds)
