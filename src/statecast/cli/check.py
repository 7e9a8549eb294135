"""``statecast store check``."""

from __future__ import annotations

import click

from statecast import strict_json
from statecast.cli import output
from statecast.cli.backup import store_path
from statecast.cli.errors import CommandError
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import SQLITE, opened_store
from statecast.errors import BadSetting, NotFound
from statecast.program.commands import command, complete, needs_a_backup
from statecast.settings import Settings
from statecast.stores.limits import Limits
from statecast.timestamps import now


@click.command(short_help="Look for damage in the store, and mend it.")
@click.option("--repair", is_flag=True, help="Mend what is found. No server may run meanwhile.")
@as_json
@setting_flags()
def check(given: GivenSettings, repair: bool, as_json: bool) -> None:
    """Look at every row, index and page of the store, and say what is wrong.

    Without --repair nothing is changed, and servers may run. A repair rebuilds what checksums and
    history prove, says what is lost, and keeps a copy of each damaged row in quarantine. Ends with
    1 if something is wrong (with --repair: if something still is).
    """
    from statecast.stores.sqlite.file_check import check_missing
    from statecast.stores.sqlite.store import SqliteStore

    settings = given.settings()
    if not settings.store.startswith(SQLITE):
        check_elsewhere(settings, repair, as_json)
        return
    path = store_path(settings)
    if not path.exists():
        check_missing(path)
        raise NotFound(f"There is no store {path.absolute()}; name another with --store.")
    store = SqliteStore(
        path, Limits.from_settings(settings), now, begin_epoch=False, examining=True
    )
    try:
        done = store.repair() if repair else []
        found = store.check()
    finally:
        store.close()
    if as_json:
        output.print_json(strict_json.encode({"repaired": done, "wrong": found}))
    for sentence in () if as_json else [*done, *found]:
        output.print_line(complete(sentence, settings))
    if found and repair:
        raise CommandError(f"Still wrong: {len(found)}. Restore a backup to mend them.")
    if found:
        if needs_a_backup(found):
            raise CommandError(f"Wrong: {len(found)}. A repair cannot mend all of it.")
        mend = command(settings, "store", "check", "--repair")
        raise CommandError(f"Wrong: {len(found)}. `{mend}` mends them, while no server runs.")
    if not as_json and not done:
        output.print_line("Nothing is wrong.")


def check_elsewhere(settings: Settings, repair: bool, as_json: bool) -> None:
    """Look at a store that is no file of ours. Raises BadSetting for a repair."""
    if repair:
        raise BadSetting(
            "Only a store in a file is repaired; what is damaged in PostgreSQL needs a backup of "
            "the database."
        )
    with opened_store(settings) as store:
        found = store.check()
    if as_json:
        output.print_json(strict_json.encode({"repaired": [], "wrong": found}))
    for sentence in () if as_json else found:
        output.print_line(sentence)
    if found:
        raise CommandError(f"Wrong: {len(found)}. Restore a backup of the database.")
    if not as_json:
        output.print_line("Nothing is wrong.")
