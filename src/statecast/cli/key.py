"""``statecast key``: creates, lists and revokes the keys of devices and programs."""

from __future__ import annotations

import click

from statecast import timestamps
from statecast.access.actions import Action
from statecast.access.grants import Grants
from statecast.access.keys import Key, Keys
from statecast.cli import output
from statecast.cli.completion import access_ids
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import opened_store
from statecast.cli.time_span import time_span
from statecast.timestamps import now

BY = "machine"
"""Who works on the server's machine, as it stands in the audit."""
ACTIONS = tuple(action.value for action in Action if action is not Action.OPERATE)


def action_flags(command: click.decorators.FC) -> click.decorators.FC:
    """A flag for each action that concerns devices."""
    help_of = {
        "read": "See the states of these devices.",
        "command": "Ask something of these devices.",
        "send": "Send messages for these devices, and take their commands.",
        "write": "Set and remove the states of these devices.",
    }
    for action in reversed(ACTIONS):
        flag = click.option(f"--{action}", multiple=True, metavar="PATTERN", help=help_of[action])
        command = flag(command)
    return command


@click.group(short_help="Create, list or revoke keys of devices and programs.")
def key() -> None:
    """Keys for devices and programs. A key is shown once; the store has only its digest."""


@key.command()
@click.argument("name")
@action_flags
@click.option("--operate", is_flag=True, help="Use the operator's page and /metrics.")
@click.option(
    "--expires", type=time_span, metavar="TIME", help="Refuse it after this time, like 90d."
)
@setting_flags()
def create(
    given: GivenSettings,
    name: str,
    operate: bool,
    expires: float | None,
    **patterns: tuple[str, ...],
) -> None:
    """Create the key NAME, and print it. It is not shown again.

    A pattern is the name of a device, a prefix like 'floor2/*', or '*' for all. A program sends the
    key in the header `Authorization: Bearer KEY`.
    """
    table: dict[str, list[str]] = {"*": [Action.OPERATE.value]} if operate else {}
    for action in ACTIONS:
        for pattern in patterns[action]:
            table.setdefault(pattern, []).append(action)
    if not table:
        raise click.UsageError("Say what the key may do, and where: --send pillow, or --read '*'.")
    with opened_store(given.settings(), create=True) as store:
        token = Keys(store, now).create(name, Grants.of(table), expires, by=BY)
    click.echo(token)
    click.echo("Keep it: it is not shown again.", err=True)


@key.command("list")
@as_json
@setting_flags()
def list_(given: GivenSettings, as_json: bool) -> None:
    """List the keys, by name, and what they may do."""
    with opened_store(given.settings()) as store:
        found = Keys(store, now).all()
    output.print_list(
        found,
        as_json=as_json,
        described=described,
        cells=lambda one: [one.name, expiry(one.expires_at), rights(one.grants)],
        nothing="There is no key.",
    )


@key.command()
@click.argument("name", shell_complete=access_ids("key"))
@setting_flags()
def revoke(given: GivenSettings, name: str) -> None:
    """Refuse the key NAME from now on. Its connections end within 5 s."""
    with opened_store(given.settings()) as store:
        Keys(store, now).revoke(name, by=BY)
    output.print_line(f"Revoked: {name}.")


def rights(grants: Grants) -> str:
    """For people: ``read command pillow, read floor2/*``."""
    return ", ".join(f"{actions} {pattern}" for pattern, actions in grants.as_table().items())


def expiry(expires_at: int | None) -> str:
    """For people: when something is refused."""
    if expires_at is None:
        return "does not expire"
    left = expires_at - now()
    if left <= 0:
        return f"expired {timestamps.duration(-left)} ago"
    return f"expires in {timestamps.duration(left)}"


def described(one: Key) -> dict[str, object]:
    return {
        "name": one.name,
        "grants": one.grants.as_table(),
        "created_at": timestamps.iso(one.created_at),
        "expires_at": None if one.expires_at is None else timestamps.iso(one.expires_at),
    }
