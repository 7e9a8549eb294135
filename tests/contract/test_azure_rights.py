"""What lets us in at Azurite, which checks signatures.

A SAS with the least rights, an expired one, a token.
"""

from __future__ import annotations

import base64
import datetime
import json
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azurite_server import KEY, Azurite
from certificates import write_certificate
from statecast.errors import SourceUnavailable
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.azure_queue import AzureQueue
from statecast.sources.azure_queue.account import Account
from statecast.sources.azure_queue.client import QueueClient
from statecast.sources.azure_queue.poll_interval import PollInterval
from statecast.sources.contract import SourceContext

VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT = "devstoreaccount1"


@pytest.fixture(scope="module")
def azurite(azurite_program: list[str | Path]) -> Iterator[Azurite]:
    server = Azurite(azurite_program)
    server.start()
    yield server
    server.stop()


def opened(connection: str, queue: str) -> AzureQueue:
    context = SourceContext(
        lambda: pytest.fail("no store"), Settings(), {VARIABLE: connection}, lambda: 0
    )
    source = open_source(f"azure-queue:{queue}", context)
    assert isinstance(source, AzureQueue)
    return source


def signature(queue: str, rights: str, hours: float = 1) -> str:
    from azure.storage.queue import generate_queue_sas

    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    return generate_queue_sas(ACCOUNT, queue, KEY, permission=rights, expiry=until)


def test_a_sas_that_may_receive_and_delete_suffices(azurite: Azurite) -> None:
    # given a queue with a message, and a SAS with the one right
    owner = opened(azurite.connection, "least")
    owner.send(b'{"device": "pillow", "state": {}}')
    source = opened(f"{azurite.address}/least?{signature('least', 'p')}", "least")
    # when it is examined, nothing is wrong but a number that cannot be told
    assert [finding.verdict for finding in source.examine()] == ["good", "notice", "good"]
    # and it receives and deletes
    page = source.receive(32, 0)
    assert [one.body for one in page] == [b'{"device": "pillow", "state": {}}']
    source.refused([one.id for one in page])
    source.acknowledge(page)
    assert source.acknowledge([]) == [page[0].id]
    assert owner.client.count() == 0
    with pytest.raises(SourceUnavailable, match="may not send to the queue “least”"):
        source.send(b"{}")
    source.close()
    owner.close()


def test_a_sas_that_has_expired_says_so(azurite: Azurite) -> None:
    owner = opened(azurite.connection, "expired")
    owner.send(b"{}")
    source = opened(f"{azurite.address}/expired?{signature('expired', 'raup', -1)}", "expired")
    with pytest.raises(SourceUnavailable, match="wrong or has expired"):
        source.receive(32, 0)
    assert [finding.verdict for finding in source.examine()] == ["wrong"]
    source.close()
    owner.close()


def test_a_wrong_key_says_so(azurite: Azurite) -> None:
    wrong = azurite.connection.replace(KEY, base64.b64encode(b"x" * 64).decode())
    source = opened(wrong, "pillow")
    with pytest.raises(SourceUnavailable, match="refuses the key or signature"):
        source.receive(32, 0)
    source.close()


def token(seconds: int) -> str:
    """As Entra would write it, for the service of storage; Azurite does not check who signed it."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    tenant = "00000000-0000-0000-0000-000000000001"
    now = int(time.time())
    said = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{tenant}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + seconds,
        "tid": tenant,
        "oid": tenant,
    }
    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(said)}.c2lnbmF0dXJl"


def test_an_identity_opens_the_queue(
    azurite_program: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a service with a certificate, and an identity (azure-identity itself would ask the cloud
    # for its token)
    from azure.core.credentials import AccessToken

    files = write_certificate(tmp_path)
    azurite = Azurite(azurite_program, certificate=files)
    azurite.start()
    asked: list[str] = []

    class DefaultAzureCredential:
        def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            asked.extend(scopes)
            return AccessToken(token(3600), int(time.time()) + 3600)

    module = types.ModuleType("azure.identity")
    module.DefaultAzureCredential = DefaultAzureCredential  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure.identity", module)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files[0]))
    account = Account(azurite.address, azurite.address.split("/")[2])
    source = AzureQueue(
        "pillow", QueueClient(account, "pillow"), interval=PollInterval(), clock=lambda: 0
    )
    # when messages go to and fro, then one token was asked for all of it
    source.send(b"{}")
    page = source.receive(32, 0)
    assert [one.body for one in page] == [b"{}"]
    source.acknowledge(page)
    assert source.acknowledge([]) == [page[0].id]
    assert asked == ["https://storage.azure.com/.default"]
    source.close()
    azurite.stop()
