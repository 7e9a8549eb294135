"""``statecast run --source azure-queue:pillow`` as users start it.

With a connection string in the environment.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ENVIRONMENT, HERE, PROGRAM, ServerProcess

from azurite_server import SHORT, Azurite
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.timestamps import now
from tests.waiting import wait_for

VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
SAMPLES = Path(__file__).resolve().parent.parent / "samples"
DEVICES = {
    "event_grid_blob.json": "blobServices/default/containers/deadletter/blobs/myBlobFile.txt",
    "cloud_event_blob.json": "blobServices/default/containers/_x7B_container_x7D_/blobs/"
    "_x7B_new-file_x7D_",
    "iot_hub_connected.json": "LogicAppTestDevice/DeviceModuleID",
    "iot_hub_telemetry.json": "d1",
    "plain.json": "d-17",
}
"""The documented samples that need no option, and the devices they name."""
SOURCE = ("--source", "azure-queue:pillow?idle=0.2", "--port", "0")


@pytest.fixture
def azurite(azurite_program: list[str | Path], tmp_path: Path) -> Iterator[Azurite]:
    """One that keeps its queues when it is stopped."""
    folder = tmp_path / "azurite"
    folder.mkdir()
    server = Azurite(azurite_program, folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def servers() -> Iterator[list[ServerProcess]]:
    made: list[ServerProcess] = []
    yield made
    for one in made:
        one.kill()


def asked(server: ServerProcess, path: str) -> Any:
    with urllib.request.urlopen(server.address + path, timeout=SHORT) as answer:
        return json.load(answer)


def states(server: ServerProcess) -> dict[str, Any]:
    return {item["device"]: item["state"] for item in asked(server, "/api/devices")["devices"]}


def send(azurite: Azurite, *words: str) -> None:
    command = [PROGRAM, "send", "--source", "azure-queue:pillow", *words]
    subprocess.run(
        command, env=ENVIRONMENT | {VARIABLE: azurite.connection}, check=True, timeout=SHORT
    )


def client(azurite: Azurite) -> Any:
    from azure.storage.queue import QueueClient

    return QueueClient.from_connection_string(
        azurite.connection, "pillow", api_version="2022-11-02"
    )


def health(folder: Path) -> dict[str, Any]:
    """What the running server tells the others of its source."""
    store = open_store(f"sqlite:///{folder / 'statecast.db'}", Limits(), now, begin_epoch=False)
    try:
        found = [report["sources"].get("pillow", {}) for report in store.reports().values()]
    finally:
        store.close()
    return next((one for one in found if one), {})


def test_a_message_of_any_writer_is_shown_and_an_outage_survived(
    azurite: Azurite, tmp_path: Path, servers: list[ServerProcess]
) -> None:
    # given a server with nothing but a connection string
    server = ServerProcess(tmp_path, *SOURCE, **{VARIABLE: azurite.connection})
    servers.append(server)
    # when the command, the SDK and a writer of Base64 send (the server makes the queue)
    send(azurite, "command", "n=1")
    with client(azurite) as queue:
        queue.send_message('{"device": "sdk", "state": {"n": 2}}')
        queue.send_message(base64.b64encode(b'{"device": "functions", "state": {"n": 3}}').decode())
        # and so do Event Grid (in Base64) and whoever forwards its events as they are
        for number, file in enumerate(DEVICES):
            sample = (SAMPLES / file).read_bytes()
            queue.send_message((base64.b64encode(sample) if number % 2 else sample).decode())
    wait_for(
        lambda: states(server).keys() == {"command", "sdk", "functions", *DEVICES.values()},
        "never shown",
    )
    wanted = states(server)
    assert [wanted[name] for name in ("command", "sdk", "functions")] == [
        {"n": 1},
        {"n": 2},
        {"n": 3},
    ]
    wait_for(lambda: health(tmp_path).get("status") == "connected", "never connected")

    # when Azure is gone
    heard_at = health(tmp_path)["received_at"]
    azurite.stop()
    wait_for(lambda: health(tmp_path).get("status") == "away", "its absence was not told")
    away = health(tmp_path)
    assert away["received_at"] >= heard_at and "cannot be reached" in away["sentence"]
    assert states(server) == wanted
    # and comes back with a message that waited in it
    azurite.start()
    send(azurite, "later", "n=4")
    wait_for(lambda: states(server).get("later") == {"n": 4}, "it did not recover")
    wait_for(lambda: health(tmp_path)["status"] == "connected", "its recovery was not told")

    # then doctor is content, and nothing anywhere tells the key
    told = subprocess.run(
        [PROGRAM, "doctor", *SOURCE[:2]], cwd=tmp_path,
        env=ENVIRONMENT | {VARIABLE: azurite.connection},
        capture_output=True, text=True, timeout=SHORT,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert (
        "requests per hour" in told.stdout and "The running server receives from it" in told.stdout
    )
    command_line = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode()
    assert server.terminate() == 143
    key = azurite.connection.partition("AccountKey=")[2].partition(";")[0]
    assert key not in "".join(server.output) + told.stdout + command_line


def test_killed_again_and_again_nothing_is_lost(
    azurite: Azurite, tmp_path: Path, servers: list[ServerProcess]
) -> None:
    # given a queue of messages, duplicates and garbage
    with client(azurite) as queue:
        queue.create_queue()
        for number in range(120):
            queue.send_message(
                json.dumps({"device": f"d{number % 7}", "state": {f"f{number}": number}})
            )
            if number % 10 == 0:
                queue.send_message(
                    json.dumps({"device": f"d{number % 7}", "state": {f"f{number}": number}})
                )
                queue.send_message(f"garbage {number}")
    # when the server is killed at each point of the path, and its messages appear again
    for point in ("received", "committed", "acknowledged"):
        program = [sys.executable, HERE / "crashing_program.py", point]
        server = ServerProcess(tmp_path, *SOURCE, program=program, **{VARIABLE: azurite.connection})
        servers.append(server)
        server.process.communicate(timeout=SHORT)
        assert server.process.returncode == -signal.SIGKILL
        azurite.advance(31)
    server = ServerProcess(tmp_path, *SOURCE, **{VARIABLE: azurite.connection})
    servers.append(server)

    def empty() -> bool:
        with client(azurite) as queue:
            return bool(queue.get_queue_properties().approximate_message_count == 0)

    wait_for(empty, "the queue did not run empty")
    # then every message is in the states, the garbage in quarantine, once
    wanted: dict[str, dict[str, int]] = {}
    for number in range(120):
        wanted.setdefault(f"d{number % 7}", {})[f"f{number}"] = number
    assert states(server) == wanted
    assert server.terminate() == 143
    store = open_store(f"sqlite:///{tmp_path / 'statecast.db'}", Limits(), now, begin_epoch=False)
    rows = sorted(row.body.decode() for row in store.quarantined())
    store.close()
    assert rows == sorted(f"garbage {number}" for number in range(0, 120, 10))


def test_several_queues_at_once(
    azurite: Azurite, tmp_path: Path, servers: list[ServerProcess]
) -> None:
    # given two Azure queues and one in the store, and a second process that stands by
    sources = [*SOURCE, "--source", "azure-queue:attic?idle=0.2", "--source", "embedded:queue"]
    for _ in range(2):
        servers.append(ServerProcess(tmp_path, *sources, **{VARIABLE: azurite.connection}))
    send(azurite, "one", "n=1")
    subprocess.run(
        [PROGRAM, "send", "--source", "azure-queue:attic", "two", "n=2"],
        env=ENVIRONMENT | {VARIABLE: azurite.connection}, check=True, timeout=SHORT,
    )  # fmt: skip
    subprocess.run(
        [PROGRAM, "send", "three", "n=3"], cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=SHORT
    )
    wanted = {"one": {"n": 1}, "two": {"n": 2}, "three": {"n": 3}}
    for server in servers:
        wait_for(lambda server=server: states(server) == wanted, "not shown by all")  # type: ignore[misc]
    # then each source has its own health, told by whoever holds its lease
    store = open_store(f"sqlite:///{tmp_path / 'statecast.db'}", Limits(), now, begin_epoch=False)
    wait_for(
        lambda: sum(len(report["sources"]) for report in store.reports().values()) == 3,
        "three leases, three reports",
    )
    store.close()
    # when one process is killed, then the other takes over all
    servers[0].kill()
    send(azurite, "one", "n=5")
    wait_for(lambda: states(servers[1])["one"] == {"n": 5}, "nobody took over")
