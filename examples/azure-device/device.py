"""A device that sends its state to an Azure Storage queue; needs the vendor's SDK (README.md)."""

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
    """The messages of the device. Their ids make it harmless to send a message twice."""
    hugs = 0
    for sequence in itertools.count(1):
        hugs += random.random() < 0.3
        state = {"mood": random.choice(["calm", "happy", "cuddly"]), "hugs": hugs}
        now = datetime.datetime.now(datetime.timezone.utc)  # noqa: UP017  # also before Python 3.11
        yield {
            "device": device,
            "state": state,
            "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sequence": sequence,
            "id": uuid.uuid4().hex,
            "silent_after": 10 * EVERY,
        }


def main(device="pillow", count=None):
    connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    # This version of the API is older than the SDK's default, so that every Azurite supports it.
    with QueueClient.from_connection_string(connection, QUEUE, api_version="2022-11-02") as queue:
        with contextlib.suppress(ResourceExistsError):
            queue.create_queue()
        for message in itertools.islice(messages(device), count and int(count)):
            while True:
                try:
                    queue.send_message(json.dumps(message))
                    break
                except AzureError as error:  # the SDK has already tried four times
                    print(f"{type(error).__name__}; trying again", file=sys.stderr)
                    time.sleep(EVERY)
            print(json.dumps(message["state"]), flush=True)
            time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
