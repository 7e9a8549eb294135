"""``statecast watch``: prints states as they change.

It reads the store, so it needs no running server. Like every reader of the store it asks what has
changed since its position: of changes that are faster than the output it shows the latest.
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
from statecast.cli.completion import device_names
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json, state_text
from statecast.cli.store import opened_store
from statecast.errors import Unavailable
from statecast.model import Position, Update
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store

COMMIT_TIMEOUT = 0.5
"""Seconds to wait for a commit, then check whether the output is still read."""


@click.command(short_help="Show states as they change.")
@click.argument("patterns", nargs=-1, metavar="[DEVICE or PATTERN]...", shell_complete=device_names)
@as_json
@setting_flags()
def watch(given: GivenSettings, patterns: tuple[str, ...], as_json: bool) -> None:
    """Show the states of devices, then every change, until Ctrl-C.

    A pattern is a name, `floor2/*` or `*`; without one, all devices are shown. Needs no running
    server.
    """
    chosen = [names.check_pattern(pattern) for pattern in patterns] or [names.EVERYTHING]
    settings = given.settings()
    with signals_as_exit(), opened_store(settings) as store:
        for update in changes(store):
            if update is None:
                if not output_is_read():
                    return
            elif not names.match_any(chosen, update.device):
                continue
            elif as_json:
                output.print_json(encoding.item(update, settings))
            else:
                click.echo(output.cut(format_line(update), output.width() or sys.maxsize))


@contextmanager
def signals_as_exit() -> Iterator[None]:
    """End the block on SIGTERM and SIGHUP like on Ctrl-C, so that the store is closed."""
    from statecast.program.unix import SIGHUP

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def format_line(update: Update) -> str:
    """Time, device, version and state."""
    moment = time.strftime("%H:%M:%S", time.localtime(update.changed_at / 1000))
    return output.escaped(f"{moment}  {update.device}  v{update.version}  {state_text(update)}")


def changes(store: Store) -> Iterator[Update | None]:
    """All states, then every change; None after ``COMMIT_TIMEOUT`` without one.

    A removed device is reported as a change, but not among the first states.
    """
    cursor, position = ReadCursor(), Position("", 0)
    while True:
        try:
            batch = store.read(cursor)
            if not follows(store, batch.position, cursor, position):
                batch = store.read(ReadCursor())  # a backup was restored: read all states
        except Unavailable as error:
            click.echo(f"{output.escaped(str(error))} Trying again.", err=True)
            time.sleep(COMMIT_TIMEOUT)
            yield None
            continue
        first, cursor, position = not position.epoch, batch.cursor, batch.position
        yield from (update for update in batch.updates if update.state is not None or not first)
        if not batch.updates:
            yield None
        store.wait(COMMIT_TIMEOUT)


def follows(store: Store, now: Position, cursor: ReadCursor, before: Position) -> bool:
    """Whether a read after ``cursor`` continues the history that was read before."""
    same = now.epoch == before.epoch and now.offset >= cursor.offset
    return same or not before.epoch or store.is_valid(Position(before.epoch, cursor.offset))


def output_is_read() -> bool:
    """Whether the output is still read: ``watch | head -1`` ends without waiting for a change."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return not any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # not a file, or no poll on this system
        return True
