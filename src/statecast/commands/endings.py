"""How a command ends: its exit status, and one sentence on stderr that says what to do; never a traceback.

A defect of ours ends in one sentence too. Its traceback goes to a file that the sentence names.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from statecast.commands.terminal import escaped
from statecast.errors import BadSetting, StatecastError

REFUSED, MISUSED, INTERRUPTED = 1, 2, 130


class Ending(click.ClickException):
    """Refused, not found, unavailable: one sentence."""

    exit_code = REFUSED


class Misuse(Ending):
    """Used or configured in a wrong way."""

    exit_code = MISUSED


class Program(click.Group):
    """A group that turns whatever its commands raise into an ending."""

    def make_context(
        self, *arguments: Any, **more: Any
    ) -> click.Context:  # prints --help and --version
        with ending():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with ending():
            return super().invoke(ctx)


@contextmanager
def ending() -> Iterator[None]:
    """What click shows as one sentence, from whatever was raised."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        forget_output()  # whoever read our output has had enough
        raise click.exceptions.Exit(0) from None
    except StatecastError as error:
        kind = Misuse if isinstance(error, BadSetting) else Ending
        raise kind(escaped(str(error))) from error
    except OSError as error:
        raise Ending(escaped(system_sentence(error))) from error
    except Exception as error:
        raise Ending(escaped(defect(error))) from error


def forget_output() -> None:
    """Lest the interpreter complain at its end about what it could not write."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # not a file at all, in tests
        return
    os.close(nowhere)


def system_sentence(error: OSError) -> str:
    about = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"The system refused: {about}{error.strerror or error}."


def defect(error: Exception) -> str:
    """Keep the traceback where its reader finds it; the sentence that says so."""
    number = uuid.uuid4().hex[:8]
    text = "".join(traceback.format_exception(error))
    try:
        handle, path = tempfile.mkstemp(prefix=f"statecast-{number}-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        click.echo(escaped(text), err=True)
        return f"Statecast failed, which is a defect of its own (error {number}); please report what is above."
    return f"Statecast failed, which is a defect of its own (error {number}); please report it with the file {path}."
