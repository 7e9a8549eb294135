"""``statecast command`` and ``statecast commands``: asks something of a device, and lists that."""

from __future__ import annotations

import time

import click

from statecast import names, strict_json
from statecast.access.records import AuditEntry
from statecast.cli import message_parser, output
from statecast.cli.errors import CommandError
from statecast.cli.key import BY
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json, not_found
from statecast.cli.store import opened_store
from statecast.commands import life
from statecast.commands.life import Command
from statecast.commands.request import EXPIRES, new_command
from statecast.errors import NotFound
from statecast.stores.contract import Store
from statecast.timestamps import duration, now

LOOK_EVERY = 0.05
"""Seconds between two looks at a command that is waited for."""


@click.command(short_help="Ask something of a device.")
@click.argument("device")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[KEY=VALUE... | JSON]")
@click.option(
    "--expires",
    type=float,
    default=EXPIRES,
    show_default=True,
    metavar="SECONDS",
    help="The device does not get it any more after this long.",
)
@click.option("--by", metavar="PERSON", help="Who asks.")
@click.option("--wait", is_flag=True, help="Wait for what becomes of it.")
@as_json
@setting_flags()
def command(
    given: GivenSettings,
    device: str,
    name: str,
    words: tuple[str, ...],
    expires: float,
    by: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Ask DEVICE to do NAME, with arguments. Prints the command's id.

    The command waits in the store until the device takes it; no server needs to run. With --wait
    the exit status is 0 only if the device says that it is done.
    """
    settings = given.settings()
    new = new_command(device, name, message_parser.parse_state(words), expires=expires, by=by)
    with opened_store(settings) as store:
        update = store.get(device)
        if update is None or update.state is None:
            raise NotFound(not_found(store, settings, device, update))
        audit = AuditEntry(BY, "command", device, new.name)
        asked = store.begin_command(new, settings.commands_for(device), audit=audit)
        if not wait:
            show_new(asked, as_json)
            return
        ended = end_of(store, asked)
    if as_json:
        output.print_json(strict_json.encode(life.to_reader(ended)))
    else:
        output.print_line(sentence(ended))
    if ended.status != "done":
        raise CommandError(f"The command {ended.name} is not done: {ended.status}.")


def show_new(asked: Command, as_json: bool) -> None:
    if as_json:
        output.print_json(strict_json.encode(life.to_reader(asked)))
    else:
        click.echo(asked.id)


def end_of(store: Store, command: Command) -> Command:
    """Wait until a command is at its end, or its deadline has passed."""
    while command.is_open:
        time.sleep(LOOK_EVERY)
        store.pass_deadlines()
        command = store.command(command.id)
    return command


@click.command("commands", short_help="List what was asked of devices.")
@click.argument("device", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@as_json
@setting_flags()
def list_(given: GivenSettings, device: str | None, limit: int, as_json: bool) -> None:
    """List the commands of DEVICE, or of all devices, newest first."""
    if device is not None:
        names.check(device)
    with opened_store(given.settings()) as store:
        store.pass_deadlines()
        found = store.commands(device, limit=limit)
    output.print_list(
        found,
        as_json=as_json,
        described=life.to_reader,
        cells=lambda one: [one.device, one.name, sentence(one), one.id],
        nothing="Nothing was asked of a device yet.",
    )


def sentence(command: Command) -> str:
    """What became of a command, like ``done 5 s ago``."""
    since = command.ended_at or command.delivered_at or command.created_at
    said = f"{command.status} {duration(now() - since)} ago"
    return f"{said}: {command.reason}" if command.reason else said
