"""Other consumers of an Azure queue: a loop over the SDK like in its samples, and kombu.

Arguments: a folder (not used), the queue's name, the number of messages, ``plain`` or ``kombu``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks import ingest
from benchmarks.processes import answer

CONNECTION = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
SENDERS = 8


def plain(name: str, messages: int) -> tuple[float, float]:
    from azure.storage.queue import QueueClient

    with QueueClient.from_connection_string(CONNECTION, f"{name}-plain") as queue:
        queue.create_queue()
        with ThreadPoolExecutor(SENDERS) as senders:
            list(
                senders.map(
                    lambda number: queue.send_message(ingest.message(number).decode()),
                    range(messages),
                )
            )
        begin, used = time.monotonic(), time.process_time()
        for message in queue.receive_messages():
            json.loads(message.content)
            queue.delete_message(message)
        return time.monotonic() - begin, time.process_time() - used


def kombu(name: str, messages: int) -> tuple[float, float]:
    from kombu import Connection

    values = dict(part.split("=", 1) for part in CONNECTION.strip(";").split(";"))
    address = f"azurestoragequeues://{values['AccountKey']}@{values['QueueEndpoint']}"
    with Connection(address) as connection:
        queue = connection.SimpleQueue(f"{name}-kombu")
        for number in range(messages):
            queue.put(json.loads(ingest.message(number)))
        begin, used = time.monotonic(), time.process_time()
        for _ in range(messages):
            queue.get(timeout=60).ack()
        return time.monotonic() - begin, time.process_time() - used


if __name__ == "__main__":
    _, _, name, count, peer = sys.argv
    took, used = {"plain": plain, "kombu": kombu}[peer](name, int(count))
    answer(rate=int(count) / took, cost=used / int(count) * 1e3)
