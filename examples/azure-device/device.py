"""A device that says how it is, into an Azure Storage queue. It needs the vendor's SDK; see README.md."""

import contextlib
import datetime
import itertools
import json
import os
import random
import sys
import time
import uuid

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.queue import QueueClient

QUEUE = os.environ.get("QUEUE", "pillow")
EVERY = float(os.environ.get("EVERY", "2"))
"""Seconds between two messages."""


def messages(device):
    """What the device has to say. An id makes it harmless to send a message twice."""
    hugs = 0
    for sequence in itertools.count(1):
        hugs += random.random() < 0.3
        state = {"mood": random.choice(["calm", "happy", "cuddly"]), "hugs": hugs}
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017  # also before 3.11
        yield {"device": device, "state": state, "time": now.replace("+00:00", "Z"), "sequence": sequence,
               "id": uuid.uuid4().hex, "silent_after": 10 * EVERY}  # fmt: skip


def main(device="pillow", count=None):
    connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    # An older version of the service's interface than the SDK's own: any Azurite understands it, too.
    with QueueClient.from_connection_string(connection, QUEUE, api_version="2022-11-02") as queue:
        with contextlib.suppress(ResourceExistsError):
            queue.create_queue()
        for message in itertools.islice(messages(device), count and int(count)):
            while True:
                try:
                    queue.send_message(json.dumps(message))
                    break
                except AzureError as error:  # the SDK has tried four times by now
                    print(f"{type(error).__name__}; trying again", file=sys.stderr)
                    time.sleep(EVERY)
            print(json.dumps(message["state"]), flush=True)
            time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
