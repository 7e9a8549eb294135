"""The decoder of a source: recognises what a message is by its members, and reads it.

=================  =========================================================  ================
a message is       if it has                                                  it is read by
=================  =========================================================  ================
a CloudEvent       ``specversion``, ``id``, ``source`` and ``type``           ``cloud_events``
of Event Grid      ``id``, ``eventType``, ``eventTime`` and ``subject``       ``event_grid``
a twin's change    ``deviceId`` and ``opType``, or ``version`` and no         ``iot_hub``
                   members that a twin's change does not have
of your own        (for sources with ``device=`` or ``state=``) a member      the pointers
                   that a plain message does not have, or no ``device`` as
                   text
a state            (for sources with ``default=``) no ``device`` that may be  all of it is the
                   a name, and no object as ``state``                         state
plain              anything else                                              ``plain``
=================  =========================================================  ================

The first line that matches counts. Nothing is tried until something fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from statecast import strict_json
from statecast.decoders import (
    batches,
    cloud_events,
    encodings,
    event_grid,
    iot_hub,
    items,
    plain,
)
from statecast.decoders.addressee import guess
from statecast.decoders.options import NAMELESS, DecodeOptions
from statecast.decoders.pointers import MISSING, Pointer
from statecast.errors import Malformed, Refused, TooLarge
from statecast.model import Change, Delivery, Message, Refusal

Payload = dict[str, Any]
Changes = tuple[Change, ...]


class Schema(NamedTuple):
    """One of the schemas that are recognised by their members."""

    recognise: Callable[[Payload], bool]
    opened: Callable[[Payload, encodings.Decode], tuple[Payload, Pointer | None]]
    """The message with its data decoded, and where an array of readings may be in it."""
    read: Callable[[Payload, DecodeOptions], Changes]


EVENTS = (
    Schema(cloud_events.is_cloud_event, cloud_events.opened, cloud_events.read),
    Schema(event_grid.is_grid_event, event_grid.opened, event_grid.read),
    Schema(iot_hub.is_twin, lambda payload, decode: (payload, None), iot_hub.read_twin),
)


class Part(NamedTuple):
    """A message, an item, or an item of a batch, with what it says."""

    changes: Changes
    body: bytes
    """Goes to quarantine if apply refuses it."""
    item: int | None


class Decoder:
    """Reads one message, or all items of an array or of JSON lines, each on its own.

    ``foreign`` is for queues that other programs write to: members that a plain message does not
    have are ignored.
    """

    def __init__(self, options: DecodeOptions | None = None, *, foreign: bool = False) -> None:
        self.options = options or DecodeOptions()
        self.foreign = foreign
        self._has_no_options = self.options == DecodeOptions()

    def __call__(self, delivery: Delivery) -> Message:
        message = self._message(delivery)
        return self._with_devices(message) if message.refusals else message

    def _message(self, delivery: Delivery) -> Message:
        try:
            text = encodings.unwrap(delivery.body)
            found = items.split(text)
        except Refused as error:
            return Message(delivery, refusals=(Refusal(str(error), delivery.body),))
        if found is None:
            return message_of(delivery, self._parts(text, delivery.body, None, delivery.sent_at))
        parts: list[Part | Refusal] = []
        for index, item in enumerate(found):
            parts += self._parts(item, item, index, delivery.sent_at)
        return message_of(delivery, parts)

    def _with_devices(self, message: Message) -> Message:
        """The message, with the devices that its refused parts may be about."""
        refusals = tuple(
            replace(refusal, device=guess(_text(refusal), self.options))
            for refusal in message.refusals
        )
        return replace(message, refusals=refusals)

    def read(self, text: bytes) -> tuple[Change, ...]:
        """The changes of one unwrapped message, in most cases one. Raises Refused."""
        events, read, _ = self._events(text)
        checked = self.options.check_devices
        return tuple(change for event in events for change in checked(read(event)))

    def _parts(
        self, text: bytes, body: bytes, item: int | None, sent_at: int
    ) -> list[Part | Refusal]:
        """What one message says, or each item of the batch in it; refused parts with a reason."""
        checked = self.options.check_devices
        try:
            events, read, dropped = self._events(text, sent_at)
            if len(events) == 1:
                return [Part(without(dropped, checked(read(events[0]))), body, item)]
        except Refused as error:
            return [Refusal(str(error), body, item)]
        parts: list[Part | Refusal] = []
        for number, event in enumerate(events):
            body, at = strict_json.encode(event), number if item is None else item
            try:
                parts.append(Part(without(dropped, checked(read(event))), body, at))
            except Refused as error:
                parts.append(Refusal(str(error), body, at))
        return parts

    def _events(
        self, text: bytes, sent_at: int | None = None
    ) -> tuple[list[Payload], Callable[[Payload], Changes], list[str]]:
        """The message, or one event for each item of a batch in it; how to read one; and what was
        dropped."""
        if len(text) > plain.MAX_BYTES:
            raise TooLarge(f"It has {len(text)} bytes; a message has at most {plain.MAX_BYTES}.")
        dropped: list[str] = []
        decode = encodings.decode
        if self.options.drop_bad_fields:
            decode = partial(encodings.decode_dropping, dropped=dropped)
        payload = decode(text)
        if type(payload) is not dict:
            raise Malformed(
                'A message is a JSON object, like {"device": "pillow", "state": {}}; '
                f"this is {plain.kind(payload)}."
            )
        if self._has_no_options and plain.is_bare(payload):  # the common case
            return [payload], plain.read_bare, dropped
        payload.pop(plain.IGNORED, None)
        options = self.options if sent_at is None else self.options.at(sent_at)
        for schema in EVENTS:
            if schema.recognise(payload):
                payload, place = schema.opened(payload, decode)
                place = place if options.state is None else options.state
                return batches.split(payload, place), partial(_read, schema, options), dropped
        if self.options.drop_bad_fields and holds_text(payload.get("state")):
            payload["state"] = encodings.inner(payload["state"], decode)
        events = batches.split(payload, options.state)
        return events, lambda event: (self._read_other(event, options),), dropped

    def _read_other(self, payload: Payload, options: DecodeOptions) -> Change:
        """A message of your own, or a plain one."""
        about_commands = plain.command_members(payload)
        known = plain.STATE_MEMBERS | about_commands if self.foreign else plain.KNOWN
        if type(payload.get("device")) is str and payload.keys() <= known:
            return options.plain(plain.change(payload), payload)
        named = named_in(payload, options)
        if options.has_pointers:
            device = options.device_of(payload, named)
            return options.change(payload, device, options.state_of(payload, payload))
        message = payload
        is_null = payload.get("device", MISSING) is None  # a sender's mistake, with a default too
        if options.default is not None and named is MISSING and not is_null:
            is_plain = bool(about_commands) and payload.keys() <= known
            if not holds_state(payload) and not is_plain:
                change = Change(options.default, "merge", payload)
                return options.plain(change, payload, own=False)
            if self.foreign or "device" not in payload:
                message = {**payload, "device": options.default}
        if not (self.foreign and "device" in message):
            refuse_incomplete(message)
        if self.foreign:  # other programs may add members of their own
            if "device" not in message:
                raise Malformed(NAMELESS)
            message = {name: value for name, value in message.items() if name in known}
        return options.plain(plain.change(message), payload)


def message_of(delivery: Delivery, parts: list[Part | Refusal]) -> Message:
    """The parts of a delivery, valid and refused."""
    if len(parts) == 1 and isinstance(only := parts[0], Part):  # the common case
        return Message(delivery, only.changes, ((only.item, only.body),) * len(only.changes))
    good = [part for part in parts if isinstance(part, Part)]
    return Message(
        delivery,
        tuple(change for part in good for change in part.changes),
        tuple((part.item, part.body) for part in good for _ in part.changes),
        tuple(part for part in parts if isinstance(part, Refusal)),
    )


def named_in(payload: Payload, options: DecodeOptions) -> Any:
    """The member ``device``, or MISSING if it is not there or a member of another program.

    Raises Malformed if it is no name and nothing else can name the device.
    """
    named = payload.get("device")
    if type(named) in (str, int):
        return named
    if named is not None and options.default is None and options.device is None:
        raise Malformed(
            f"“device” is {plain.kind(named)}, not the name of a device (which must be text); the "
            "options device= (like device=/device/name) or default= of its source can name it."
        )
    return MISSING


def without(dropped: list[str], changes: Changes) -> Changes:
    """The changes, which say what was dropped from their message."""
    if not dropped:
        return changes
    return tuple(replace(one, left_out=(*one.left_out, *dropped)) for one in changes)


def holds_text(value: Any) -> bool:
    """Whether a member is an object or array as text."""
    return type(value) is str and not encodings.why_not(value)


def holds_state(payload: Payload) -> bool:
    """Whether the message has the state in a member, and is not the state itself."""
    try:
        return type(encodings.inner(payload.get("state"))) is dict
    except Malformed:  # text that only begins like JSON
        return False


def _text(refusal: Refusal) -> bytes:
    try:
        return encodings.unwrap(refusal.body)
    except Refused:
        return refusal.body


def _read(schema: Schema, options: DecodeOptions, event: Payload) -> Changes:
    return schema.read(event, options)


def refuse_incomplete(payload: dict[str, Any]) -> None:
    """Raise Malformed for an event with missing members, and name them.

    Read as a plain message it would be refused for members that belong to an event.
    """
    for mark, what, members in (
        ("specversion", "a CloudEvent", cloud_events.MEMBERS),
        ("eventType", "an event of Event Grid", event_grid.MEMBERS),
    ):
        missing = [member for member in members if member not in payload]
        if mark in payload and missing:
            raise Malformed(
                f"It has the member “{mark}”, but {what} also has {', '.join(missing)}."
            )
