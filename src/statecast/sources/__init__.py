"""Step 1, receive: where messages come from.

::

    contract.py         what a source must do, and what only some can
    url.py              SCHEME:NAME?option=value
    queue.py            the same queues, for a program of a device
    embedded_queue.py   embedded:NAME, a queue inside the store's file
    azure_queue/        azure-queue:NAME, an Azure Storage queue
    polled_function.py  a function of the application, called at an interval
    memory.py           a queue in memory, for tests

A backend is one module or one folder here, imported when a URL names it.
"""

from __future__ import annotations

import importlib
import os
from typing import cast

from statecast.errors import BadSetting
from statecast.settings import Settings
from statecast.sources.contract import Source, SourceContext
from statecast.sources.queue import Queue, SendingSource
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.timestamps import now

BACKENDS = {
    "azure-queue": "statecast.sources.azure_queue",
    "embedded": "statecast.sources.embedded_queue",
}


def open_source(url: str, context: SourceContext) -> Source:
    """Open the queue that a URL names; its backend is imported only now. Raises BadSetting."""
    scheme, colon, rest = url.partition(":")
    backend = BACKENDS.get(scheme) if colon else None
    if backend is None:
        known = " or ".join(f"{name}:NAME" for name in sorted(BACKENDS))
        raise BadSetting(
            f"There is no source {url.partition('?')[0]!r}; a source is written {known}."
        )
    opened: Source = importlib.import_module(backend).open_url(rest, context)
    return opened


def open_queue(
    url: str,
    *,
    store: str = "sqlite:///statecast.db",
    visibility_timeout: float = 30.0,
) -> Queue:
    """The queue that a URL names, for a device: ``azure-queue:NAME`` or ``embedded:NAME``.

    An embedded queue is inside the file of ``store``, which is that of the server; the program must
    run on the same host. For Azure the account is that of ``AZURE_STORAGE_CONNECTION_STRING``. A
    message that was received comes again after ``visibility_timeout`` seconds unless it was
    deleted. Raises BadSetting, and for an embedded queue StoreUnusable or StoreUnavailable.
    """
    stores: list[Store] = []

    def opened_store() -> Store:
        stores.append(open_store(store, begin_epoch=False))
        return stores[0]

    settings = Settings(store=store, visibility_timeout=visibility_timeout)
    source = open_source(url, SourceContext(opened_store, settings, os.environ, now))
    return Queue(cast(SendingSource, source), stores)
