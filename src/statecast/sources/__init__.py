"""Step 1, receive: where messages come from.

::

    contract.py         what a source must do, and what only some can
    url.py              SCHEME:NAME?option=value
    embedded_queue.py   embedded:NAME, a queue inside the store's file
    azure_queue/        azure-queue:NAME, an Azure Storage queue
    polled_function.py  a function of the application, called at an interval
    memory.py           a queue in memory, for tests

A backend is one module or one folder here, imported when a URL names it.
"""

from __future__ import annotations

import importlib

from statecast.errors import BadSetting
from statecast.sources.contract import Source, SourceContext

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
