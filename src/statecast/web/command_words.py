"""What pages say of commands, as ``command-words.js`` says it.

Rule: a fact is only what the device said; everything else is a wish that waits, or a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from statecast import timestamps
from statecast.commands import life
from statecast.commands.life import Command
from statecast.web import formatting

SECOND, TENTH = 1000, 100
"""ms"""
ARGUMENTS = 120
"""Characters of the arguments that a line of the history shows."""


class Line(NamedTuple):
    """A sentence whose first words stand out."""

    word: str
    rest: str


class CommandRow(NamedTuple):
    """A command in the history of its device."""

    at: int
    id: str
    name: str
    given: str
    """Its arguments, and who asked."""
    outcome: Line
    version: int | None = None
    """None, where a line of the history is no version."""

    @property
    def short_id(self) -> str:
        return formatting.short_id(self.id)


def delay(ms: int) -> str:
    """``180 ms``, ``1.8 s``, ``14 min``; what is left of a unit is cut off."""
    length = max(0, ms)
    if length < SECOND:
        return f"{length} ms"
    if length < 10 * SECOND:
        return f"{length // TENTH / 10:.1f} s"
    return timestamps.duration(length)


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def button_label(name: str, label: str) -> str:
    """Only a hug is felt; other commands have names of their own."""
    return f"Hug {label}" if name == "hug" else capitalized(name)


def as_of(command: Command, now: int) -> Command:
    """The command as it is now, also where no process has noted yet that its deadline passed."""
    return life.pass_deadline(command, command.change, now) if command.is_overdue(now) else command


def outcome(command: Command, now: int) -> Line:
    """What became of a command, as the history says it."""
    if command.status == "waiting":
        return Line("waiting", "")
    if command.status == "delivered":
        return Line("delivered", ", no answer yet")
    if command.status == "done":
        took = delay((command.ended_at or now) - command.created_at)
        return Line("felt" if command.name == "hug" else "done", f" {took} later")
    if command.status == "refused":
        return Line("refused", f": {command.reason}" if command.reason else "")
    if command.status == "expired":
        return Line("not delivered", f", gave up after {_time_given(command)}")
    at = formatting.clock(command.delivered_at or command.created_at, now)
    return Line(f"delivered {at}", ", no answer: it may have happened")


def _time_given(command: Command) -> str:
    return delay(command.expires_at - command.created_at)


def lines(commands: Sequence[Command], label: str, now: int) -> list[Line]:
    """The two lines under the buttons, with times instead of ages.

    ``commands`` are the newest of the device, newest first.
    """
    known = [as_of(one, now) for one in commands]
    waiting = [one for one in reversed(known) if one.is_open]
    newest = max((one for one in known if not one.is_open), key=_end, default=None)
    found = [_waiting(waiting, label, now)] if waiting else []
    if newest and (not waiting or (newest.ended_at or 0) >= waiting[0].created_at):
        found.append(_result(newest, label, now))
    return [*found, Line("", ""), Line("", "")][:2]


def _end(command: Command) -> tuple[int, int]:
    return command.change, command.number


def _waiting(commands: Sequence[Command], label: str, now: int) -> Line:
    first, *others = commands
    is_delivered = all(one.status == "delivered" for one in commands)
    word, rest = ("delivered", ", waiting for") if is_delivered else ("waiting", " for")
    since = f"since {formatting.clock(first.created_at, now)} UTC"
    if others:
        rest = f"{rest} {label}: {len(commands)} commands, the first {since}"
        return Line(capitalized(word), rest)
    return _begin(first, word, f"{rest} {label} {since}")


def _result(command: Command, label: str, now: int) -> Line:
    said = outcome(command, now)
    if command.status == "refused":
        return _begin(command, f"{label} refused", said.rest or ".")
    if command.status == "unanswered":
        return _begin(command, f"{said.word} UTC", said.rest)
    if command.status != "done":
        return _begin(command, *said)
    at = formatting.clock(command.ended_at or now, now)
    person = f", by {command.by}" if command.by else ""
    return _begin(command, said.word, f", {at} UTC{person}")


def _begin(command: Command, word: str, rest: str) -> Line:
    if command.name == "hug":
        return Line(capitalized(word), rest)
    return Line(f"{capitalized(command.name)}: {word}", rest)


def given(command: Command) -> str:
    """With which arguments a command was given, and by whom."""
    text = formatting.cut(command.arguments.decode(), ARGUMENTS)
    arguments = "" if command.arguments == b"{}" else f" {text}"
    return f"{arguments} by {command.by}" if command.by else arguments


def row(command: Command, now: int) -> CommandRow:
    """A command as a line of the history."""
    return CommandRow(
        command.created_at,
        command.id,
        command.name,
        given(command),
        outcome(as_of(command, now), now),
    )


def embedded(commands: Sequence[Command]) -> list[dict[str, object]]:
    """The commands for the script to begin with. Their arguments may be long and stay out."""
    shown = [life.to_reader(one) for one in commands]
    left_out = ("device", "arguments")
    return [{name: one[name] for name in one if name not in left_out} for one in shown]
