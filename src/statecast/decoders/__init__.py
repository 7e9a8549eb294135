"""Step 2, decode: the bytes of a delivery become valid changes, and refusals with a reason.

::

    encodings.py     the encodings of a message's text: Base64, UTF-16, JSON as text ...
    items.py         the messages of an array, and of JSON lines
    decoder.py       recognises what a message is, and reads it
    options.py       how the messages of one source are read, from its URL
    plain.py         our own message
    cloud_events.py  CloudEvents 1.0
    event_grid.py    the schema of Azure Event Grid
    iot_hub.py       events and twins of Azure IoT Hub
    event.py         what CloudEvents and events of Event Grid have in common
    batches.py       events with an array of readings
    named_values.py  states as a list of names and values
    time_formats.py  the times that devices send
    pointers.py      JSON pointers
    addressee.py     the device that an unreadable message may be about
    device_names.py  device names from subjects, paths and URIs

A decoder is any callable ``(Delivery) -> Message``. It is pure and never raises: a message that it
cannot read becomes a refusal and goes to quarantine, while the other messages are applied.
"""

from __future__ import annotations

from collections.abc import Mapping

from statecast.decoders.decoder import Decoder
from statecast.decoders.options import CHECKS, from_options

OPTIONS = tuple(CHECKS)
"""The options that a source's URL may have for the decoder."""
FOREIGN = ("azure-queue",)
"""Schemes of queues that other programs write to: their messages may have members that Statecast
does not know."""


def open_decoder(options: Mapping[str, str], url: str = "") -> Decoder:
    """The decoder for the source with this URL and these options. Raises BadSetting."""
    return Decoder(from_options(options, url), foreign=url.partition(":")[0] in FOREIGN)
