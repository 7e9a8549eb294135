"""The commands of a group, imported when they are used: a server needs none but its own."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class CommandTable(UserDict[str, click.Command]):
    """Commands by their names. ``values`` imports all of them."""

    data: dict[str, Any]
    """Where a command is, as ``module:name``; the command itself once it was used."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        super().__init__()
        self.data.update(homes)

    def __getitem__(self, name: str) -> click.Command:
        found = self.data[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self.data[name] = getattr(import_module(module), attribute)
        command: click.Command = found
        return command
