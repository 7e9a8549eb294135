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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azurite_server import KEY, Azurite
from certificates import write_certificate
from statecast.commands.request import new_command
from statecast.errors import SourceUnavailable
from statecast.flask import create_app, runtime_of
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.azure_queue import AzureQueue
from statecast.sources.azure_queue.account import Account
from statecast.sources.azure_queue.client import QueueClient
from statecast.sources.azure_queue.poll_interval import PollInterval
from statecast.sources.contract import SourceContext
from tests.waiting import wait_for

VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT = "devstoreaccount1"


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


MISSING: dict[str, tuple[str, Callable[[QueueClient], object], str]] = {
    "to receive": ("a", lambda queue: queue.receive(1, 30), "the permission p (process)"),
    "to delete": ("a", lambda queue: queue.delete(NO_MESSAGE, "AgAAAAMAAAAA"), "permission p"),
    "to send": ("p", lambda queue: queue.send("{}"), "the permission a (add)"),
    "to count": ("p", lambda queue: queue.count(), "the permission r (read)"),
    "to release": ("p", lambda queue: queue.release(NO_MESSAGE, "AgAAAAMAAAAA"), "permission u"),
}
NO_MESSAGE = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("case", MISSING)
def test_each_missing_right_is_named(azurite: Azurite, case: str) -> None:
    rights, action, sentence = MISSING[case]
    owner = opened(azurite.connection, "missing")
    owner.send(b"{}")
    source = opened(f"{azurite.address}/missing?{signature('missing', rights)}", "missing")
    with pytest.raises(SourceUnavailable) as caught:
        action(source.client)
    assert sentence in str(caught.value) and "“missing”" in str(caught.value)
    source.close()
    owner.close()


SENDING: dict[str, tuple[str, bool, str, str]] = {
    "may add": ("a", True, "good", "Commands may be put into the queue “sending-a-true”"),
    "may add and read": ("ar", True, "good", "Commands may be put into the queue"),
    "may only process": ("p", True, "wrong", "the permission a (add)"),
    "no queue yet": ("ar", False, "notice", "the first command makes it"),
}


@pytest.mark.parametrize("case", SENDING)
def test_doctor_says_whether_commands_may_be_put_into_a_queue(azurite: Azurite, case: str) -> None:
    rights, is_there, verdict, sentence = SENDING[case]
    name = f"sending-{rights}-{is_there}".lower()
    owner = opened(azurite.connection, name)
    if is_there:
        owner.client.create()
    queue = opened(f"{azurite.address}/{name}?{signature(name, rights)}", name)
    (finding,) = queue.examine_sending()
    assert finding.verdict == verdict and sentence in finding.sentence
    # and nothing was left in it
    if is_there:
        assert owner.client.count() == 0
    queue.close()
    owner.close()


def test_the_least_rights_suffice_for_states_commands_and_edits(
    azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that may only receive from one queue and only send to the other
    states, commands = (opened(azurite.connection, name) for name in ("in-least", "out-least"))
    states.send(b'{"device": "pillow", "state": {"mood": "calm"}, "commands": ["hug"]}')
    commands.client.create()
    address = azurite.address
    monkeypatch.setenv(VARIABLE, f"{address}/in-least?{signature('in-least', 'p')}")
    monkeypatch.setenv("COMMANDS", f"{address}/out-least?{signature('out-least', 'a')}")
    app = create_app(
        Settings(
            store=f"sqlite:///{tmp_path}/store.db",
            source=("azure-queue:in-least",),
            command_queues={"*": "azure-queue:out-least?connection=COMMANDS"},
        )
    )
    live, client = runtime_of(app), app.test_client()
    live.open_sources()
    live.start()
    try:
        wait_for(lambda: live.store.get("pillow") is not None)
        # when a person edits the device, then that is committed at once
        edited = client.patch("/api/devices/pillow", json={"note": "by hand"})
        assert (edited.status_code, edited.get_json()["cause"]["source"]) == (200, "api")
        assert edited.get_json()["state"] == {"mood": "calm", "note": "by hand"}
        # and what it is asked arrives, and its answer comes back
        asked = live.begin_command(new_command("pillow", "hug"))
        taken: list[Any] = []
        wait_for(lambda: bool(taken.extend(commands.receive(1, 0)) or taken))
        assert json.loads(taken[0].body)["id"] == asked.id
        answer = {"device": "pillow", "command": asked.id, "outcome": "done"}
        states.send(json.dumps(answer).encode())
        wait_for(lambda: live.store.command(asked.id).status == "done")
    finally:
        live.stop()
        states.close()
        commands.close()


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
