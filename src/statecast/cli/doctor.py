"""``statecast doctor``: says what is wrong with settings, store and sources."""

from __future__ import annotations

import sys

import click

from statecast import strict_json
from statecast.cli import output
from statecast.cli.errors import REFUSED
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.cli.store import readable_store
from statecast.diagnostics import diagnose

MARKS = {"good": "ok", "notice": "note", "wrong": "WRONG"}


@click.command(short_help="Say what is wrong with settings, store and queues.")
@as_json
@setting_flags(("store", "source", "tls_cert", "tls_key"))
def doctor(given: GivenSettings, as_json: bool) -> None:
    """Look at the settings, the store, each queue and the clocks of devices, and say what is wrong.

    It changes nothing and takes no message. Ends with 1 if something is wrong.
    """
    wrong = False
    for line in diagnose(given.settings, readable_store):
        wrong = wrong or line.verdict == "wrong"
        if as_json:
            output.print_json(strict_json.encode(line._asdict()))
        else:
            output.print_line(f"{MARKS[line.verdict]:<6} {line.about}: {line.sentence}")
    if wrong:
        sys.exit(REFUSED)
