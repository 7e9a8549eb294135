"""What a shell offers for an argument: names of devices, users and keys, rows of the quarantine.

Rule 1: a completion reads and nothing else. It makes no store, takes no lock and waits for none.
Rule 2: it never fails. Where nothing can be read, nothing is offered.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from statecast.access.records import RecordKind
from statecast.cli.options import GivenSettings, app_loader, setting_value
from statecast.cli.store import SQLITE
from statecast.names import escaped

MAX_OFFERED = 200
"""More are of no use on a screen."""
MAX_HELP = 60
"""Characters of the text beside an offer, in shells that show one."""

Offers = list[CompletionItem]
Completion = Callable[[click.Context, click.Parameter, str], Offers]


def device_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offers:
    """Names of present devices, without those that were given."""
    given = context.params.get(parameter.name or "")
    taken = given if isinstance(given, tuple) else ()
    names = read(context, lambda path: _untouched().device_names(path, incomplete, MAX_OFFERED))
    return [CompletionItem(name) for name in names if name not in taken]


def first_word_device(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> Offers:
    """For ``send``: a device, and nothing for the fields. Shells put a space behind ``mood=``."""
    words = context.params.get(parameter.name or "")
    return [] if words else device_names(context, parameter, incomplete)


def quarantine_numbers(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> Offers:
    """Numbers of messages in quarantine, with the reason beside."""
    given = context.params.get(parameter.name or "")
    taken = set(map(str, given)) if isinstance(given, tuple) else set()
    rows = read(context, lambda path: _untouched().quarantined(path, MAX_OFFERED))
    return [
        CompletionItem(number, help=escaped(reason)[:MAX_HELP])
        for number, reason in rows
        if number.startswith(incomplete) and number not in taken
    ]


def access_ids(kind: RecordKind) -> Completion:
    """What offers the users, the keys or the share links that there are."""

    def offers(context: click.Context, parameter: click.Parameter, incomplete: str) -> Offers:
        ids = read(context, lambda path: _untouched().access_ids(path, kind, MAX_OFFERED))
        return [
            CompletionItem(id_) for id_ in ids if id_.startswith(incomplete) and id_.isprintable()
        ]

    return offers


def read(context: click.Context, reader: Callable[[Path], Iterable[Any]]) -> list[Any]:
    """What ``reader`` finds in the store's file; nothing, if it cannot be read."""
    try:
        # The app of `flask --app` is loaded here, and what it prints would be taken as an offer.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            store = given_settings(context).settings().store
            if not store.startswith(SQLITE) or store == SQLITE:
                return []
            return list(reader(Path(store.removeprefix(SQLITE))))
    except (Exception, SystemExit):
        return []


def given_settings(context: click.Context) -> GivenSettings:
    """The settings as far as they were typed."""
    store = setting_value(context.params.get("store"))
    flags = {} if store is None else {"store": store}
    with context:
        return GivenSettings(flags, context.params.get("config"), app_loader())


def _untouched() -> Any:
    """Imported at its first use: most commands need no store, and a system may lack SQLite."""
    from statecast.stores.sqlite import untouched

    return untouched
