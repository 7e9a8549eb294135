"""The errors that every store raises with the same sentence."""

from __future__ import annotations

from collections.abc import Collection

from statecast import names
from statecast.commands.life import Command, NewCommand
from statecast.errors import (
    LeaseLost,
    NotFound,
    NotTaken,
    QueueFull,
    Refused,
    TooManyCommands,
)
from statecast.stores.limits import Limits


def lease_lost(source: str) -> LeaseLost:
    """A commit came with a term that is not the newest of its source."""
    return LeaseLost(
        f"Another process has taken over the source {source!r}; this one stopped writing."
    )


def no_quarantine_row(number: int) -> NotFound:
    return NotFound(f"There is no message {number} in quarantine.")


def check_queue_bounds(name: str, limits: Limits, messages: int, size: int) -> None:
    """Raises QueueFull if the queue would exceed its bounds. ``size`` is in bytes."""
    if messages > limits.queue_messages:
        bound = f"{limits.queue_messages} messages (setting queue_messages)"
    elif size > limits.queue_bytes:
        bound = f"{limits.queue_bytes} bytes (setting queue_bytes)"
    else:
        return
    raise QueueFull(f"The queue {name!r} is full: it may hold {bound}. Is a server consuming it?")


def check_open_commands(limits: Limits, device: str, of_device: int, of_all: int) -> None:
    """Raises TooManyCommands if no further command may be open. The numbers are without it."""
    if of_device >= limits.max_open_commands:
        raise TooManyCommands(
            f"{names.quoted(device)} has {of_device} open commands already (setting "
            "max_open_commands); wait until it answers, or until they expire."
        )
    if of_all >= limits.max_open_commands_in_all:
        raise TooManyCommands(
            f"All devices together have {of_all} open commands already (setting "
            "max_open_commands_in_all); wait until they answer, or until the commands expire."
        )


def check_share(limits: Limits, device: str, own_of_device: int, own_of_all: int) -> None:
    """Raises TooManyCommands if an asker has half of what may be open, in numbers rounded up.

    Otherwise one client could fill a device's commands so that those of others are refused.
    """
    if 2 * own_of_device >= limits.max_open_commands > 1:
        raise TooManyCommands(
            f"{own_of_device} open commands of {names.quoted(device)} are yours already, which is "
            "half of what it may have (setting max_open_commands), and the rest is for others; "
            "wait until it answers, or until they expire."
        )
    if 2 * own_of_all >= limits.max_open_commands_in_all > 1:
        raise TooManyCommands(
            f"{own_of_all} open commands are yours already, which is half of what all devices "
            "may have (setting max_open_commands_in_all), and the rest is for others; wait until "
            "the devices answer, or until the commands expire."
        )


def check_taken(new: NewCommand, takes: Collection[str] | None) -> None:
    """Raises NotTaken for a command that the device is known not to take. None: it takes all."""
    if takes is None or new.name in takes:
        return
    device = names.quoted(new.device)
    if not takes:
        raise NotTaken(f"{device} takes no commands.")
    known = ", ".join(names.quoted(name) for name in takes)
    raise NotTaken(f"{device} does not take {names.quoted(new.name)}; it takes {known}.")


def same_request(known: Command, new: NewCommand) -> Command:
    """The known command, if the new one repeats its request. Raises Refused."""
    if new.is_repeated_by(known):
        return known
    raise Refused(
        "This Idempotency-Key belongs to another command; a new command needs a key of its own."
    )


def not_its_command(device: str, command: str) -> Refused:
    return Refused(
        f"It answers the command {names.quoted(command)}, which {names.quoted(device)} was not "
        "given; what it says of the device's state was applied."
    )


def no_command(id_: str) -> NotFound:
    return NotFound(f"There is no command {names.quoted(id_)}; old ones are forgotten.")


def reserved_name(device: str) -> Refused:
    endings = ", ".join(names.RESERVED_ENDINGS)
    return Refused(
        f"{names.quoted(device)} cannot be the name of a new device: names that end in {endings} "
        "are addresses of REST; give it another name."
    )


def no_device(device: str) -> NotFound:
    return NotFound(f"No device called {names.quoted(device)} has sent anything.")
