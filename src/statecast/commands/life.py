"""The life of a command. Pure: values in, values out.

Rule 1: a wish is not a fact. Only the device's own answer makes a command ``done``.
Rule 2: what was never handed out is certainly without effect; of what was handed out, only the
device knows.
Rule 3: a store says each change of a command once: ``change`` rises with it.

==============  ==============  =======  =========  ============
what it is      is handed out   done     refused    deadline
==============  ==============  =======  =========  ============
``waiting``     delivered       done     refused    expired
the same, put?  delivered       done     refused    unanswered
``delivered``   (again)         done     refused    unanswered
``unanswered``  no              done     refused    -
an end          no              no       no         -
==============  ==============  =======  =========  ============

"put?": the command may be in its device's queue, see ``attempted_at``: a process ended while it put
the command there, or the queue did not say what became of it.

``done``, ``refused`` and ``expired`` are ends: nothing leaves them. A late answer turns
``unanswered`` into ``done`` or ``refused``, once. A ``waiting`` command can be answered where the
store is a restored backup, which does not know that it was handed out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from statecast import strict_json, timestamps
from statecast.model import Answer, value_class

Status = Literal["waiting", "delivered", "done", "refused", "expired", "unanswered"]

OPEN: frozenset[Status] = frozenset({"waiting", "delivered"})
"""Not at an end, and not past the deadline."""
ANSWERABLE: frozenset[Status] = OPEN | {"unanswered"}
NO_COMMANDS = strict_json.encode({"commands": []})
"""What a device gets that asks while nothing is asked of it."""


@value_class
class NewCommand:
    """What somebody asks of a device; valid, see ``request.new_command``."""

    id: str
    device: str
    name: str
    arguments: bytes = b"{}"
    """A JSON object, encoded once."""
    expires: int = 60_000
    """ms until its deadline."""
    by: str | None = None
    """The person who asks, where the application names one."""
    key: str | None = None
    """The sender's own id of the request: a repeated request with it is the same command."""
    asker: str | None = None
    """Who counts as asking, for the share of each: a user, a key, an address. None: not counted."""

    def is_repeated_by(self, known: Command) -> bool:
        """Whether a command with the same key asks for the same, for the same person.

        A request that is repeated after a cut may have less time left than it had at first.
        """
        is_same = (self.device, self.name, self.arguments, self.by) == (
            known.device,
            known.name,
            known.arguments,
            known.by,
        )
        return is_same and self.expires <= known.expires_at - known.created_at


@value_class
class Command:
    """What is asked of one device, and what became of it. Times are in ms."""

    number: int
    """Rising per store, in the order in which commands were given: a device's place."""
    change: int
    """Rising per store with each change of any command: a reader's place."""
    id: str
    device: str
    name: str
    arguments: bytes
    by: str | None
    key: str | None
    status: Status
    created_at: int
    expires_at: int
    delivered_at: int | None = None
    """When it was handed out first."""
    ended_at: int | None = None
    """When it came to its end, or its deadline passed."""
    reason: str | None = None
    """The device's sentence about its answer."""
    attempted_at: int | None = None
    """When its way into the device's queue began, and it is not known whether it arrived. While it
    waits without that, it is certainly nowhere else."""
    asker: str | None = None
    """See ``NewCommand``; only while the command is open. No reader learns it."""

    @classmethod
    def begin(cls, new: NewCommand, number: int, now: int) -> Command:
        """A command that begins to wait."""
        return cls(
            number,
            number,
            new.id,
            new.device,
            new.name,
            new.arguments,
            new.by,
            new.key,
            "waiting",
            now,
            now + new.expires,
            asker=new.asker,
        )

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def is_overdue(self, now: int) -> bool:
        """Whether its deadline has passed and nothing says so yet."""
        return self.is_open and now >= self.expires_at

    def seconds_left(self, now: int) -> float:
        """Seconds until its deadline; never more than it had at its beginning."""
        left = min(self.expires_at - now, self.expires_at - self.created_at)
        return max(left, 0) / 1000


def hand_out(command: Command, change: int, now: int) -> Command:
    """The command after it was handed out; one that was handed out before stays as it is."""
    if command.status != "waiting":
        return command
    return replace(command, change=change, status="delivered", delivered_at=now)


def begin_dispatch(command: Command, now: int) -> Command:
    """The command before it is put into its device's queue. No reader is told of it."""
    return command if command.attempted_at is not None else replace(command, attempted_at=now)


def cancel_dispatch(command: Command) -> Command:
    """The command after its first attempt certainly failed."""
    return replace(command, attempted_at=None) if command.status == "waiting" else command


def pass_deadline(command: Command, change: int, now: int) -> Command:
    """The command after its deadline; an end stays as it is."""
    if not command.is_open:
        return command
    certain = command.status == "waiting" and command.attempted_at is None
    status: Status = "expired" if certain else "unanswered"
    return replace(command, change=change, status=status, ended_at=now, asker=None)


def answer(command: Command, said: Answer, change: int, now: int) -> Command:
    """The command after its device's answer; an end stays as it is."""
    if command.status not in ANSWERABLE:
        return command
    end = replace(command, change=change, status=said.outcome, ended_at=now, reason=said.reason)
    return replace(end, asker=None)


def to_device(command: Command, now: int) -> dict[str, Any]:
    """A command as its device gets it. ``seconds_left`` helps a device without a right clock."""
    return {
        "id": command.id,
        "device": command.device,
        "name": command.name,
        "arguments": strict_json.decode(command.arguments),
        "expires_at": timestamps.iso(command.expires_at),
        "seconds_left": command.seconds_left(now),
    }


def to_reader(command: Command) -> dict[str, Any]:
    """A command as pages, REST and programs show it."""
    shown = {
        "id": command.id,
        "device": command.device,
        "name": command.name,
        "arguments": strict_json.decode(command.arguments),
        "by": command.by,
        "status": command.status,
        "reason": command.reason,
        "change": command.change,
    }
    times = {
        "created_at": command.created_at,
        "expires_at": command.expires_at,
        "delivered_at": command.delivered_at,
        "ended_at": command.ended_at,
    }
    return shown | {name: None if at is None else timestamps.iso(at) for name, at in times.items()}
