"""With nothing but a connection string.

The samples of the vendors' documents, byte for byte, from queue to states.
"""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ENVIRONMENT, PROGRAM, ServerProcess

from statecast.testing.azure import FakeAzure
from tests.waiting import wait_for

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SHORT = 30
VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"


@pytest.fixture
def servers() -> Iterator[list[ServerProcess]]:
    made: list[ServerProcess] = []
    yield made
    for one in made:
        one.kill()


def put(azure: FakeAzure, queue: str, *texts: str) -> None:
    """As a program with the vendor's SDK does."""
    from azure.storage.queue import QueueClient

    with QueueClient.from_connection_string(
        azure.connection, queue, api_version="2022-11-02"
    ) as client:
        if queue not in azure.queues:
            client.create_queue()
        for text in texts:
            client.send_message(text)


def states(server: ServerProcess) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.address}/api/devices", timeout=SHORT) as answer:
        return {item["device"]: item["state"] for item in json.load(answer)["devices"]}


def text(name: str) -> str:
    return (SAMPLES / name).read_text()


def encoded(name: str) -> str:
    return base64.b64encode((SAMPLES / name).read_bytes()).decode()


def command(folder: Path, azure: FakeAzure, *words: str) -> subprocess.CompletedProcess[str]:
    environment = ENVIRONMENT | {VARIABLE: azure.connection}
    return subprocess.run(
        [PROGRAM, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SHORT,
    )


def test_whatever_they_put_into_the_queue_is_shown(
    azure: FakeAzure, tmp_path: Path, servers: list[ServerProcess]
) -> None:
    # Given what Event Grid (Base64), an SDK (text) and a function have put into a queue
    put(
        azure,
        "pillow",
        *(encoded(name) for name in ("event_grid_blob.json", "iot_hub_connected.json")),
    )
    put(
        azure,
        "pillow",
        *(text(name) for name in ("cloud_event_blob.json", "iot_hub_telemetry.json", "plain.json")),
    )
    put(azure, "pillow", encoded("twin_update.json"))
    # When a server watches it
    server = ServerProcess(
        tmp_path,
        "--source",
        "azure-queue:pillow?idle=0.2",
        "--port",
        "0",
        **{VARIABLE: azure.connection},
    )
    servers.append(server)
    wait_for(lambda: len(states(server)) == 5, lambda: states(server))
    # Then each is the state of its device
    shown = states(server)
    assert shown["d-17"] == {"on": True}
    assert shown["d1"] == {"Weather": {"Temperature": 900}, "Location": "USA"}
    assert shown["LogicAppTestDevice/DeviceModuleID"] == {"connectionState": "Connected"}
    assert (
        shown["blobServices/default/containers/deadletter/blobs/myBlobFile.txt"]["api"] == "PutBlob"
    )
    assert (
        shown["blobServices/default/containers/_x7B_container_x7D_/blobs/_x7B_new-file_x7D_"][
            "contentLength"
        ]
        == 30699
    )
    # And the twin that does not say whose it is waits in quarantine, in Base64 as it came
    listed = command(tmp_path, azure, "quarantine", "list")
    assert "must add deviceId and opType" in listed.stdout
    assert command(tmp_path, azure, "quarantine", "show", "1", "--body").stdout == encoded(
        "twin_update.json"
    )
    # When it is read anew, with the name of the device that all of them are about
    source = "azure-queue:pillow?default=thermostat"
    again = command(tmp_path, azure, "quarantine", "replay", "--all", "--source", source)
    assert again.stdout == "Replayed: 1.\n", again.stderr
    # Then it is shown too
    wait_for(lambda: "thermostat" in states(server), lambda: states(server))
    assert states(server)["thermostat"] == {
        "tags": {"tag1": "new value"},
        "desired": {"property1": "new value"},
    }


def test_where_the_sequence_is_the_order_the_last_write_wins(
    azure: FakeAzure, tmp_path: Path, servers: list[ServerProcess]
) -> None:
    # Given two writes of one blob, delivered the wrong way round, with clocks that disagree; and an
    # event sent twice
    first = json.loads(text("event_grid_blob.json"))
    second = {**first, "id": "second", "eventTime": "2020-08-13T17:00:00Z"}
    second["data"] = first["data"] | {
        "eTag": "0x2",
        "sequencer": "0000000000000000000000000001550800000000000510ff",
    }
    put(azure, "blobs", json.dumps([second]), json.dumps(first), json.dumps(second))
    # When a source is ordered by sequence
    source = "azure-queue:blobs?order=sequence&prefix=storage/&idle=0.2"
    server = ServerProcess(
        tmp_path, "--source", source, "--port", "0", **{VARIABLE: azure.connection}
    )
    servers.append(server)
    device = "storage/blobServices/default/containers/deadletter/blobs/myBlobFile.txt"
    wait_for(lambda: not azure.queues["blobs"], lambda: azure.queues)
    # Then the later write is what is shown
    assert states(server)[device]["eTag"] == "0x2"


def test_a_wrong_option_is_a_sentence(azure: FakeAzure, tmp_path: Path) -> None:
    for option, sentence in (
        ("device=subject", "must be a JSON pointer"),
        ("devise=/subject", "device"),
    ):
        said = command(
            tmp_path, azure, "run", "--source", f"azure-queue:pillow?{option}", "--port", "0"
        )
        assert said.returncode != 0 and sentence in said.stderr and "Traceback" not in said.stderr
