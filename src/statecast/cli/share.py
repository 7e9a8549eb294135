"""``statecast share``, ``shares`` and ``unshare``: links that show devices to who has them."""

from __future__ import annotations

import click

from statecast import names, timestamps
from statecast.access.shares import Share, Shares
from statecast.cli import output
from statecast.cli.completion import access_ids, device_names
from statecast.cli.key import BY, expiry
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import opened_store
from statecast.cli.time_span import time_span
from statecast.timestamps import now

PATH = "/statecast/share"


@click.command(short_help="Create a link that shows devices.")
@click.argument("pattern", shell_complete=device_names)
@click.option(
    "--expires",
    type=time_span,
    metavar="TIME",
    default="7d",
    show_default=True,
    help="Refuse it after this time, like 12h.",
)
@click.option(
    "--address", metavar="URL", help="The address of the server as others see it, for the link."
)
@setting_flags(("store", "host", "port"))
def share(given: GivenSettings, pattern: str, expires: float, address: str | None) -> None:
    """Create a link that shows the devices of PATTERN without an account, and print it.

    It is not shown again. PATTERN is the name of a device, a prefix like 'floor2/*', or '*'.

    The secret is behind the #, so browsers send it to no server and it is in no log.
    """
    from statecast.server.sockets import url_of  # loads what finds this machine's addresses

    settings = given.settings()
    names.check_pattern(pattern)
    with opened_store(settings) as store:
        token = Shares(store, now).create(pattern, expires, by=BY)
    base = address or url_of(settings.host, settings.port, bool(settings.tls_cert))
    click.echo(f"{base.rstrip('/')}{PATH}#{token}")
    if address is None:
        click.echo("With --address it begins with the address that others use.", err=True)


@click.command("shares", short_help="List the links that show devices.")
@as_json
@setting_flags()
def list_(given: GivenSettings, as_json: bool) -> None:
    """List the links, the newest last."""
    with opened_store(given.settings()) as store:
        found = Shares(store, now).all()
    output.print_list(
        found,
        as_json=as_json,
        described=described,
        cells=lambda one: [one.id, one.pattern, expiry(one.expires_at), f"by {one.by}"],
        nothing="There is no share link.",
    )


def described(one: Share) -> dict[str, object]:
    return {
        "id": one.id,
        "pattern": one.pattern,
        "by": one.by,
        "created_at": timestamps.iso(one.created_at),
        "expires_at": timestamps.iso(one.expires_at),
    }


@click.command(short_help="Revoke a link that shows devices.")
@click.argument("id_", metavar="ID", shell_complete=access_ids("share"))
@setting_flags()
def unshare(given: GivenSettings, id_: str) -> None:
    """Refuse the link ID from now on. Pages that show it end within 5 s."""
    with opened_store(given.settings()) as store:
        Shares(store, now).revoke(id_, by=BY)
    output.print_line(f"Revoked: {id_}.")
