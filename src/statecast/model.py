"""The values that travel along the path: all frozen, none knows how it is carried.

Times are whole milliseconds since 1970-01-01 UTC; on the wire they are ISO 8601 with
milliseconds and a ``Z``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Speaker = Literal["device", "user", "system"]
"""A system is what knows of devices, like a hub; a plain message has one of the other two. Only a device's own word is
a sign of its life."""
Kind = Literal["merge", "replace", "delete"]


class Stamp(NamedTuple):
    """Where a message stands in the order of its device: compared left to right, newer is greater."""

    time: int
    """Event time in ms, not later than the insertion into the queue plus the resolution of its clock."""
    sequence: int
    """The message's own sequence, else 0: a tie-breaker, never more."""
    order: int
    """Order of first arrival: unique per store."""


class Position(NamedTuple):
    """A reader's claim "I have everything up to here"."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as a source handed it out. It stays in its queue until it is acknowledged."""

    id: str
    """Names the message within its source; the same on every redelivery."""
    body: bytes
    sent_at: int
    """Insertion time by the queue's clock, in ms."""
    attempt: int = 1
    """1 on the first hand-out; a count alone never condemns a message."""
    receipt: str = ""
    """What the source needs to acknowledge exactly this hand-out."""
    order: int | None = None
    """Order of arrival where the queue shares the store's counter (embedded); else the store counts."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one message says about one device, decoded and valid."""

    device: str
    kind: Kind
    state: Mapping[str, Any]
    """A merge patch for ``merge``, the whole state for ``replace``, empty for ``delete``."""
    time: int | None = None
    """Event time in ms, if the message brought one."""
    sequence: int = 0
    event_id: str | None = None
    """The event's own id, if any: the same event sent twice counts once within 24 h."""
    silent_after: float | None = None
    """Deadline in seconds that the message sets; None leaves the device's deadline as it is."""
    by: Speaker = "device"
    by_sequence: bool = False
    """The sequence is the order of its device, before any time; see ``apply.stamp_of``."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message, or one item of it, goes to quarantine."""

    reason: str
    """One sentence a person understands."""
    body: bytes
    """The raw message, or the item's own JSON where the message is an array."""
    item: int | None = None
    """Index in the array, if the message was one."""


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery after decoding: its good parts and its refused parts. Items of an array stand alone."""

    delivery: Delivery
    changes: tuple[Change, ...] = ()
    """In the order of the array; ``items`` gives each one's raw form, in case applying refuses it."""
    items: tuple[tuple[int | None, bytes], ...] = ()
    """Parallel to ``changes``: (index in the array or None, raw body)."""
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """What made a version: the source, the id of the message there, and who spoke."""

    source: str
    id: str
    by: Speaker


@dataclass(frozen=True, slots=True)
class Update:
    """A committed state of one device; ``state`` None means that the device was removed."""

    device: str
    version: int
    """1, 2, 3 ... per device, for people."""
    offset: int
    """Rising per store, for machines."""
    state: bytes | None
    """The state, encoded once as JSON; shared by all who send it."""
    changed_at: int
    """When the last new version was sent, in ms; never goes back."""
    seen_at: int | None
    """Last sign of life of the device itself, in ms."""
    cause: Cause
    silent_after: float | None = None
    """The device's deadline in seconds; None: no verdict about silence."""
    source: str | None = None
    """The source of the device's last own message: whose health says whether this state may be old."""
    fields: Mapping[str, int] = field(default_factory=dict)
    """Per top-level field, the time of its last change in ms."""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One version of a device: what changed, as a merge patch against the version before."""

    at: int
    version: int
    change: bytes | None
    """Encoded merge patch; None: the device was removed."""
    cause: Cause


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message, or an item of one, that could not be read or applied."""

    number: int
    """The row's own number, which commands take."""
    source: str
    id: str
    item: int | None
    reason: str
    body: bytes
    sent_at: int
    order: int
    attempts: int
    at: int
    """When it was set aside, in ms."""


@dataclass(frozen=True, slots=True)
class Event:
    """An application's event on its way to every viewer of a namespace or room, at most once."""

    number: int
    namespace: str
    room: str | None
    name: str
    data: bytes
    """Encoded JSON array of the event's arguments."""
