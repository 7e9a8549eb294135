"""Commands for people, complete as printed: for the store and the source of these settings.

Sentences of programs name the store. Pages must not, because every viewer can read them; their
commands name the address of the server instead (``statecast send --server``). A sentence that both
may show has plain commands, and ``complete`` adds the rest for programs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from statecast import program
from statecast.names import without_password
from statecast.settings import PREFIX, Settings

_PLAIN = re.compile("`statecast ([^`]*)`")
_FILE = "sqlite:///"


def command(settings: Settings, *words: str, flags: Sequence[str] = ("store",)) -> str:
    """A command in one line, with the settings of these names where it would not find them itself.

    It is for a shell in the folder of this process. Another shell may not have the environment of
    this process, so what comes from there is named too.
    """
    given = [part for name in flags for part in flag(settings, name)]
    return " ".join([program.name(), *map(shlex.quote, [*words, *given])])


def complete(sentence: str, settings: Settings) -> str:
    """A sentence with its commands complete: "`statecast store check`" with ``--store`` added."""
    return _PLAIN.sub(lambda found: f"`{command(settings, *found[1].split())}`", sentence)


def needs_a_backup(sentences: Iterable[str]) -> bool:
    """Whether one of these sentences about a store says that only a backup helps."""
    return any("`statecast store restore" in one for one in sentences)


def settings_of(store: Path) -> Settings:
    """The settings for commands about the store in this file."""
    default = Path(Settings.store.removeprefix(_FILE))
    is_default = os.path.realpath(default) == os.path.realpath(store)
    return Settings() if is_default else Settings(store=f"{_FILE}{store}")


def flag(settings: Settings, name: str) -> list[str]:
    """The words that pass a setting on; none where the default is the same."""
    value, default = getattr(settings, name), getattr(Settings, name)
    if value == default and f"{PREFIX}{name.upper()}" not in os.environ:
        return []
    values = value if isinstance(value, tuple) else (value,)
    texts = map(without_password, map(str, values))
    return [word for one in texts for word in (f"--{name.replace('_', '-')}", one)]


def send_command(server: str, device: str, state: Mapping[str, Any]) -> str:
    """The command that sends a state through the server at this address, from any folder."""
    if device == "-" or not state or any(not name or "=" in name for name in state):
        message = json.dumps({"device": device, "state": state}, ensure_ascii=False)
        return f"{_send(server)} {shlex.quote(message)}"
    fields = [shlex.quote(f"{name}={_text(value)}") for name, value in state.items()]
    return " ".join([send_words(server, device), *fields])


def send_words(server: str, device: str) -> str:
    """The beginning of that command, to which ``key=value`` are added."""
    end = ["--"] if device.startswith("-") else []
    return " ".join([_send(server), *map(shlex.quote, [*end, device])])


def ask_command(server: str, device: str, name: str) -> str:
    """A line for a shell that asks something of a device, through the server at this address."""
    address = f"{server}/api/devices/{device}/commands"
    body = json.dumps({"name": name})
    words = ["curl", "-H", "Content-Type: application/json", "-d", body, address]
    return " ".join(map(shlex.quote, words))


def _send(server: str) -> str:
    return f"{program.name()} send --server {shlex.quote(server)}"


def _text(value: Any) -> str:
    """A value as ``statecast send`` reads it: text stays as it is unless it looks like JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)
