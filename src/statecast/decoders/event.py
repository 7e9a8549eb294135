"""What an event says, whichever of the schemas brought it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from statecast.decoders.options import DecodeOptions
from statecast.decoders.pointers import MISSING, Pointer, find
from statecast.model import Change

ABOUT_ITSELF = "Microsoft.EventGrid."
"""Types of Event Grid's events about its own subscriptions. They say nothing of a device, so they are taken and
change nothing: only a webhook is asked to answer the validation of its address, a queue is not."""
SEQUENCES: tuple[Pointer, ...] = (("data", "sequencer"), ("sequence",))
"""Where a vendor's sequence lies: of a blob's events, and of CloudEvents with the extension of that name."""


@dataclass(frozen=True, slots=True)
class EventEnvelope:
    """One event; ``said`` is all of it, with its data decoded, for the pointers."""

    payload: dict[str, Any]
    type: str
    id: str
    """Names the event for good: the same on every repetition."""
    subject: Any
    source: Any
    """What names the device if the subject does not; MISSING: nothing."""
    time: Any
    data: Any
    """MISSING if it brings none."""


def changes(event: EventEnvelope, reading: DecodeOptions) -> tuple[Change, ...]:
    """An event that no module of ours knows better. Raises Refused."""
    payload = event.payload
    found = (value for pointer in SEQUENCES if (value := find(payload, pointer)) is not MISSING)
    device = reading.device_of(payload, event.subject, event.source)
    state = reading.state_of(payload, event.data)
    sequence = next(found, MISSING)
    return (
        reading.change(
            payload, device, state, time=event.time, sequence=sequence, event_id=event.id
        ),
    )
