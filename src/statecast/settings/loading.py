"""Settings from flags, the environment, Flask's keys and a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from statecast.errors import BadSetting
from statecast.settings.table import Settings, names

PREFIX = "STATECAST_"
SETTINGS_FILE = "STATECAST_CONFIG"
"""The one variable with our prefix that is no setting: the path of the settings file."""


def load(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
    flask: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from all sources. Raises BadSetting.

    Flags win over the environment, the environment over Flask's keys, those over the TOML file.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= known(read_file(file), f"in {file}")
    if flask is not None:
        values |= known(prefixed(flask), "in the Flask configuration")
    if environ is not None:
        values |= known(
            prefixed({name: environ[name] for name in environ if name != SETTINGS_FILE}),
            "in the environment",
        )
    values |= known(
        {name: value for name, value in (flags or {}).items() if value is not None}, "given"
    )
    return Settings(**values)


def prefixed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in values.items()
        if name.startswith(PREFIX)
    }


def known(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for name in values:
        if name not in names():
            raise BadSetting(
                f"There is no setting {name!r} ({where}). "
                f"The settings are: {', '.join(sorted(names()))}."
            )
    return values


def read_file(file: Path) -> dict[str, Any]:
    import tomllib  # here: most settings come without a file

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadSetting(f"The settings file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"The settings file {file} is not TOML: {error}.") from error
