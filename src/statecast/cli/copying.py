"""``statecast store copy`` and ``statecast store migrate``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from statecast.cli import output
from statecast.cli.backup import shown
from statecast.cli.options import GivenSettings, refuse_password, setting_flags
from statecast.cli.store import SQLITE, opened_store
from statecast.errors import BadSetting
from statecast.names import without_password
from statecast.stores.copying import CopySource, CopyTarget
from statecast.stores.copying import copy as copy_rows

POSTGRES = ("postgresql:", "postgres:")


@click.command(short_help="Copy a store into one of another kind.")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy the store FROM into a new store TO, both as URLs: sqlite:///FILE or postgresql://...

    Stop the servers of FROM first; it is not changed. A copy that was interrupted goes on when the
    same command is given again. TO appears under its name when it is complete; then start the
    servers with it. Each page is reset once, and shows the same states.
    """
    refuse_password(source)
    refuse_password(target)
    with (
        closing(open_source(source)) as reader,
        closing(open_target(target)) as writer,
        shown("Copied") as progress,
    ):
        sizes = copy_rows(reader, writer, progress)
    output.print_line(
        f"Copied {sizes['devices']:,} devices, {sizes['history']:,} versions, "
        f"{sizes['queue']:,} waiting messages and all else from {reader.shown} into "
        f"{writer.shown}."
    )


def open_source(url: str) -> CopySource:
    """Raises BadSetting, NotFound, StoreUnusable, StoreUnavailable."""
    if url.startswith(SQLITE) and url != SQLITE:
        from statecast.stores.sqlite.copying import SqliteCopySource

        return SqliteCopySource(Path(url.removeprefix(SQLITE)))
    if url.startswith(POSTGRES):
        from statecast.stores.postgres.copying import PostgresCopySource

        return PostgresCopySource(url)
    raise unknown(url)


def open_target(url: str) -> CopyTarget:
    """Raises BadSetting, StoreUnusable, StoreUnavailable."""
    if url.startswith(SQLITE) and url != SQLITE:
        from statecast.stores.sqlite.copying import SqliteCopyTarget

        return SqliteCopyTarget(Path(url.removeprefix(SQLITE)))
    if url.startswith(POSTGRES):
        from statecast.stores.postgres.copying import PostgresCopyTarget

        return PostgresCopyTarget(url)
    raise unknown(url)


def unknown(url: str) -> BadSetting:
    return BadSetting(
        f"{without_password(url)!r} is no store that can be copied; "
        "write sqlite:///FILE or postgresql://HOST/NAME."
    )


@click.command(short_help="Bring the tables of the store up to date.")
@setting_flags()
def migrate(given: GivenSettings) -> None:
    """Make the tables of the store, or take the steps that it lacks.

    A server does it by itself where its user owns the tables. With PostgreSQL give this command as
    their owner; then servers run as a user with fewer rights.
    """
    settings = given.settings()
    with opened_store(settings, create=True):
        output.print_line(f"The tables of {without_password(settings.store)} are up to date.")
