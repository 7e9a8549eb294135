"""``statecast quarantine``: lists, shows, replays and drops refused messages."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import replace

import click

from statecast import strict_json, timestamps
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.records import AuditEntry
from statecast.cli import output
from statecast.cli.completion import quarantine_numbers
from statecast.cli.errors import CommandError
from statecast.cli.key import BY
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import configured_sources, opened_store
from statecast.errors import NotFound, Refused
from statecast.ingest.pipeline import replay as replay_row
from statecast.model import Quarantined
from statecast.program.commands import command, complete
from statecast.settings import Settings
from statecast.stores.contract import Store
from statecast.timestamps import duration, now

PAGE_SIZE = 100
NUMBER = click.IntRange(1, 2**63 - 1)


@click.group(short_help="List, show, replay or drop refused messages.")
def quarantine() -> None:
    """The messages that could not be read or applied, with the reason."""


@quarantine.command("list")
@as_json
@setting_flags()
def list_(given: GivenSettings, as_json: bool) -> None:
    """List the messages in quarantine, oldest first."""
    settings = given.settings()
    with opened_store(settings) as store:
        found = [with_commands(row, settings) for row in rows(store)]
    output.print_list(
        found, as_json=as_json, described=described, cells=cells, nothing="The quarantine is empty."
    )


def cells(row: Quarantined) -> list[str]:
    return [str(row.number), f"{duration(now() - row.at)} ago", row.source, row.reason]


@quarantine.command()
@click.argument("number", type=NUMBER, shell_complete=quarantine_numbers)
@click.option("--body", is_flag=True, help="Only the message itself, byte for byte.")
@as_json
@setting_flags()
def show(given: GivenSettings, number: int, body: bool, as_json: bool) -> None:
    """Show one message in full."""
    settings = given.settings()
    with opened_store(settings) as store:
        row = with_commands(existing(store, settings, number), settings)
    if body:
        sys.stdout.buffer.write(row.body)
    elif as_json:
        output.print_json(strict_json.encode(described(row)))
    else:
        cells = [
            [name, output.value_text(one)]
            for name, one in described(row).items()
            if one is not None
        ]
        for line in output.columns(cells, None):
            click.echo(line)


@quarantine.command()
@click.argument(
    "numbers",
    nargs=-1,
    type=NUMBER,
    metavar="[NUMBER]...",
    shell_complete=quarantine_numbers,
)
@click.option("--all", "everything", is_flag=True, help="All messages in quarantine.")
@setting_flags(("store", "source"))
def replay(given: GivenSettings, numbers: tuple[int, ...], everything: bool) -> None:
    """Process messages again, with their original id and time: they overwrite nothing newer.

    Each message is decoded with the options of its source's URL; pass the same --source as the
    server. A message that is refused again stays in quarantine, with the new reason.
    """
    if bool(numbers) == everything:
        raise click.UsageError("Say which messages: their numbers, or --all.")
    refused = done = 0
    settings = given.settings()
    with opened_store(settings) as store:
        outbox = configured_sources(store, settings)
        policy = AccessPolicy(Rules(table=settings.rights), lambda: store, now)
        grants_of = policy.grants_of_sender
        for number in [row.number for row in rows(store)] if everything else dict.fromkeys(numbers):
            try:
                decode, resolution = outbox.decoder_for(store.quarantine_row(number).source)
                audit = AuditEntry(BY, "replay", str(number))
                again = replay_row(store, decode, number, resolution, grants_of, audit).quarantined
                reason = store.quarantine_row(number).reason if again else ""
            except Refused as error:
                again, reason = 1, str(error)
            refused, done = (refused + 1, done) if again else (refused, done + 1)
            if again:
                click.echo(f"{number}: {output.escaped(reason)}", err=True)
    output.print_line(f"Replayed: {done}.")
    if refused:
        raise CommandError(f"Not replayed: {refused}.")


@quarantine.command()
@click.argument(
    "numbers",
    nargs=-1,
    required=True,
    type=NUMBER,
    metavar="NUMBER...",
    shell_complete=quarantine_numbers,
)
@setting_flags()
def drop(given: GivenSettings, numbers: tuple[int, ...]) -> None:
    """Delete messages permanently. If one of them does not exist, none is deleted."""
    settings = given.settings()
    with opened_store(settings) as store:
        for number in numbers:
            existing(store, settings, number)
        for number in dict.fromkeys(numbers):
            store.drop(number, audit=AuditEntry(BY, "drop", str(number)))
    output.print_line(f"Dropped: {len(set(numbers))}.")


def existing(store: Store, settings: Settings, number: int) -> Quarantined:
    """The row of this number. Raises NotFound, with the command that lists the others."""
    try:
        return store.quarantine_row(number)
    except NotFound as error:
        others = command(settings, "quarantine", "list")
        raise NotFound(f"{error} `{others}` shows those there are.") from None


def with_commands(row: Quarantined, settings: Settings) -> Quarantined:
    """The row as it is shown: commands in its reason name this store."""
    return replace(row, reason=complete(row.reason, settings))


def rows(store: Store) -> Iterator[Quarantined]:
    """All messages in quarantine, oldest first."""
    after = 0
    while page := store.quarantined(after=after, limit=PAGE_SIZE):
        yield from page
        after = page[-1].number


def described(row: Quarantined) -> dict[str, str | int | None]:
    """A message for people and programs. A body that is not text is in Base64."""
    try:
        body = {"body": row.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(row.body).decode()}
    return {
        "number": row.number,
        "reason": row.reason,
        "device": row.device,
        "source": row.source,
        "id": row.id,
        "item": row.item,
        "sent_at": timestamps.iso(row.sent_at),
        "quarantined_at": timestamps.iso(row.at),
        "attempts": row.attempts,
        **body,
    }
