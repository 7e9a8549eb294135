"""CloudEvents 1.0 in JSON, recognised by ``specversion``, ``id``, ``source`` and ``type``.

The device is the ``subject``, or the ``source`` of an event without one. The data is merged into
its state. Events with the same ``source`` and ``id`` that say the same count once. Event Grid
delivers events of IoT Hub in this schema too; ``iot_hub`` reads them.
"""

from __future__ import annotations

import re
from typing import Any

from statecast.decoders import encodings, iot_hub
from statecast.decoders.encodings import Decode
from statecast.decoders.event import ABOUT_ITSELF, EventEnvelope, changes
from statecast.decoders.options import DecodeOptions, required
from statecast.decoders.plain import kind
from statecast.decoders.pointers import MISSING, Pointer
from statecast.errors import Malformed
from statecast.model import Change
from statecast.names import quoted

MEMBERS = ("specversion", "id", "source", "type")
VERSION = "1.0"
_JSON = re.compile(r"[^/;\s]+/(?:[^/;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
"""Media types: application/json, and those that end in +json."""


def is_cloud_event(payload: dict[str, Any]) -> bool:
    return "specversion" in payload and all(member in payload for member in MEMBERS)


def read(payload: dict[str, Any], options: DecodeOptions) -> tuple[Change, ...]:
    """The changes of one event. Raises Refused with a sentence."""
    version, id_, source, type_ = (required(payload, member, "a CloudEvent") for member in MEMBERS)
    if version != VERSION:
        raise Malformed(
            f"It is a CloudEvent of version {quoted(version)}; version {VERSION} is read."
        )
    if type_.startswith(ABOUT_ITSELF):
        return ()
    payload, _ = opened(payload)
    event = EventEnvelope(
        payload,
        type=type_,
        id=f"{source} {id_}",
        subject=payload.get("subject"),
        source=source,
        time=payload.get("time"),
        data=payload.get("data", MISSING),
    )
    return iot_hub.changes(event, options) if iot_hub.is_event(type_) else changes(event, options)


def opened(
    payload: dict[str, Any], decode: Decode = encodings.decode
) -> tuple[dict[str, Any], Pointer]:
    """The event with its data decoded, and where an array of readings may be. Raises Malformed."""
    if "data_base64" in payload:
        payload = {**payload, "data": decode_data(payload, decode)}
        del payload["data_base64"]
    return iot_hub.opened(payload, payload["type"], decode)


def decode_data(payload: dict[str, Any], decode: Decode = encodings.decode) -> Any:
    """The JSON value in ``data_base64``. Raises Malformed."""
    text, media = payload["data_base64"], payload.get("datacontenttype")
    if "data" in payload:
        raise Malformed("It has data and data_base64 at once.")
    if type(text) is not str:
        raise Malformed(f"“data_base64” must be text; it is {kind(text)}.")
    if media is not None and not (type(media) is str and _JSON.fullmatch(media)):
        raise Malformed(f"Its data is {quoted(media)}; a state is JSON.")
    try:
        return decode(encodings.to_utf8(encodings.from_base64(text.encode())))
    except Malformed as error:
        raise Malformed(f"Its data_base64 cannot be read. {error}") from None
