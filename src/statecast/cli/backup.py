"""``statecast store backup`` and ``statecast store restore``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from statecast.cli import output
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.store import SQLITE
from statecast.errors import BadSetting
from statecast.names import without_password
from statecast.settings import Settings

FILE = click.Path(path_type=Path)
Show = Callable[[int, int], None]


@click.command(short_help="Copy the store into a file, also while it is used.")
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@setting_flags()
def backup(given: GivenSettings, file: Path, force: bool) -> None:
    """Copy the store into FILE, as it is at this moment.

    Servers may run meanwhile. The copy is complete, checked and on the disk when the command ends
    with 0; only its owner can read it.
    """
    from statecast.stores.sqlite.backup import back_up

    with shown("Copied") as progress:
        size = back_up(store_path(given.settings()), file, force=force, progress=progress)
    output.print_line(f"Copied the store into {file} ({size:,} bytes), and checked the copy.")


@click.command(short_help="Put a backup in the place of the store.")
@click.argument("file", type=FILE)
@setting_flags()
def restore(given: GivenSettings, file: Path) -> None:
    """Put the backup FILE in the place of the store.

    Stop every process that uses the store first. FILE is checked before anything is changed, and
    stays where it is. The store before is kept beside the new one, as `.before-restore`.
    """
    from statecast.stores.sqlite.backup import restore as put_back

    path = store_path(given.settings())
    with shown("Read") as progress:
        kept = put_back(path, file, progress=progress)
    before = "" if kept is None else f" The store before is kept as {kept}."
    output.print_line(f"Restored {path} from {file}.{before}")


def store_path(settings: Settings) -> Path:
    """The file of the store. Raises BadSetting for a store that is no file."""
    if not settings.store.startswith(SQLITE) or settings.store == SQLITE:
        raise BadSetting(
            f"The store {without_password(settings.store)} is no file; name one with --store. "
            "PostgreSQL has programs of its own: pg_dump and pg_restore."
        )
    return Path(settings.store.removeprefix(SQLITE))


@contextmanager
def shown(done: str) -> Iterator[Show]:
    """A function that shows the progress on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda size, total: None
        return
    last = -1

    def show(size: int, total: int) -> None:
        nonlocal last
        percent = min(100, 100 * size // max(total, 1))
        if percent != last:
            last = percent
            click.echo(f"\r{done}: {percent} %", err=True, nl=False)

    try:
        yield show
    finally:
        if last >= 0:
            click.echo("", err=True)
