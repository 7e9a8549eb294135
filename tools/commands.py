"""Running other programs, and telling people what happens."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TRIES = 3
PAUSE = 2.0
"""Seconds before the second try; the third waits twice as long."""


class Trouble(Exception):
    """Something the person at the keyboard has to mend; the message is the sentence they see."""


def say(sentence: str) -> None:
    """On standard error and at once, so that it stands in order with what the programs print."""
    print(sentence, file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
    errors_only: bool = False,
) -> bool:
    """Run a program and show its output, or only standard error; whether it succeeded."""
    shown = subprocess.DEVNULL if errors_only else None
    try:
        finished = subprocess.run(
            list(map(str, command)), env=os.environ | (variables or {}), cwd=folder, stdout=shown
        )
    except OSError as exc:
        say(f"{command[0]} could not be started: {exc}")
        return False
    return finished.returncode == 0


def quiet(command: Sequence[str | Path]) -> tuple[bool, str]:
    """For questions whose answer may be no: whether it went well, and the last line it printed."""
    try:
        finished = subprocess.run(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as exc:
        return False, str(exc)
    lines = finished.stdout.split("\n")
    return finished.returncode == 0, next(
        (line.strip() for line in reversed(lines) if line.strip()), ""
    )


def insist(
    command: Sequence[str | Path],
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> bool:
    """For what crosses a network: up to three tries, of which only the errors are shown."""
    for attempt in range(1, TRIES + 1):
        if run(command, variables, folder, errors_only=True):
            return True
        if attempt < TRIES:
            say(f"Trying again ({attempt + 1} of {TRIES}).")
            time.sleep(PAUSE * attempt)
    return False
