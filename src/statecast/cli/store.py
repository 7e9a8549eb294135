"""Opens the store for commands that only read or send, with or without a running server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from statecast.errors import BadSetting, NotFound
from statecast.names import without_password
from statecast.outbox import Outbox
from statecast.program.commands import command
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.timestamps import now

SQLITE = "sqlite:///"


@contextmanager
def readable_store(settings: Settings) -> Iterator[Store]:
    """The store for a command that only reads: on a read-only file system, a copy of it."""
    path = Path(settings.store.removeprefix(SQLITE))
    with ExitStack() as stack:
        if settings.store.startswith(SQLITE) and path.is_file():
            # Imported here: a system may lack what it needs, and --help works everywhere.
            from statecast.stores.sqlite.read_only import copied, is_read_only

            if is_read_only(path):
                copy = stack.enter_context(copied(path))
                settings = dataclasses.replace(settings, store=f"{SQLITE}{copy}")
        yield stack.enter_context(opened_store(settings))


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
    path = None if create else missing_file(settings)
    if path is not None:
        if Path(f"{path}-wal").exists():  # Windows may not import what looks at it
            from statecast.stores.sqlite.file_check import check_missing

            check_missing(path)
        make = [command(settings, word, flags=("store",)) for word in ("run", "send")]
        raise NotFound(
            f"There is no store {path}; name another with --store, or make it with "
            f"`{make[0]}` or `{make[1]}`."
        )
    store = open_store(settings.store, Limits.from_settings(settings), begin_epoch=False)
    try:
        yield store
    finally:
        store.close()


def missing_file(settings: Settings) -> Path | None:
    """The path of the store if it is a file that does not exist."""
    if settings.store == SQLITE or not settings.store.startswith(SQLITE):
        return None
    path = Path(settings.store.removeprefix(SQLITE)).absolute()
    return None if path.exists() else path


def store_name(settings: Settings) -> str:
    """The path of the store, or its URL if it is no file."""
    if not settings.store.startswith(SQLITE):
        return without_password(settings.store)
    return str(Path(settings.store.removeprefix(SQLITE)).absolute())


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
