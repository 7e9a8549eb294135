"""The plain message: ``{"device": "pillow", "state": {"mood": "happy"}}``, or an array of several.

Rule 1: nothing is guessed and nothing is ignored in silence. An unknown member is a refusal: a misspelt ``time``
would else be a wrong state that nobody notices.
Rule 2: items of an array stand alone, each with its own limits.
Rule 3: a member that may be left out may also be ``null``; many programs write it so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from statecast import names, strict_json, timestamps
from statecast.errors import Malformed, Refused, TooLarge
from statecast.model import Change, Delivery, Kind, Message, Refusal, Speaker

MOST_BYTES = 65_536
"""Of one message, or of one item of an array."""
MOST_ARRAY_BYTES = 1_048_576
MOST_ITEMS = 1_000
MOST_ID = 256
MOST_SILENCE = 1e9

IGNORED = "$AzureWebJobsParentId"
"""Azure's functions add it to whatever they put into a queue."""
MEMBERS = ("device", "state", "time", "id", "sequence", "silent_after", "by", "replace", "delete")
KNOWN = frozenset(MEMBERS)
_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


class PlainDecoder:
    """Reads plain messages. With a default device, ``{"mood": "happy"}`` alone is one: the device's state.

    A message with a ``device``, or whose ``state`` is an object, is always read as a whole message.
    """

    def __init__(self, default_device: str | None = None) -> None:
        self.default_device = None if default_device is None else names.check(default_device)

    def __call__(self, delivery: Delivery) -> Message:
        return read_all(delivery, delivery.body, lambda body: (self.read(body),))

    def read(self, body: bytes) -> Change:
        """One message. Raises Refused with a sentence."""
        if len(body) > MOST_BYTES:
            raise TooLarge(f"It has {len(body)} bytes; a message has at most {MOST_BYTES}.")
        payload = strict_json.decode(body)
        if type(payload) is not dict:
            raise Malformed(
                f'A message is a JSON object, like {{"device": "pillow", "state": {{}}}}; this is {kind(payload)}.'
            )
        payload.pop(IGNORED, None)
        default = self.default_device
        if default is not None and "device" not in payload:
            if type(payload.get("state")) is not dict:
                return Change(default, "merge", payload)
            payload["device"] = default
        return change(payload)


def read_all(
    delivery: Delivery, text: bytes, read: Callable[[bytes], tuple[Change, ...]]
) -> Message:
    """The message in ``text``, or all items of the array there, by a function that reads one and may raise Refused."""
    body = delivery.body
    try:
        if text.lstrip(b" \t\r\n")[:1] == b"[":
            return read_items(delivery, split(text), read)
        changes = read(text)
    except Refused as error:
        return Message(delivery, refusals=(Refusal(str(error), body),))
    return Message(delivery, changes, ((None, body),) * len(changes))


def read_items(
    delivery: Delivery, items: list[str], read: Callable[[bytes], tuple[Change, ...]]
) -> Message:
    changes: list[Change] = []
    raw: list[tuple[int | None, bytes]] = []
    refusals: list[Refusal] = []
    for index, item in enumerate(items):
        body = item.encode(errors="surrogatepass")
        try:
            found = read(body)
        except Refused as error:
            refusals.append(Refusal(str(error), body, index))
        else:
            changes += found
            raw += [(index, body)] * len(found)
    return Message(delivery, tuple(changes), tuple(raw), tuple(refusals))


def split(body: bytes) -> list[str]:
    """The items of an array, as they were written. Raises Refused."""
    if len(body) > MOST_ARRAY_BYTES:
        raise TooLarge(
            f"It has {len(body)} bytes; an array of messages has at most {MOST_ARRAY_BYTES}."
        )
    try:
        items = strict_json.split_array(body.decode())
    except UnicodeDecodeError as error:
        raise Malformed(f"It is not text in UTF-8 (byte {error.start + 1} is wrong).") from None
    if not items:
        raise Malformed("The array holds no message.")
    if len(items) > MOST_ITEMS:
        raise TooLarge(f"The array holds {len(items)} messages; at most {MOST_ITEMS} are allowed.")
    return items


def change(payload: dict[str, Any]) -> Change:
    """A message's members as a change. Raises Refused."""
    if not payload.keys() <= KNOWN:
        unknown = next(name for name in payload if name not in KNOWN)
        raise Malformed(
            f"{names.quoted(unknown)} is not a member of a message; these are: {', '.join(MEMBERS)}."
        )
    if "device" not in payload:
        raise Malformed("It names no device.")
    device = names.check(payload["device"])
    if len(payload) == 2 and type(payload.get("state")) is dict:  # most messages
        return Change(device, "merge", payload["state"])
    what = kind_of(payload)
    return Change(
        device,
        what,
        state(payload, what),
        time(payload.get("time")),
        sequence(payload.get("sequence")),
        event_id(payload.get("id")),
        silent_after(payload.get("silent_after")),
        speaker(payload.get("by")),
    )


def kind_of(payload: dict[str, Any]) -> Kind:
    replace, delete = (flag(name, payload.get(name)) for name in ("replace", "delete"))
    if replace and delete:
        raise Malformed("It asks for replace and delete at once.")
    return "replace" if replace else "delete" if delete else "merge"


def flag(name: str, value: Any) -> bool:
    if value is None or type(value) is bool:
        return value is True
    raise Malformed(f"“{name}” must be true or false; it is {kind(value)}.")


def state(payload: dict[str, Any], what: Kind) -> dict[str, Any]:
    value = payload.get("state")
    if what == "delete":
        if value:
            raise Malformed("A message that deletes a device brings no state.")
        return {}
    if "state" not in payload:
        raise Malformed("It brings no state.")
    if type(value) is not dict:
        raise Malformed(
            f'“state” must be a JSON object, like {{"mood": "happy"}}; it is {kind(value)}.'
        )
    return value


def time(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not str:
        raise Malformed(f"“time” must be text, like 2026-01-31T12:00:00Z; it is {kind(value)}.")
    return timestamps.parse_time(value)


def sequence(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise Malformed("“sequence” must be a whole number, 0 or above.")
    return value


def event_id(value: Any) -> str | None:
    if value is None:
        return None
    if type(value) is not str or not 0 < len(value) <= MOST_ID:
        raise Malformed(f"“id” must be a text of 1 to {MOST_ID} characters.")
    return value


def silent_after(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= MOST_SILENCE or math.isnan(value):
        raise Malformed(
            f"“silent_after” must be a number of seconds above 0, at most {MOST_SILENCE:.0f}."
        )
    return float(value)


def speaker(value: Any) -> Speaker:
    if value is None:
        return "device"
    if value == "device" or value == "user":
        return value  # type: ignore[no-any-return]
    raise Malformed("“by” must be “device” or “user”.")


def kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
