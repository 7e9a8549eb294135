"""``statecast audit``: who did what."""

from __future__ import annotations

import click

from statecast import timestamps
from statecast.access.records import AuditEntry
from statecast.cli import output
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import opened_store
from statecast.timestamps import duration, now


@click.command(short_help="List who did what.")
@click.option("--by", metavar="SENDER", help="Only what this one did, like 'user ada'.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json
@setting_flags()
def audit(given: GivenSettings, by: str | None, limit: int, as_json: bool) -> None:
    """List who edited, asked, replayed, dropped, and who gave or took rights, newest first."""
    with opened_store(given.settings()) as store:
        found = store.audit_rows(limit=limit, by=by)
    output.print_list(
        found, as_json=as_json, described=described, cells=cells, nothing="There is no entry yet."
    )


def cells(one: AuditEntry) -> list[str]:
    return [f"{duration(now() - one.at)} ago", one.by, one.action, one.target, one.detail]


def described(one: AuditEntry) -> dict[str, object]:
    return {
        "number": one.number,
        "at": timestamps.iso(one.at),
        "by": one.by,
        "action": one.action,
        "target": one.target,
        "detail": one.detail,
    }
