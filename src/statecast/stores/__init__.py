"""Step 4, store: the durable state of all devices.

``contract`` says what every store guarantees; ``statecast.testing.StoreContract`` tests it. Each
backend is one folder here and is imported only when a URL names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

from statecast.errors import BadSetting
from statecast.problems import Problems
from statecast.program.distribution import install_hint
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.timestamps import now

BACKENDS = {
    "sqlite": "statecast.stores.sqlite.store",
    "memory": "statecast.stores.memory.store",
    "postgresql": "statecast.stores.postgres.store",
    "postgres": "statecast.stores.postgres.store",
}
DRIVERS = {"psycopg": "postgres"}
"""Packages that a backend imports, and the extra that installs each."""


def open_store(
    url: str,
    limits: Limits | None = None,
    clock: Callable[[], int] = now,
    *,
    begin_epoch: bool = True,
    problems: Problems | None = None,
) -> Store:
    """Open the store that a URL names.

    ``clock`` gives the time in ms since 1970. Pass ``begin_epoch=False`` in commands that only
    read or send; if they commit a state after all, the epoch begins with that commit.
    The store reports what is wrong with it to ``problems``.
    Raises BadSetting, StoreUnusable or StoreUnavailable.
    """
    scheme, colon, rest = url.partition(":")
    backend = BACKENDS.get(scheme) if colon else None
    if backend is None:
        known = ", ".join(f"{name}:" for name in sorted(BACKENDS))
        raise BadSetting(f"There is no store {url!r}; a store's URL begins with one of {known}.")
    opened: Store = imported(backend).open_url(
        rest, limits or Limits(), clock, begin_epoch, problems or Problems(clock)
    )
    return opened


def imported(backend: str) -> ModuleType:
    """The module of a backend. Raises BadSetting if its driver is not installed."""
    try:
        return importlib.import_module(backend)
    except ImportError as error:
        # Its parts too: psycopg without a libpq cannot be imported.
        extra = DRIVERS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise BadSetting(
            f"This store needs a package that cannot be imported ({error}); "
            f"install it with: {install_hint(extra)}."
        ) from error
