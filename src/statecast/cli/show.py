"""``statecast get`` and ``statecast devices``: current states, from the store."""

from __future__ import annotations

import click

from statecast import names, strict_json
from statecast.broadcast import encoding
from statecast.cli import output
from statecast.cli.completion import device_names
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.store import configured_sources, readable_store
from statecast.errors import NotFound
from statecast.model import Update
from statecast.program.commands import command
from statecast.settings import Settings
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Store
from statecast.timestamps import duration, now

as_json = click.option("--json", "as_json", is_flag=True, help="JSON, one value per line.")


@click.command(short_help="Show the state of one device.")
@click.argument("device", shell_complete=device_names)
@as_json
@setting_flags()
def get(given: GivenSettings, device: str, as_json: bool) -> None:
    """Show the state of DEVICE. Needs no running server."""
    settings = given.settings()
    names.check(device)
    with readable_store(settings) as store:
        update = store.get(device)
        if update is None or update.state is None:
            raise NotFound(not_found(store, settings, device, update))
        if as_json:
            output.print_json(encoding.item(update, settings))
        else:
            for line in described(update, settings):
                click.echo(line)


def not_found(store: Store, settings: Settings, device: str, update: Update | None) -> str:
    """The sentence about a device without a state."""
    if update is not None:
        return f"The device “{device}” was removed {duration(now() - update.changed_at)} ago."
    sentence = f"No device called “{device}” has sent anything"
    queue = configured_sources(store, settings).queue
    if isinstance(queue, EmbeddedQueue) and (waiting := queue.waiting()):
        return (
            f"{sentence} that was applied; messages waiting in the queue for "
            f"`{command(settings, 'run', flags=('store', 'source'))}`: {waiting}."
        )
    return f"{sentence}; `{command(settings, 'devices')}` lists those that have."


def described(update: Update, settings: Settings) -> list[str]:
    """A summary line, which commands it takes if that is known, and one line per field."""
    age = duration(now() - update.changed_at)
    head = f"{update.device}  version {update.version}, changed {age} ago"
    if silent := silence_of(update, settings):
        head += f", {silent}"
    elif update.seen_at is not None:
        head += f", heard {duration(now() - update.seen_at)} ago"
    lines = [head]
    takes = settings.commands_of(update)
    if takes is not None:
        lines.append(f"  takes {output.escaped(', '.join(takes)) or 'no commands'}")
    state = strict_json.decode(update.state or b"{}")
    fields = [["", name, output.value_text(one)] for name, one in state.items()]
    return [*lines, *(output.columns(fields, None) if fields else [])]


@click.command(short_help="List the devices and their states.")
@as_json
@setting_flags()
def devices(given: GivenSettings, as_json: bool) -> None:
    """List all devices with their states. Needs no running server."""
    settings = given.settings()
    with readable_store(settings) as store:
        found = store.devices()
    if as_json:
        for update in found:
            output.print_json(encoding.item(update, settings))
    elif found:
        rows = [row(update, settings) for update in found]
        for line in output.columns(rows, output.width()):
            click.echo(line)
    else:
        click.echo("No device has sent anything yet.", err=True)


def row(update: Update, settings: Settings) -> list[str]:
    """The cells of a device in the list."""
    age = silence_of(update, settings) or f"{duration(now() - update.changed_at)} ago"
    return [update.device, f"v{update.version}", age, state_text(update)]


def silence_of(update: Update, settings: Settings) -> str:
    """``silent for 5 min`` for a device past its deadline, else empty."""
    deadline = settings.deadline(update)
    quiet = now() - (update.seen_at or update.changed_at)
    return (
        f"silent for {duration(quiet)}" if deadline is not None and quiet > deadline * 1000 else ""
    )


def state_text(update: Update) -> str:
    """The state as JSON, or "removed"."""
    return "removed" if update.state is None else update.state.decode()
