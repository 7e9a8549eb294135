"""An Azure queue in a process of its own, so that a test can stop it. Ends with its input."""

from __future__ import annotations

import sys

from statecast.testing.azure import FakeAzure

azure = FakeAzure()
azure.start()
azure.queues["pillow"] = []
print(azure.connection, flush=True)
for line in sys.stdin:
    azure.put("pillow", line.strip())
    print("put", flush=True)
azure.stop()
