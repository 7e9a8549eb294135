"""Step 2, decode: what the bytes of a delivery say, as changes that are valid, and refusals with a reason.

A decoder is any callable ``(Delivery) -> Message``. It is pure and never raises: what it cannot read is a value
too, which goes to quarantine while the neighbours go on.

Here is the one that a source has by default. What a message is, its members say, never a try:

=================  =====================================================================  =================
it is              if it has                                                              read by
=================  =====================================================================  =================
a CloudEvent       ``specversion``, ``id``, ``source`` and ``type``                       ``cloud_events``
of Event Grid      ``id``, ``eventType``, ``eventTime`` and ``subject``                   ``event_grid``
a twin's change    ``deviceId`` and ``opType``, or ``version`` and no more than a twin's  ``iot_hub``
of your own        (where the source has ``device=`` or ``state=``) a member that a       the pointers
                   plain message has not, or no ``device``
plain              anything else                                                          ``plain``
=================  =====================================================================  =================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from statecast import strict_json
from statecast.decoders import cloud_events, event_grid, iot_hub, plain
from statecast.decoders.base64_text import unwrap
from statecast.decoders.options import CHECKS, NAMELESS, DecodeOptions, from_options
from statecast.errors import Malformed, Refused, TooLarge
from statecast.model import Change, Delivery, Message, Refusal

OPTIONS = tuple(CHECKS)
"""What a source's URL may say of its messages."""
FOREIGN = ("azure-queue",)
"""Queues that other programs write: text that may be Base64, and members that are none of ours."""
KINDS: tuple[
    tuple[
        Callable[[dict[str, Any]], bool],
        Callable[[dict[str, Any], DecodeOptions], tuple[Change, ...]],
    ],
    ...,
] = (
    (cloud_events.is_one, cloud_events.read),
    (event_grid.is_one, event_grid.read),
    (iot_hub.is_twin, iot_hub.read_twin),
)


def open_decoder(options: Mapping[str, str], url: str = "") -> Decoder:
    """What reads the messages of the source with this URL, by its options. Raises BadSetting."""
    return Decoder(from_options(options, url), foreign=url.partition(":")[0] in FOREIGN)


class Decoder:
    """Reads whatever it recognises; items of an array stand alone."""

    def __init__(self, options: DecodeOptions | None = None, *, foreign: bool = False) -> None:
        self.reading = options or DecodeOptions()
        self.foreign = foreign

    def __call__(self, delivery: Delivery) -> Message:
        try:
            text = unwrap(delivery.body) if self.foreign else delivery.body
        except Refused as error:
            return Message(delivery, refusals=(Refusal(str(error), delivery.body),))
        return plain.read_all(delivery, text, self.read)

    def read(self, body: bytes) -> tuple[Change, ...]:
        """One message; most say one thing of one device. Raises Refused with a sentence."""
        if len(body) > plain.MOST_BYTES:
            raise TooLarge(f"It has {len(body)} bytes; a message has at most {plain.MOST_BYTES}.")
        payload = strict_json.decode(body)
        if type(payload) is not dict:
            raise Malformed(
                'A message is a JSON object, like {"device": "pillow", "state": {}}; '
                f"this is {plain.kind(payload)}."
            )
        payload.pop(plain.IGNORED, None)
        for is_one, read in KINDS:
            if is_one(payload):
                return read(payload, self.reading)
        return (self.read_other(payload),)

    def read_other(self, payload: dict[str, Any]) -> Change:
        own = "device" in payload and payload.keys() <= plain.KNOWN
        if self.reading.has_pointers and not own:
            return self.reading.change(
                payload,
                self.reading.device_of(payload, payload.get("device")),
                self.reading.state_of(payload, payload),
            )
        default = self.reading.default
        if default is not None and "device" not in payload:
            if type(payload.get("state")) is not dict:
                return self.reading.plain(Change(default, "merge", payload), False)
            payload["device"] = default
        if not own and not (self.foreign and "device" in payload):
            refuse_incomplete(payload)
        if self.foreign:  # its writers may have members of their own, which are theirs
            if "device" not in payload:
                raise Malformed(NAMELESS)
            payload = {name: value for name, value in payload.items() if name in plain.KNOWN}
        return self.reading.plain(plain.change(payload), payload.get("sequence") is not None)


def refuse_incomplete(payload: dict[str, Any]) -> None:
    """Say what an event lacks, rather than what of it is no member of a plain message. Raises Malformed."""
    for mark, what, members in (
        ("specversion", "a CloudEvent", cloud_events.MEMBERS),
        ("eventType", "an event of Event Grid", event_grid.MEMBERS),
    ):
        missing = [member for member in members if member not in payload]
        if mark in payload and missing:
            raise Malformed(
                f"It has the member “{mark}”, but {what} also has {', '.join(missing)}."
            )
