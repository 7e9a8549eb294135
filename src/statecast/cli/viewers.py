"""``statecast viewers``: who watches which device, as the serving processes have written it."""

from __future__ import annotations

import click

from statecast import names, strict_json
from statecast.broadcast import watch_counts
from statecast.broadcast.presence import to_reader
from statecast.broadcast.subscriptions import keys_of
from statecast.cli import output
from statecast.cli.completion import device_names
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json, not_found
from statecast.cli.store import readable_store
from statecast.errors import NotFound
from statecast.model import Watching


@click.command(short_help="Show how many watch a device.")
@click.argument("device", required=False, shell_complete=device_names)
@as_json
@setting_flags()
def viewers(given: GivenSettings, device: str | None, as_json: bool) -> None:
    """Show how many viewers watch DEVICE, and their names; or all devices that are watched.

    The numbers are those that the serving processes wrote last, at most a second ago.
    """
    settings = given.settings()
    with readable_store(settings) as store:
        if device is not None:
            update = store.get(names.check(device))
            if update is None or update.state is None:
                raise NotFound(not_found(store, settings, device, update))
        devices = [one.device for one in store.devices()] if device is None else [device]
        counts = watch_counts.by_process(store.watch_parts(range(watch_counts.PARTS)))
        is_served = bool(store.reports())
    found = [(one, watch_counts.total(counts, list(keys_of(one)))) for one in devices]
    watched = [(one, watching) for one, watching in found if device or watching.count]
    if as_json:
        for one, watching in watched:
            output.print_json(strict_json.encode(to_reader(one, watching)))
    elif watched:
        cells = [[one, sentence(watching)] for one, watching in watched]
        for line in output.columns(cells, output.width()):
            click.echo(line)
    if not is_served:
        click.echo("No process serves this store now, so it has no viewers.", err=True)
    elif not watched and not as_json:
        click.echo("No device is watched.", err=True)


def sentence(watching: Watching) -> str:
    """``2 viewers: Ada``."""
    number = f"{watching.count:,} viewer{'' if watching.count == 1 else 's'}"
    return f"{number}: {', '.join(watching.names)}" if watching.names else number
