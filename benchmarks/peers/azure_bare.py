"""The least that empties an Azure queue: signed requests over kept connections, and nothing else.

It decodes nothing, stores nothing, and repeats nothing, so its rate is about what Azurite itself
can do. Arguments as of ``benchmarks.peers.azure``; it sends with the SDK, which is not measured.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

from azure.storage.queue import QueueClient

from benchmarks import ingest
from benchmarks.processes import answer

CONNECTION = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
VALUES = dict(part.split("=", 1) for part in CONNECTION.strip(";").split(";"))
ACCOUNT, KEY = VALUES["AccountName"], base64.b64decode(VALUES["AccountKey"])
ADDRESS = urlsplit(VALUES["QueueEndpoint"])
VERSION = "2022-11-02"
CONNECTIONS = 4
"""That receive and delete. More gain nothing: Azurite is one thread."""
MESSAGE = re.compile(rb"<MessageId>([^<]+)<.*?<PopReceipt>([^<]+)<", re.DOTALL)


def request(connection: HTTPConnection, method: str, path: str, query: dict[str, str]) -> bytes:
    """Send one request and return the body of its response."""
    date, path = formatdate(usegmt=True), f"{ADDRESS.path}/{path}"
    asked = "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
    text = (
        f"{method}{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}{path}{asked}"
    )
    signature = base64.b64encode(hmac.new(KEY, text.encode(), hashlib.sha256).digest()).decode()
    fields = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    headers = {
        "x-ms-date": date,
        "x-ms-version": VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
    }
    connection.request(method, f"{path}?{fields}", headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.status >= 400:
        raise RuntimeError(f"Azurite answered {response.status}: {body!r}")
    return body


def empty(name: str) -> int:
    """Receive and delete until nothing comes; how many messages that were."""
    connection = HTTPConnection(ADDRESS.netloc)
    page = {"numofmessages": "32", "visibilitytimeout": "60"}
    deleted = 0
    while found := MESSAGE.findall(request(connection, "GET", f"{name}/messages", page)):
        for id_, receipt in found:
            path = f"{name}/messages/{id_.decode()}"
            request(connection, "DELETE", path, {"popreceipt": receipt.decode()})
        deleted += len(found)
    connection.close()
    return deleted


def measure(name: str, messages: int) -> tuple[float, float]:
    with (
        ThreadPoolExecutor(8) as threads,
        QueueClient.from_connection_string(CONNECTION, name, api_version=VERSION) as queue,
    ):
        queue.create_queue()
        texts = [ingest.message(number).decode() for number in range(messages)]
        list(threads.map(queue.send_message, texts))
        begin, used = time.monotonic(), time.process_time()
        deleted = sum(threads.map(empty, [name] * CONNECTIONS))
        took, used = time.monotonic() - begin, time.process_time() - used
    if deleted != messages:
        raise RuntimeError(f"{deleted} of {messages} messages were deleted")
    return took, used


if __name__ == "__main__":
    _, _, name, count, _ = sys.argv
    took, used = measure(f"{name}-bare", int(count))
    answer(rate=int(count) / took, cost=used / int(count) * 1e3)
