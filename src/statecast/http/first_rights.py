"""What to do where nothing says yet what other machines may do: sentences for who runs a server."""

from __future__ import annotations

from statecast.access import policy
from statecast.program.commands import command
from statecast.settings import Settings


def refused(settings: Settings) -> str:
    """Why a server does not begin to listen for other machines."""
    return (
        f"Other machines would reach {settings.host or 'every address'}, and nothing says yet what "
        f"they may do. {ways(settings)} Otherwise listen on 127.0.0.1."
    )


def noted(settings: Settings) -> str:
    """What a server says that other machines reach already."""
    return f"Other machines may do nothing here, for nothing says what they may. {ways(settings)}"


def ways(settings: Settings) -> str:
    """The commands that say it, complete as printed."""
    everyone = (
        "With the setting allow_public (--allow-public, STATECAST_ALLOW_PUBLIC=yes) everyone "
        f"{policy.deeds_of(settings.others_may)}."
    )
    if settings.store.startswith("memory:"):
        return f"A store in memory keeps no users and keys; name a file (--store). {everyone}"
    user = command(settings, "user", "add", "ada", "--role", "operator")
    key = command(settings, "key", "create", "pillow-1", "--send", "pillow")
    return f"`{user}` lets a person sign in. `{key}` lets a device send. {everyone}"
