"""One damaged row in a store, and real processes on it: the server, its viewers, the doctor."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from server_process import ServerProcess, statecast

from statecast.model import Change
from statecast.stores.limits import Limits
from statecast.stores.sqlite.store import SqliteStore
from statecast.timestamps import now

DEVICES = [f"d{number}" for number in range(20)]
DAMAGES = {
    "not JSON": "state = CAST('{broken' AS BLOB)",
    "not UTF-8": "state = CAST(x'7b226e223a22ff227d' AS BLOB)",
    "a flipped bit": "state = CAST('{\"n\":3}' AS BLOB)",
    "an array": "state = CAST('[1]' AS BLOB)",
    "stamps": "stamps = CAST('garbage' AS BLOB)",
    "fields": "fields = CAST('garbage' AS BLOB)",
    "cause": "cause_id = CAST(x'ff' AS TEXT)",
}


def damaged_store(folder: Path, damage: str) -> None:
    store = SqliteStore(folder / "statecast.db", Limits(), now)
    for device in DEVICES:
        store.edit(Change(device, "merge", {"n": 2}))
    store.close()
    connection = apsw.Connection(str(folder / "statecast.db"))
    connection.execute(f"UPDATE devices SET {damage} WHERE device = 'd3'").fetchall()
    connection.close()


def events(address: str) -> Iterator[Any]:
    """What the server sends to a viewer of all devices and of the health."""
    with urllib.request.urlopen(f"{address}/events?health=1", timeout=30) as stream:
        for line in stream:
            field, _, value = line.decode().strip().partition(": ")
            if field == "data":
                yield json.loads(value)


@pytest.mark.parametrize("name", DAMAGES)
def test_the_other_devices_stay_live(tmp_path: Path, name: str) -> None:
    # given a store with a damaged row of one device, and a server on it
    damaged_store(tmp_path, DAMAGES[name])
    server = ServerProcess(tmp_path, "--port", "0")
    try:
        # when a viewer watches all devices, then it receives the others, and who is missing
        arriving = events(server.address)
        states: dict[str, Any] = {}
        problems: list[Any] = []
        while len(states) < len(DEVICES) - 1 or not problems:
            data = next(arriving)
            states |= {one["device"]: one["state"] for one in data.get("states", [])}
            problems = data.get("problems", []) or problems
        assert states == {device: {"n": 2} for device in DEVICES if device != "d3"}
        assert [(one["kind"], one["subject"]) for one in problems] == [("damaged-row", "device d3")]
        # and a message for a neighbour is applied, and shown live
        sent = statecast(tmp_path, "send", "d4", "n=9")
        assert sent.returncode == 0, sent.stderr
        while states["d4"] != {"n": 9}:
            data = next(arriving)
            states |= {one["device"]: one["state"] for one in data.get("states", [])}
        # and a message for the device itself brings it back: its history is complete
        statecast(tmp_path, "send", "d3", "hugs=1")
        while states.get("d3") != {"n": 2, "hugs": 1}:
            data = next(arriving)
            states |= {one["device"]: one["state"] for one in data.get("states", [])}
        with urllib.request.urlopen(f"{server.address}/api/devices/d3", timeout=10) as answer:
            assert json.load(answer)["state"] == {"n": 2, "hugs": 1}
        arriving.close()  # type: ignore[attr-defined]
        server.terminate()
        assert not [line for line in server.output if "Traceback" in line]
    finally:
        server.kill()


def test_the_doctor_names_it_and_a_repair_waits_for_the_server(tmp_path: Path) -> None:
    damaged_store(tmp_path, DAMAGES["a flipped bit"])
    server = ServerProcess(tmp_path, "--port", "0")
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.address}/api/devices/d3", timeout=10)
        assert refused.value.code == 503
        refused.value.close()
        doctor = statecast(tmp_path, "doctor")
        assert doctor.returncode == 1 and "device d3" in doctor.stdout
        assert statecast(tmp_path, "store", "check").returncode == 1
        waits = statecast(tmp_path, "store", "check", "--repair")
        assert waits.returncode == 1 and "stop it" in waits.stderr
        server.terminate()
    finally:
        server.kill()
    mended = statecast(tmp_path, "store", "check", "--repair")
    assert mended.returncode == 0 and "nothing is lost" in mended.stdout, mended.stderr
    assert json.loads(statecast(tmp_path, "get", "d3", "--json").stdout)["state"] == {"n": 2}
    assert "WRONG" not in statecast(tmp_path, "doctor").stdout
