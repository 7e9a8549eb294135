"""``statecast store``: commands about the store itself."""

from __future__ import annotations

import click

from statecast.cli.backup import backup, restore
from statecast.cli.check import check
from statecast.cli.copying import copy, migrate


@click.group(short_help="Look after the store.")
def store() -> None:
    """The store that holds states, history, quarantine and the embedded queues."""


for command in (check, backup, restore, copy, migrate):
    store.add_command(command)
