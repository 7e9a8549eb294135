"""Step 4, store: the durable state of all devices.

``contract`` says what a store must keep; ``statecast.testing.StoreContract`` tests it. A backend is one module or one
folder here, imported when a URL names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from statecast.errors import BadSetting
from statecast.stores.contract import Limits, Store
from statecast.timestamps import now

BACKENDS = {"sqlite": "statecast.stores.sqlite.store", "memory": "statecast.stores.memory"}


def open_store(
    url: str,
    limits: Limits | None = None,
    clock: Callable[[], int] = now,
    *,
    begin_epoch: bool = True,
) -> Store:
    """Open the store that a URL names; its backend is imported only now.

    ``begin_epoch=False`` is for commands that only read or send: a state they commit all the same begins one then.
    Raises BadSetting, StoreUnusable or StoreUnavailable.
    """
    scheme, colon, rest = url.partition(":")
    backend = BACKENDS.get(scheme) if colon else None
    if backend is None:
        known = ", ".join(f"{name}:" for name in sorted(BACKENDS))
        raise BadSetting(f"There is no store {url!r}; a store's URL begins with one of {known}.")
    opened: Store = importlib.import_module(backend).open_url(
        rest, limits or Limits(), clock, begin_epoch
    )
    return opened
