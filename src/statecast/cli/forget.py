"""``statecast forget``: removes a device or a person for good."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from statecast import names
from statecast.access.keys import Keys
from statecast.access.records import AuditEntry
from statecast.access.sessions import Sessions
from statecast.access.shares import Shares
from statecast.cli import output
from statecast.cli.completion import access_ids, device_names
from statecast.cli.key import BY
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.store import configured_sources, opened_store
from statecast.decoders.decoder import Decoder
from statecast.errors import NotFound
from statecast.model import Change, Delivery
from statecast.settings import Settings
from statecast.stores.contract import Store
from statecast.stores.forgotten_names import FORGOTTEN, renamed_senders
from statecast.timestamps import now

EMBEDDED = "embedded:"
BACKUPS = (
    "Backups that were made before still have it: they keep it for as long as you keep them, and "
    "a restored one brings it back."
)


@click.command(short_help="Remove a device or a person for good.")
@click.argument("device", required=False, shell_complete=device_names)
@click.option(
    "--user",
    metavar="NAME",
    help="Forget a person instead of a device.",
    shell_complete=access_ids("user"),
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@setting_flags(("store", "source"))
def forget(given: GivenSettings, device: str | None, user: str | None, yes: bool) -> None:
    """Remove DEVICE for good: state, history, commands, and its messages in the queue of the store
    and in quarantine. Pass the same --source as the server.

    With --user: the user, the sessions, and the name in history, commands and audit, also of
    somebody who signs in at an identity provider or a proxy. The bytes go too: the whole store is
    written again, while other writers wait. Open pages learn that the device is gone; a mark of
    that, with the name alone, stays for a week.
    """
    if (device is None) == (user is None):
        raise click.UsageError("Name a device, or a person with --user.")
    if device is not None:
        names.check(device)
    what = f"device {device}" if device is not None else f"person {user}"
    settings = given.settings()
    with opened_store(settings) as store:
        if not yes:
            click.confirm(f"Forget the {output.escaped(what)} for good?", abort=True, err=True)
        if device is not None:
            found = forget_device(store, settings, device)
        else:
            found = forget_person(store, user or "")
        if not found:
            raise NotFound(f"There is no {what}, and nothing about it.")
        scrubbed = store.scrub()
        left = list(mentions(store, device))
    output.print_line(f"Forgotten: the {what}.")
    for line in (*left, BACKUPS):
        click.echo(output.escaped(line), err=True)
    if not scrubbed:
        click.echo(
            "A reader kept the log of the store from being emptied; its bytes go with the next "
            "commits, or when the server stops.",
            err=True,
        )


def forget_device(store: Store, settings: Settings, device: str) -> bool:
    """Remove it, so that pages learn of it, and then all that is left; False: there was nothing.

    Messages that a server has received meanwhile are older than the removal: they change nothing.
    """
    known = store.get(device)
    if known is not None and known.state is not None:
        store.edit(Change(device, "delete", {}, by="user"))
    forgotten = known is not None
    forgotten |= remove_messages(store, settings, device) > 0
    while store.forget_device(device):
        forgotten = True
    if forgotten:
        store.note(AuditEntry(BY, "device forgotten", FORGOTTEN))
    return forgotten


def remove_messages(store: Store, settings: Settings, device: str) -> int:
    """Delete the messages in queues of the store that are about this device alone; how many."""
    outbox = configured_sources(store, settings)
    opened = [outbox.open(url) for url in settings.source if url.startswith(EMBEDDED)]
    return sum(
        store.queue(source.name).remove(partial(is_about, decode, device))
        for source, decode in opened
    )


def is_about(decode: Decoder, device: str, delivery: Delivery) -> bool:
    """Whether a message is about this device, and about no other one."""
    message = decode(delivery)
    named: set[str | None] = {change.device for change in message.changes}
    return named | {refusal.device for refusal in message.refusals} == {device}


def forget_person(store: Store, given: str) -> bool:
    """Remove a user, end the sessions, and leave out the name; False: there was nothing."""
    from statecast.access.users import Users, user_name

    name = user_name(given)
    record = store.access_record("user", name)
    forgotten = record is not None
    if record is not None and record.body is not None:
        Users(store, now).remove(name, by=BY)
    Sessions(store, now, hours=1).end_all(name)
    for one in dict.fromkeys((name, given)):  # a token may write it otherwise
        forgotten |= Shares(store, now).replace_creator(renamed_senders(one)) > 0
        while store.forget_person(one):
            forgotten = True
    if forgotten:
        store.note(AuditEntry(BY, "person forgotten", FORGOTTEN))
    return forgotten


def mentions(store: Store, device: str | None) -> Iterator[str]:
    """What still names a device, and what to do about it."""
    if device is None:
        return
    for key in Keys(store, now).all():
        if device in key.grants.as_table():
            yield f"The key {key.name} still names it: `statecast key revoke {key.name}`."
    for share in Shares(store, now).all():
        if share.pattern == device:
            yield f"The link {share.id} still names it: `statecast unshare {share.id}`."
