"""Flags from the one table of settings: the commands name which of them they take."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from statecast.settings import Settings, load

Command = Callable[..., Any]
LINES = {line.name: line for line in dataclasses.fields(Settings)}
EVERY = tuple(LINES)


@dataclass(frozen=True)
class GivenSettings:
    """What the command line said: values by setting, and the TOML file."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def settings(self) -> Settings:
        """Flags win over the environment, that over the file. Raises BadSetting."""
        return load(self.flags, environ=os.environ, file=self.file)


def takes(names: Iterable[str] = ("store",)) -> Callable[[Command], Command]:
    """Give a command the flags of these settings and ``--config``; it gets them as ``given``."""
    names = tuple(names)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_given(config: Path | None, **arguments: Any) -> Any:
            flags = {name: value(arguments.pop(name)) for name in names}
            return command(
                given=GivenSettings(
                    {name: one for name, one in flags.items() if one is not None}, config
                ),
                **arguments,
            )

        decorated: Command = with_given
        for name in reversed(names):
            decorated = flag(LINES[name])(decorated)
        return config_option(decorated)

    return decorate


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="STATECAST_CONFIG",
    metavar="FILE",
    help="A TOML file with settings.",
)


def flag(line: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    """The flag of one line of the table. Its value is checked by the table, like values from everywhere else."""
    name = line.name.replace("_", "-")
    sentence = f"{line.metadata['sentence']}{default_text(line)}"
    if isinstance(line.default, bool):
        return click.option(f"--{name}/--no-{name}", line.name, default=None, help=sentence)
    several = isinstance(line.default, tuple) or line.default is dataclasses.MISSING
    return click.option(
        f"--{name}",
        line.name,
        multiple=several,
        metavar=metavar(line),
        help=f"{sentence} May be given several times." if several else sentence,
    )


def metavar(line: dataclasses.Field[Any]) -> str:
    if line.default is dataclasses.MISSING:
        return "PATTERN=SECONDS"
    if isinstance(line.default, (int, float)):
        return "NUMBER"
    return "URL" if line.name in ("store", "source") else "TEXT"


def default_text(line: dataclasses.Field[Any]) -> str:
    if line.default is dataclasses.MISSING or line.default in ((), "", False):
        return ""
    shown = ",".join(line.default) if isinstance(line.default, tuple) else f"{line.default}"
    return f" [{shown}]"


def value(given: Any) -> Any:
    """What click hands over, as the table reads it; None where the flag was not given."""
    return (",".join(given) or None) if isinstance(given, tuple) else given
