"""How a command ends: an exit status, and one sentence on stderr that says what to do.

No command prints a traceback. The traceback of a defect of Statecast goes to a file that the
sentence names.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from statecast import program
from statecast.cli.output import escaped
from statecast.errors import BadSetting, StatecastError
from statecast.program import output

REFUSED, MISUSED, INTERRUPTED = 1, 2, 130
COMPLETE = "_STATECAST_COMPLETE"
"""Set by a shell that asks for completions; see docs/how-to/command-line.md."""


class CommandError(click.ClickException):
    """Something was refused, not found or unavailable."""

    exit_code = REFUSED


class MisuseError(CommandError):
    """Wrong usage or configuration."""

    exit_code = MISUSED


class CommandGroup(click.Group):
    """A group that turns every exception of its commands into an exit status and a sentence."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run a command and end the process, after all output is written."""
        if COMPLETE in os.environ:
            return finish(complete(super().main))
        if more.get("prog_name") is None:
            more["prog_name"] = program.name()
        command: Callable[..., Any] = functools.partial(super().main, standalone_mode=False)
        if not standalone_mode:
            return command(*arguments, **more)
        output.open_closed_streams()
        return finish(status_of(lambda: command(*arguments, **more)))

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """Parse the arguments. ``--help`` and ``--version`` print in here."""
        with as_one_sentence():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with as_one_sentence():
            return super().invoke(ctx)


def complete(main: Callable[..., Any]) -> Any:
    """Answer a shell. Whatever fails is not shown: it would stand in what the user types."""
    try:
        # The shell's function has the plain name, however the program is called.
        return main(prog_name=program.SCRIPT, complete_var=COMPLETE)
    except SystemExit as end:
        return end.code
    except Exception:
        return REFUSED


def status_of(command: Callable[[], Any]) -> Any:
    """Run a command, print the sentence of its error, and return its exit status."""
    try:
        return command()
    except SystemExit as end:
        return end.code
    except click.Abort:
        click.echo("Aborted!", err=True)
        return REFUSED
    except click.ClickException as error:
        with suppress(OSError):  # stderr cannot be written either; the status remains
            error.show()
        return error.exit_code


@contextmanager
def as_one_sentence() -> Iterator[None]:
    """Turn every exception into one that click shows as one sentence."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader closed the pipe, like `head`
        raise click.exceptions.Exit(0) from None
    except StatecastError as error:
        kind = MisuseError if isinstance(error, BadSetting) else CommandError
        raise kind(escaped(str(error))) from error
    except OSError as error:
        raise CommandError(escaped(system_sentence(error))) from error
    except Exception as error:
        raise CommandError(escaped(defect(error))) from error


def finish(status: Any) -> NoReturn:
    """End the process with ``status``, or with 1 and a sentence if output cannot be written."""
    try:
        output.flush(sys.stdout)
    except BrokenPipeError:
        pass
    except OSError as error:
        if not status:
            status = REFUSED
            with suppress(OSError):
                click.echo(f"Error: {escaped(system_sentence(error))}", err=True)
    with suppress(OSError):
        output.flush(sys.stderr)
    sys.exit(status)


def system_sentence(error: OSError) -> str:
    """The sentence for an error of the operating system."""
    about = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"The system refused: {about}{error.strerror or error}."


def defect(error: Exception) -> str:
    """Write the traceback of a defect to a file; return the sentence that names the file."""
    number = uuid.uuid4().hex[:8]
    text = "".join(traceback.format_exception(error))
    try:
        handle, path = tempfile.mkstemp(prefix=f"statecast-{number}-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        click.echo(escaped(text), err=True)
        return (
            f"Statecast failed, which is a defect of its own (error {number}); "
            "please report what is above."
        )
    return (
        f"Statecast failed, which is a defect of its own (error {number}); "
        f"please report it with the file {path}."
    )
