"""``statecast forget``: removes a device or a user for good."""

from __future__ import annotations

import click

from statecast import names
from statecast.access.records import AuditEntry
from statecast.cli import output
from statecast.cli.completion import device_names
from statecast.cli.key import BY
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.store import opened_store
from statecast.errors import NotFound
from statecast.model import Change
from statecast.stores.contract import Store
from statecast.timestamps import now

BACKUPS = (
    "Backups that were made before still have it: they keep it for as long as you keep them, and "
    "a restored one brings it back."
)


@click.command(short_help="Remove a device or a user for good.")
@click.argument("device", required=False, shell_complete=device_names)
@click.option("--user", metavar="NAME", help="Forget a user instead of a device.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@setting_flags()
def forget(given: GivenSettings, device: str | None, user: str | None, yes: bool) -> None:
    """Remove DEVICE for good: state, history, commands, and its messages in quarantine.

    With --user: the user, and the name in history, commands and audit. The bytes go too: the whole
    store is written again, while other writers wait. Open pages learn that the device is gone; a
    mark of that, with the name alone, stays for a week.
    """
    if (device is None) == (user is None):
        raise click.UsageError("Name a device, or a user with --user.")
    settings = given.settings()
    with opened_store(settings) as store:
        what = f"the device {device}" if device is not None else f"the user {user}"
        exists = _exists(store, device, user)
        if not exists:
            raise NotFound(f"There is no {what.removeprefix('the ')}, and nothing about it.")
        if not yes:
            click.confirm(f"Forget {output.escaped(what)} for good?", abort=True, err=True)
        if device is not None:
            forget_device(store, device)
        elif user is not None:
            forget_user(store, user)
        scrubbed = store.scrub()
    output.print_line(f"Forgotten: {what}.")
    click.echo(BACKUPS, err=True)
    if not scrubbed:
        click.echo(
            "A reader kept the log of the store from being emptied; its bytes go with the next "
            "commits, or when the server stops.",
            err=True,
        )


def _exists(store: Store, device: str | None, user: str | None) -> bool:
    if device is not None:
        names.check(device)
        known = store.get(device) is not None or store.quarantine_count(device) > 0
        return known or bool(store.commands(device, limit=1))
    from statecast.access.users import user_name

    return store.access_record("user", user_name(user or "")) is not None


def forget_device(store: Store, device: str) -> None:
    """Remove it, so that pages learn of it, and then all that is left."""
    found = store.get(device)
    if found is not None and found.state is not None:
        store.edit(Change(device, "delete", {}, by="user"))
    while store.forget_device(device):
        pass
    store.note(AuditEntry(BY, "device forgotten", "forgotten"))


def forget_user(store: Store, user: str) -> None:
    from statecast.access.users import Users, user_name

    name = user_name(user)
    record = store.access_record("user", name)
    if record is not None and record.body is not None:
        Users(store, now).remove(name, by=BY)
    while store.forget_user(name):
        pass
    store.note(AuditEntry(BY, "user forgotten", "forgotten"))
