"""The values that the stages pass to each other. None changes; none depends on a transport.

Times are whole milliseconds since 1970-01-01 UTC. On the wire they are ISO 8601 with milliseconds
and a ``Z``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, dataclass_transform

Speaker = Literal["device", "user", "system"]
"""Who sent a message. A ``system`` reports about devices, like an IoT hub; plain messages come from
a device or a user. Only a device's own message shows that the device is alive."""
Kind = Literal["merge", "replace", "delete"]
Outcome = Literal["done", "refused"]
EventKind = Literal["emit", "enter", "leave", "close_room", "disconnect", "name", "rights"]


T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(class_: type[T]) -> type[T]:
    """A dataclass with slots that only the type checker keeps from being changed.

    Python's own ``frozen`` makes each new object cost 1 to 2 us more, and a message makes more
    than ten.
    """
    return dataclass(slots=True, unsafe_hash=True)(class_)


class Stamp(NamedTuple):
    """Where a message is in the order of its device: compared left to right, newer is greater."""

    time: int
    """Event time in ms; at most the insertion into the queue plus the resolution of its clock."""
    sequence: int
    """The message's own sequence, else 0. It only breaks ties: counters may restart."""
    order: int
    """Order of first arrival: unique per store."""


class Position(NamedTuple):
    """Up to where a reader has everything: a run of the store's history, and an offset in it."""

    epoch: str
    offset: int


@value_class
class Delivery:
    """One message as a source delivered it. It stays in its queue until it is acknowledged."""

    id: str
    """Identifies the message within its source; the same on every redelivery."""
    body: bytes
    sent_at: int
    """Insertion time by the queue's clock, in ms."""
    attempt: int = 1
    """1 for the first delivery. A message is never refused for its attempts alone."""
    receipt: str = ""
    """What the source needs to acknowledge exactly this delivery."""
    order: int | None = None
    """Order of arrival, where the queue shares the store's counter (embedded); None elsewhere."""
    sender: str = ""
    """The key with which it was sent, as ``Identity.sender``; "" for a program with the queue's own
    credentials."""


@value_class
class Answer:
    """What a device says of a command; see ``commands.life``."""

    command: str
    """The id of the command."""
    outcome: Outcome
    reason: str | None = None
    """A sentence of the device."""


@value_class
class Change:
    """The content of a message for one device, decoded and valid."""

    device: str
    kind: Kind
    state: Mapping[str, Any]
    """A merge patch for ``merge``, the whole state for ``replace``, empty for ``delete``."""
    time: int | None = None
    """Event time in ms, if the message brought one."""
    sequence: int = 0
    event_id: str | None = None
    """The event's own id, if any; see ``event_key``."""
    silent_after: float | None = None
    """Deadline in seconds that the message sets; None leaves the device's deadline as it is."""
    by: Speaker = "device"
    by_sequence: bool = False
    """The sequence, not the time, is the order of the device; see ``merge.apply.stamp_of``."""
    left_out: tuple[str, ...] = ()
    """What of the message could not be read and was left out, as its source allows: sentences."""
    answer: Answer | None = None
    """What the device says of a command."""
    commands: tuple[str, ...] | None = None
    """The names of the commands that the device takes; None leaves what is known as it is."""
    event_key: str | None = field(init=False, default=None, compare=False, repr=False)
    """The event's id and a hash of what it says. Within 24 h the same key counts once per device.

    The id alone is not enough: vendors send several events with one id, for example IoT Hub for
    quick telemetry of one device. The envelope is not part of it, because a repetition may differ
    there (``metadataVersion``, attempts, the order of members).
    """

    def __post_init__(self) -> None:
        if self.event_id is not None:
            said: tuple[object, ...]
            said = (self.kind, self.state, self.time, self.sequence, self.silent_after, self.by)
            if self.answer is not None:
                said = (*said, self.answer.command, self.answer.outcome)
            if self.commands is not None:
                said = (*said, self.commands)
            text = json.dumps(said, sort_keys=True, separators=(",", ":"))
            digest = blake2b(text.encode(), digest_size=16).hexdigest()
            object.__setattr__(self, "event_key", f"{self.event_id} {digest}")


@value_class
class Refusal:
    """The reason why a message, or one item of it, goes to quarantine."""

    reason: str
    """One sentence for people."""
    body: bytes
    """The raw message, or the item's own JSON where the message is an array."""
    item: int | None = None
    """Index in the array, if the message was one."""
    device: str | None = None
    """The device that it may be about: a hint for people."""


