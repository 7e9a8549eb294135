"""The decoder of a source: recognises what a message is by its members, and reads it.

=================  =========================================================  ================
a message is       if it has                                                  it is read by
=================  =========================================================  ================
a CloudEvent       ``specversion``, ``id``, ``source`` and ``type``           ``cloud_events``
of Event Grid      ``id``, ``eventType``, ``eventTime`` and ``subject``       ``event_grid``
a twin's change    ``deviceId`` and ``opType``, or ``version`` and no         ``iot_hub``
                   members that a twin's change does not have
of your own        (for sources with ``device=`` or ``state=``) a member      the pointers
                   that a plain message does not have, or no ``device``
plain              anything else                                              ``plain``
=================  =========================================================  ================

The first line that matches counts. Nothing is tried until something fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from statecast import strict_json
from statecast.decoders import cloud_events, event_grid, iot_hub, plain
from statecast.decoders.base64_text import unwrap
from statecast.decoders.options import NAMELESS, DecodeOptions
from statecast.errors import Malformed, Refused, TooLarge
from statecast.model import Change, Delivery, Message, Refusal

Recognise = Callable[[dict[str, Any]], bool]
Read = Callable[[dict[str, Any], DecodeOptions], tuple[Change, ...]]

EVENTS: tuple[tuple[Recognise, Read], ...] = (
    (cloud_events.is_cloud_event, cloud_events.read),
    (event_grid.is_grid_event, event_grid.read),
    (iot_hub.is_twin, iot_hub.read_twin),
)


class Decoder:
    """Reads one message, or an array of messages of any kind, each on its own.

    ``foreign`` is for queues that other programs write to: Base64 is unwrapped, and members that
    a plain message does not have are ignored.
    """

    def __init__(self, options: DecodeOptions | None = None, *, foreign: bool = False) -> None:
        self.options = options or DecodeOptions()
        self.foreign = foreign

    def __call__(self, delivery: Delivery) -> Message:
        try:
            text = unwrap(delivery.body) if self.foreign else delivery.body
        except Refused as error:
            return Message(delivery, refusals=(Refusal(str(error), delivery.body),))
        return plain.read_delivery(delivery, text, self.read)

    def read(self, body: bytes) -> tuple[Change, ...]:
        """The changes of one message, in most cases one. Raises Refused with a sentence."""
        if len(body) > plain.MAX_BYTES:
            raise TooLarge(f"It has {len(body)} bytes; a message has at most {plain.MAX_BYTES}.")
        payload = strict_json.decode(body)
        if type(payload) is not dict:
            raise Malformed(
                'A message is a JSON object, like {"device": "pillow", "state": {}}; '
                f"this is {plain.kind(payload)}."
            )
        payload.pop(plain.IGNORED, None)
        for recognise, read in EVENTS:
            if recognise(payload):
                return read(payload, self.options)
        return (self._read_other(payload),)

    def _read_other(self, payload: dict[str, Any]) -> Change:
        """A message of your own, or a plain one."""
        is_plain = "device" in payload and payload.keys() <= plain.KNOWN
        if self.options.has_pointers and not is_plain:
            return self.options.change(
                payload,
                self.options.device_of(payload, payload.get("device")),
                self.options.state_of(payload, payload),
            )
        default = self.options.default
        if default is not None and "device" not in payload:
            if type(payload.get("state")) is not dict:
                return self.options.plain(Change(default, "merge", payload), False)
            payload["device"] = default
        if not is_plain and not (self.foreign and "device" in payload):
            refuse_incomplete(payload)
        if self.foreign:  # other programs may add members of their own
            if "device" not in payload:
                raise Malformed(NAMELESS)
            payload = {name: value for name, value in payload.items() if name in plain.KNOWN}
        return self.options.plain(plain.change(payload), payload.get("sequence") is not None)


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
