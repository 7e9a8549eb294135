"""``statecast watch``: states in the terminal, as they change.

It follows the store and not a server, so it works beside one and without one. Like every reader it asks "what has
changed since my place?": of changes that come faster than it prints it shows the latest.
"""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from statecast import names
from statecast.broadcast import encoding
from statecast.cli import output
from statecast.cli.options import GivenSettings, takes
from statecast.cli.show import as_json, text
from statecast.cli.store import opened
from statecast.errors import Unavailable
from statecast.model import Position, Update
from statecast.stores.contract import ReadCursor, Store

PATIENCE = 0.5
"""Seconds to wait for a commit before looking whether anybody still reads our output."""


@click.command(short_help="Show states as they change.")
@click.argument("patterns", nargs=-1, metavar="[DEVICE or PATTERN]...")
@as_json
@takes()
def watch(given: GivenSettings, patterns: tuple[str, ...], as_json: bool) -> None:
    """Show the states of devices, then every change, until Ctrl-C.

    A pattern is a name, `floor2/*` or `*`; without one, all devices are shown. Needs no running server.
    """
    chosen = [names.check_pattern(pattern) for pattern in patterns] or [names.EVERYTHING]
    settings = given.settings()
    with closing_signals(), opened(settings) as store:
        for update in changes(store):
            if update is None:
                if not heard():
                    return
            elif not any(names.match(pattern, update.device) for pattern in chosen):
                continue
            elif as_json:
                output.print_json(encoding.item(update, settings))
            else:
                click.echo(output.cut(line(update), output.width() or sys.maxsize))


@contextmanager
def closing_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block like Ctrl-C does: the store is closed, and not left for a check."""

    from statecast.program.unix import SIGHUP

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def line(update: Update) -> str:
    moment = time.strftime("%H:%M:%S", time.localtime(update.changed_at / 1000))
    return output.escaped(f"{moment}  {update.device}  v{update.version}  {text(update)}")


def changes(store: Store) -> Iterator[Update | None]:
    """Every state, then every change; None whenever there was nothing for a while.

    A removed device comes as a change only, not among the first states.
    """
    cursor, position = ReadCursor(), Position("", 0)
    while True:
        try:
            news = store.read(cursor)
            if not follows(store, news.position, cursor, position):
                news = store.read(ReadCursor())  # a backup was restored: begin anew
        except Unavailable as error:
            click.echo(f"{output.escaped(str(error))} Trying again.", err=True)
            time.sleep(PATIENCE)
            yield None
            continue
        first, cursor, position = not position.epoch, news.cursor, news.position
        yield from (update for update in news.updates if update.state is not None or not first)
        if not news.updates:
            yield None
        store.wait(PATIENCE)


def follows(store: Store, now: Position, cursor: ReadCursor, before: Position) -> bool:
    """Whether what was read after ``cursor`` continues what was read before it."""
    same = now.epoch == before.epoch and now.offset >= cursor.offset
    return same or not before.epoch or store.is_valid(Position(before.epoch, cursor.offset))


def heard() -> bool:
    """Whether anybody still reads our output: ``watch | head -1`` ends although nothing more happens."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return not any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # not a file, or a system without poll
        return True
