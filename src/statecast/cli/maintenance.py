"""``statecast store``: commands about the file of the store itself."""

from __future__ import annotations

import click

from statecast.cli.backup import backup, restore
from statecast.cli.check import check


@click.group(short_help="Look after the file of the store.")
def store() -> None:
    """The file that holds states, history, quarantine and the embedded queues."""


for command in (check, backup, restore):
    store.add_command(command)
