"""``statecast send``: sends messages to a queue, with or without a running server."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from statecast import strict_json
from statecast.cli import message_parser, output
from statecast.cli.completion import first_word_device
from statecast.cli.destination import Destination, opened_destination
from statecast.cli.errors import REFUSED
from statecast.cli.options import GivenSettings, setting_flags
from statecast.cli.show import as_json
from statecast.decoders import encodings
from statecast.errors import Refused
from statecast.program.commands import command
from statecast.settings import Settings

EXAMPLES = """\b
Examples:
  statecast send pillow mood=happy battery=80
  statecast send pillow '{"mood": null}'
  statecast send '{"device": "pillow", "state": {"mood": "calm"}}'
  tail -f messages.jsonl | statecast send -
  statecast send --source azure-queue:pillow pillow mood=happy"""


def command_names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> list[str] | None:
    """The names in a text with commas."""
    if value is None:
        return None
    return [name for part in value.split(",") if (name := part.strip())]


class CommandWithExamples(click.Command):
    """A command with an epilog whose examples name the program as it was called."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        called = ctx.find_root().info_name or "statecast"
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(EXAMPLES.replace("statecast", called))


@click.command(cls=CommandWithExamples, short_help="Send a message to a queue.", epilog=EXAMPLES)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="DEVICE KEY=VALUE... | DEVICE JSON | JSON | -",
    shell_complete=first_word_device,
)
@click.option(
    "--by",
    type=click.Choice(["device", "user"]),
    help="The author; only a device's own message updates its last-seen time.",
)
@click.option(
    "--silent-after",
    type=float,
    metavar="SECONDS",
    help="The device counts as silent after this long without a message.",
)
@click.option(
    "--commands",
    metavar="NAMES",
    callback=command_names,
    help="The commands that the device takes, like hug,open; an empty text: none.",
)
@click.option("--time", metavar="TIME", help="When it happened, like 2026-01-31T12:00:00Z.")
@click.option(
    "--replace", is_flag=True, help="The fields are the whole state; all others are removed."
)
@click.option("--delete", is_flag=True, help="Remove the device.")
@click.option(
    "--server",
    metavar="URL",
    help="Send through the running server at this address, from any folder or host.",
)
@as_json
@setting_flags(("store", "source"))
def send(
    given: GivenSettings,
    words: tuple[str, ...],
    server: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Send a message of a device. Prints the message's id in the queue.

    A value is true, false, null (removes the field), a number, or JSON; otherwise it is text. JSON
    that begins with { or [ is a whole message; `-` reads whole messages from standard input. No
    server needs to run: the message waits in the store, which is created if it does not exist, or
    in the queue of --source (the first of several). Standard error says where it is, and whether a
    server reads it.
    """
    options = {
        name: value for name, value in options.items() if value is not None and value is not False
    }
    if options and (words[0] == "-" or is_message(words)):
        raise click.UsageError(
            f"--{next(iter(options)).replace('_', '-')} goes with a DEVICE; JSON says it by itself."
        )
    if server is not None and given.flags:
        flag = next(iter(given.flags))
        raise click.UsageError(f"--server and --{flag} say two places; leave out one of them.")
    settings = given.settings()
    body = None if words[0] == "-" else message_body(words, options, settings)
    if body is None and len(words) > 1:
        raise click.UsageError("With - everything comes from the input; leave out the rest.")
    with opened_destination(settings, server) as destination:
        if body is not None:
            left_out = destination.add(body)
            ids = destination.flush()
            print_left_out(left_out)
            click.echo(output.escaped(destination.where()), err=True)
            print_ids(ids, as_json)
        elif not send_input(destination, as_json):
            sys.exit(REFUSED)


def message_body(words: Sequence[str], options: Mapping[str, Any], settings: Settings) -> bytes:
    """The message of the arguments. Raises UsageError, Malformed."""
    first, *rest = words
    if is_message(words) and not options:
        if rest:
            raise click.UsageError("A JSON message stands alone; put it into quotes.")
        return first.encode("utf-8", "surrogateescape")
    if options.get("delete") and (rest or options.get("replace")):
        raise click.UsageError(
            "--delete removes the whole device; leave out the fields and --replace."
        )
    if not rest and not options:
        example = command(settings, "send", first, "mood=happy", flags=("store", "source"))
        raise click.UsageError(
            f"Say what {output.escaped(first)} has to say, like: {output.escaped(example)}"
        )
    return message_parser.compose(first, message_parser.parse_state(rest), options)


def is_message(words: Sequence[str]) -> bool:
    """Whether the first word is a whole message and not the name of a device."""
    if words[0].startswith(("{", "[")):
        return True
    return len(words) == 1 and not encodings.why_not(words[0])


def send_input(destination: Destination, as_json: bool) -> bool:
    """Send messages as they arrive on standard input; report and skip bad ones.

    Returns whether all were good.
    """
    good, said, empty = True, False, True
    for batch in message_parser.batches(sys.stdin.buffer):
        for number, body in batch:
            empty = False
            try:
                print_left_out(destination.add(body), f"Line {number}: ")
            except Refused as error:
                good = False
                click.echo(f"Error: Line {number}: {output.escaped(str(error))}", err=True)
        ids = destination.flush()
        if ids and not said:
            said = True
            click.echo(output.escaped(destination.where()), err=True)
        print_ids(ids, as_json)
    if empty:
        raise click.UsageError("The input has no message; write one per line, as JSON.")
    return good


def print_left_out(sentences: Sequence[str], line: str = "") -> None:
    """Say what the source will leave out of a message, by ``on_bad_field`` or ``time``."""
    for sentence in sentences:
        click.echo(output.escaped(f"Warning: {line}{sentence}"), err=True)


def print_ids(ids: Sequence[str], as_json: bool) -> None:
    """Print the id of each sent message."""
    for id_ in ids:
        if as_json:
            output.print_json(strict_json.encode({"id": id_}))
        else:
            click.echo(id_)
