"""The store for commands that only read or send: beside a running server or without one."""

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
def opened(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """The store, closed at the end. It begins no epoch.

    A file that is missing is made only for ``create``: reading from a new, empty one would answer a question
    about a store that was probably meant to be another. Raises NotFound, BadSetting, StoreUnusable, StoreUnavailable.
    """
    if settings.store.startswith("memory:"):
        raise BadSetting(
            "A store in memory lives in the process of its server; this command needs a store in a file."
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


def sources(store: Store, settings: Settings) -> Outbox:
    """The sources that the settings name, as the server opens them."""
    return Outbox(settings, lambda: store, now)


@contextmanager
def outbox(settings: Settings) -> Iterator[Outbox]:
    """The sources, to send to the first one; the store is opened, and made if need be, only for a queue inside it."""
    with ExitStack() as stack:
        named = Outbox(settings, lambda: stack.enter_context(opened(settings, create=True)), now)
        if not isinstance(named.queue, EmbeddedQueue):
            stack.callback(named.queue.close)
        yield named
