"""The plain message, ``{"device": "pillow", "state": {"mood": "happy"}}``.

Rule 1: nothing is guessed or silently ignored. An unknown member is refused: a misspelt ``time``
would otherwise cause a wrong state without any notice.
Rule 2: an optional member may also be ``null``, because many programs write it so.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from statecast import names
from statecast.decoders import encodings
from statecast.errors import Malformed
from statecast.model import Answer, Change, Kind, Speaker

MAX_BYTES = 65_536
"""Of one message, or of one item of an array, before it is decoded."""
NAMES_KEPT = 4_096
"""Names of devices that need not be checked again."""
MAX_ID = 256
"""Characters of an id."""
MAX_REASON = 1_000
"""Characters of a device's sentence about its answer."""
MAX_SILENCE = 1e9
"""Seconds."""

IGNORED = "$AzureWebJobsParentId"
"""Azure Functions add this member to every message that they send to a queue."""
MEMBERS = (
    *("device", "state", "time", "id", "sequence", "silent_after", "by", "replace", "delete"),
    *("commands", "command", "outcome", "reason"),
)
KNOWN = frozenset(MEMBERS)
STATE_MEMBERS = KNOWN - {"commands", "command", "outcome", "reason"}
"""Those of a message that has nothing to do with commands."""
NO_MEMBERS: frozenset[str] = frozenset()
_checked_name = lru_cache(NAMES_KEPT)(names.check)
"""Most messages are of devices that sent one before."""
_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


def change(payload: dict[str, Any]) -> Change:
    """The change that a message describes, without its time, which the options of its source read.

    Raises Refused.
    """
    if not payload.keys() <= KNOWN:
        unknown = next(name for name in payload if name not in KNOWN)
        raise Malformed(
            f"{names.quoted(unknown)} is not a member of a message; "
            f"these are: {', '.join(MEMBERS)}."
        )
    if "device" not in payload:
        raise Malformed("It names no device.")
    device = names.check(payload["device"])
    if is_bare(payload):
        return Change(device, "merge", payload["state"])
    what = kind_of(payload)
    return Change(
        device,
        what,
        state(payload, what),
        None,
        sequence(payload.get("sequence")),
        event_id(payload.get("id")),
        silent_after(payload.get("silent_after")),
        speaker(payload.get("by")),
        answer=answer(payload),
        commands=commands(payload.get("commands"), what),
    )


def is_bare(payload: dict[str, Any]) -> bool:
    """Whether a message has a device, a state and nothing else: no other schema and no default
    concerns it."""
    return (
        len(payload) == 2
        and type(payload.get("device")) is str
        and type(payload.get("state")) is dict
    )


def read_bare(payload: dict[str, Any]) -> tuple[Change, ...]:
    """The change of such a message. Raises Malformed."""
    return (Change(_checked_name(payload["device"]), "merge", payload["state"]),)


def kind_of(payload: dict[str, Any]) -> Kind:
    """Whether a message merges, replaces or deletes. Raises Malformed."""
    replace, delete = (flag(name, payload.get(name)) for name in ("replace", "delete"))
    if replace and delete:
        raise Malformed("It asks for replace and delete at once.")
    return "replace" if replace else "delete" if delete else "merge"


def flag(name: str, value: Any) -> bool:
    if value is None or type(value) is bool:
        return value is True
    raise Malformed(f"“{name}” must be true or false; it is {kind(value)}.")


def state(payload: dict[str, Any], what: Kind) -> dict[str, Any]:
    value = encodings.inner(payload.get("state"))
    if what == "delete":
        if value:
            raise Malformed("A message that deletes a device brings no state.")
        return {}
    if "state" not in payload:
        if any(payload.get(name) is not None for name in ("command", "commands")):
            return {}  # an answer may come alone, and so may what a device takes
        raise Malformed("It brings no state.")
    if type(value) is not dict:
        raise Malformed(
            f'“state” must be a JSON object, like {{"mood": "happy"}}; it is {kind(value)}.'
        )
    return value


def sequence(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise Malformed("“sequence” must be a whole number, 0 or above.")
    return value


def event_id(value: Any) -> str | None:
    if value is None:
        return None
    if type(value) is not str or not 0 < len(value) <= MAX_ID:
        raise Malformed(f"“id” must be a text of 1 to {MAX_ID} characters.")
    return value


def silent_after(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= MAX_SILENCE or math.isnan(value):
        raise Malformed(
            f"“silent_after” must be a number of seconds above 0, at most {MAX_SILENCE:.0f}."
        )
    return float(value)


def speaker(value: Any) -> Speaker:
    if value is None:
        return "device"
    if value == "device" or value == "user":
        return value  # type: ignore[no-any-return]
    raise Malformed("“by” must be “device” or “user”.")


def answer(payload: dict[str, Any]) -> Answer | None:
    """What the device says of a command that it was given. Raises Malformed."""
    command, outcome, reason = map(payload.get, ("command", "outcome", "reason"))
    if command is None and outcome is None and reason is None:
        return None
    if type(command) is not str or not 0 < len(command) <= MAX_ID:
        raise Malformed(
            f"“command” must be the id of a command, a text of 1 to {MAX_ID} characters."
        )
    if outcome != "done" and outcome != "refused":
        raise Malformed(
            "“outcome” must be “done” or “refused”: it says what became of the command."
        )
    if reason is not None and (type(reason) is not str or len(reason) > MAX_REASON):
        raise Malformed(f"“reason” must be a text of at most {MAX_REASON} characters.")
    return Answer(command, outcome, reason or None)


def commands(value: Any, what: Kind) -> tuple[str, ...] | None:
    """The names of the commands that a device takes; None if it does not say. Raises Malformed."""
    if value is None:
        return None
    if what == "delete":
        raise Malformed("A message that deletes a device does not say which commands it takes.")
    if not is_list_of_texts(value):
        raise Malformed(
            "“commands” must be the names of the commands that the device takes, like "
            f'["hug", "open"]; it is {kind(value)}.'
        )
    return names.check_commands(value)


def is_list_of_texts(value: Any) -> bool:
    return type(value) is list and all(type(name) is str for name in value)


def command_members(payload: dict[str, Any]) -> frozenset[str]:
    """The members about commands, if they are ours. Other programs have such members too."""
    if "command" not in payload and "commands" not in payload:
        return NO_MEMBERS
    found: set[str] = set()
    if type(payload.get("command")) is str and payload.get("outcome") in ("done", "refused"):
        found |= {"command", "outcome", "reason"}
    if is_list_of_texts(payload.get("commands")):
        found.add("commands")
    return frozenset(found)


def kind(value: Any) -> str:
    """The JSON type of a value, for a sentence: "an object", "a number"."""
    return _KINDS.get(type(value), "a number")
