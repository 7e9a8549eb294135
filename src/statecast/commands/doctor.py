"""``statecast doctor``: what is wrong, in sentences."""

from __future__ import annotations

import sys

import click

from statecast import strict_json
from statecast.checkup import checkup
from statecast.commands import terminal
from statecast.commands.endings import REFUSED
from statecast.commands.look import as_json
from statecast.commands.opening import opened
from statecast.commands.options import Given, takes

MARKS = {"good": "ok", "notice": "note", "wrong": "WRONG"}


@click.command(short_help="Say what is wrong with settings, store and queues.")
@as_json
@takes(("store", "source"))
def doctor(given: Given, as_json: bool) -> None:
    """Look at the settings, the store, each queue and the clocks of devices, and say what is wrong.

    It changes nothing and takes no message. Ends with 1 if something is wrong.
    """
    wrong = False
    for line in checkup(given.settings, opened):
        wrong = wrong or line.verdict == "wrong"
        if as_json:
            terminal.print_json(strict_json.encode(line._asdict()))
        else:
            terminal.print_line(f"{MARKS[line.verdict]:<6} {line.about}: {line.sentence}")
    if wrong:
        sys.exit(REFUSED)