@value_class
class Message:
    """A delivery after decoding: valid parts and refused parts. Each item of an array is a part."""

    delivery: Delivery
    changes: tuple[Change, ...] = ()
    """In the order of the array."""
    items: tuple[tuple[int | None, bytes], ...] = ()
    """Parallel to ``changes``: index in the array or None, and raw body if apply refuses it."""
    refusals: tuple[Refusal, ...] = ()


@value_class
class Cause:
    """What made a version: the source, the id of the message there, and who sent it."""

    source: str
    id: str
    by: Speaker
    sender: str = ""
    """As in the delivery; of an edit who made it, also a person."""

    @property
    def public_sender(self) -> str:
        """The sender for everyone who may see the device: not the name of a person."""
        return self.sender if self.sender.startswith("key ") else ""


@value_class
class Update:
    """A committed state of one device; ``state`` None means that the device was removed."""

    device: str
    version: int
    """1, 2, 3 ... per device, for people."""
    offset: int
    """Rising per store, for machines."""
    state: bytes | None
    """The state as JSON, encoded once: everything that sends it shares these bytes."""
    changed_at: int
    """When the newest version happened, in ms: by the message's own time, if it is usable. It can
    be earlier than that of the version before, if the message arrived late."""
    seen_at: int | None
    """When the device's own newest message happened, in ms."""
    cause: Cause
    silent_after: float | None = None
    """The device's deadline in seconds; None: it never counts as silent."""
    source: str | None = None
    """The source of the device's own newest message. If it is away, this state may be old."""
    fields: Mapping[str, int] = field(default_factory=dict)
    """Per top-level field, the time of its last change in ms."""
    arrived_at: int = 0
    """When the newest version was committed, in ms; much later than ``changed_at`` if its message
    was delayed on the way."""
    clock_behind: int | None = None
    """By how many ms the device's clock is behind at most (below 0: ahead), as its last messages
    show it; None: they brought no times of their own."""
    commands: tuple[str, ...] | None = None
    """The names of the commands that the device takes, () for none; None: it never said."""


class ShownUpdate(Protocol):
    """What viewers are shown of an update; see ``Update`` for each of it."""

    @property
    def device(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def state(self) -> bytes | None: ...
    @property
    def changed_at(self) -> int: ...
    @property
    def seen_at(self) -> int | None: ...
    @property
    def arrived_at(self) -> int: ...
    @property
    def cause(self) -> Cause: ...
    @property
    def silent_after(self) -> float | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def commands(self) -> tuple[str, ...] | None: ...


@value_class
class HistoryRow:
    """One version of a device: what changed, as a merge patch against the version before."""

    at: int
    """When it happened, in ms. Rows are in the order of their versions; a late one has an earlier
    time than the row before."""
    version: int
    change: bytes | None
    """Encoded merge patch; None: the device was removed."""
    cause: Cause
    arrived_at: int = 0
    """When it was committed, in ms."""


@value_class
class Quarantined:
    """A message, or an item of one, that could not be read or applied."""

    number: int
    """The number of the row, for commands."""
    source: str
    id: str
    item: int | None
    reason: str
    body: bytes
    sent_at: int
    order: int
    attempts: int
    at: int
    """When it was quarantined, in ms."""
    device: str | None = None
    """The device that it may be about, where the message says so: a hint for people."""
    sender: str = ""
    """As in the delivery."""


@value_class
class Watching:
    """Who watches a device, in all serving processes."""

    count: int
    """Viewers: connections, so that a page in two tabs is two."""
    names: tuple[str, ...] = ()
    """The names that the application gave to viewers, each once, in alphabetical order."""


@value_class
class Event:
    """What an application does to viewers of a namespace, at most once: it emits, or moves them."""

    namespace: str
    name: str
    """Of the event; for ``enter`` and ``leave`` the room; for ``name`` that of the viewer."""
    data: bytes = b"[]"
    """Encoded JSON array of the event's arguments, with placeholders for bytes among them."""
    rooms: tuple[str, ...] = ()
    """Rooms and sids whose viewers it concerns; () means all of the namespace."""
    skip: tuple[str, ...] = ()
    """Rooms and sids whose viewers it does not concern."""
    attachments: tuple[bytes, ...] = ()
    """The bytes among the arguments, in the order of their placeholders."""
    kind: EventKind = "emit"
    origin: str = ""
    """The serving process in which it has taken effect already; "" for none."""

    @property
    def size(self) -> int:
        """Bytes of its arguments."""
        return len(self.data) + (sum(map(len, self.attachments)) if self.attachments else 0)
