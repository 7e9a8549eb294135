"""Flags from the table of settings. Each command names the settings that it accepts."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from statecast.errors import BadSetting
from statecast.model import value_class
from statecast.names import has_password
from statecast.settings import PREFIX, Settings, is_secret, known, load, read_file

if TYPE_CHECKING:
    from flask import Flask

Command = Callable[..., Any]
FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
ALL_SETTINGS = tuple(name for name, line in FIELDS.items() if not is_secret(line))


@value_class
class GivenSettings:
    """The settings of the command line: values by name, and the TOML file."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    load_app: Callable[[], Flask] | None = None
    """Loads the app of ``flask --app``, if that is the program; its settings are the default."""

    def settings(self) -> Settings:
        """Flags override the environment, which overrides the file. Raises BadSetting."""
        refuse_password(str(self.flags.get("store", "")))
        if self.load_app is None:
            return load(self.flags, environ=os.environ, file=self.file)
        from statecast.flask import runtime_of

        runtime = runtime_of(self.load_app())
        if runtime.store_opened:  # by the app while it was imported; the command opens its own
            runtime.stop()
        return dataclasses.replace(runtime.settings, **self.overrides())

    def overrides(self) -> dict[str, Any]:
        """What overrides the settings of an app: flags, and values of the file.

        The environment, which the app has read, beats the file. Raises BadSetting.
        """
        refuse_password(str(self.flags.get("store", "")))
        file: Mapping[str, Any] = {}
        if self.file is not None:
            file = known(read_file(self.file), f"in {self.file}")
        values = {
            name: one for name, one in file.items() if f"{PREFIX}{name.upper()}" not in os.environ
        }
        return values | dict(self.flags)


def refuse_password(url: str) -> None:
    """Raises BadSetting for a password on the command line."""
    if has_password(url):
        raise BadSetting(
            "A password on the command line can be read by every user of this machine; leave it "
            "out of the URL and give it with PGPASSWORD or PGPASSFILE, or give the whole URL with "
            "STATECAST_STORE."
        )


def app_loader() -> Callable[[], Flask] | None:
    """Loads the app of ``flask --app`` in ``flask statecast ...``; None in ``statecast ...``."""
    flask = sys.modules.get("flask.cli")  # without it, this program is not Flask's
    context = click.get_current_context(silent=True)
    if flask is None or context is None:
        return None
    info = context.find_object(flask.ScriptInfo)
    return None if info is None else info.load_app


def setting_flags(names: Iterable[str] = ("store",)) -> Callable[[Command], Command]:
    """Add the flags of these settings and ``--config``. The command gets them as ``given``."""
    names = tuple(names)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_given(config: Path | None, **arguments: Any) -> Any:
            flags = {name: setting_value(arguments.pop(name)) for name in names}
            return command(
                given=GivenSettings(
                    {name: one for name, one in flags.items() if one is not None},
                    config,
                    app_loader(),
                ),
                **arguments,
            )

        decorated: Command = with_given
        for name in reversed(names):
            decorated = flag(FIELDS[name])(decorated)
        return config_option(decorated)

    return decorate


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="STATECAST_CONFIG",
    metavar="FILE",
    help="A TOML file with settings.",
)


def flag(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    """The flag of one setting. Its value is checked later, like values from other places."""
    name = field.name.replace("_", "-")
    sentence = f"{field.metadata['sentence']}{default_text(field)}"
    if isinstance(field.default, bool):
        return click.option(f"--{name}/--no-{name}", field.name, default=None, help=sentence)
    is_table = field.default is dataclasses.MISSING
    several = field.name != "rights" and (isinstance(field.default, tuple) or is_table)
    return click.option(
        f"--{name}",
        field.name,
        multiple=several,
        metavar=metavar(field),
        help=f"{sentence} May be given several times." if several else sentence,
    )


def metavar(field: dataclasses.Field[Any]) -> str:
    """The placeholder of the flag's value in --help."""
    if field.name == "rights":
        return "JSON"
    if field.default is dataclasses.MISSING:
        values = {"device_commands": "NAMES", "command_queues": "URL"}
        return f"PATTERN={values.get(field.name, 'SECONDS')}"
    if isinstance(field.default, (int, float)):
        return "NUMBER"
    values = {"store": "URL", "source": "URL", "tls_cert": "FILE", "tls_key": "FILE"}
    return values.get(field.name, "TEXT")


def default_text(field: dataclasses.Field[Any]) -> str:
    """The default in brackets, for --help; empty where it says nothing."""
    if field.default is dataclasses.MISSING or field.default in ((), "", False):
        return ""
    shown = ",".join(field.default) if isinstance(field.default, tuple) else f"{field.default}"
    return f" [{shown}]"


def setting_value(given: Any) -> Any:
    """The value of a flag as the table of settings reads it; None if it was not given."""
    if isinstance(given, tuple):
        return ",".join(given) if given else None
    return given
