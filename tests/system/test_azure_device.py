"""``examples/azure-device`` as a user would run it: what it says can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from server_process import ENVIRONMENT

from statecast.decoders import open_decoder
from statecast.model import Delivery
from statecast.testing.azure import FakeAzure

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "azure-device" / "device.py"


def test_what_the_device_says_can_be_read() -> None:
    azure = FakeAzure()
    azure.start()
    variables = ENVIRONMENT | {"AZURE_STORAGE_CONNECTION_STRING": azure.connection, "EVERY": "0.01"}
    done = subprocess.run(
        [sys.executable, EXAMPLE, "lamp", "3"], env=variables, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    texts = azure.texts("pillow")
    azure.stop()
    messages = [
        open_decoder({}, "azure-queue:pillow")(Delivery("1", text.encode(), 0)) for text in texts
    ]
    assert [len(message.changes) for message in messages] == [1, 1, 1]
    assert [message.changes[0].sequence for message in messages] == [1, 2, 3]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        json.loads(text)["state"] for text in texts
    ]
    assert {message.changes[0].device for message in messages} == {"lamp"}
