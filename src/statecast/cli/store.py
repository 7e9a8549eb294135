"""Opens the store for commands that only read or send, with or without a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from statecast import program
from statecast.errors import BadSetting, NotFound
from statecast.outbox import Outbox
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.contract import Limits, Store
from statecast.timestamps import now

SQLITE = "sqlite:///"


@contextmanager
def opened_store(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """The store, closed at the end of the block. No epoch begins.

    Only with ``create`` a missing file is created: reading from a new, empty store would give an
    answer about the wrong store. Raises NotFound, BadSetting, StoreUnusable, StoreUnavailable.
    """
    if settings.store.startswith("memory:"):
        raise BadSetting(
            "A store in memory lives in the process of its server; "
            "this command needs a store in a file."
        )
    path = Path(settings.store.removeprefix(SQLITE))
    if (
        not create
        and settings.store != SQLITE
        and settings.store.startswith(SQLITE)
        and not path.exists()
    ):
        raise NotFound(
            f"There is no store {path.absolute()}; name another with --store, or make it with "
            f"`{program.name()} run` or `{program.name()} send`."
        )
    store = open_store(settings.store, Limits.from_settings(settings), begin_epoch=False)
    try:
        yield store
    finally:
        store.close()


def configured_sources(store: Store, settings: Settings) -> Outbox:
    """The sources of the settings, opened like in the server."""
    return Outbox(settings, lambda: store, now)


@contextmanager
def opened_outbox(settings: Settings) -> Iterator[Outbox]:
    """The sources of the settings, for sending.

    The store is opened, and created if it does not exist, only for a queue inside it.
    """
    with ExitStack() as stack:
        outbox = Outbox(
            settings, lambda: stack.enter_context(opened_store(settings, create=True)), now
        )
        if not isinstance(outbox.queue, EmbeddedQueue):
            stack.callback(outbox.queue.close)
        yield outbox
