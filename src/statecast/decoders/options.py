"""How the messages of one source are read: the options of its URL, checked.

Rule 1: where an option points to a place, only that place counts. A plain message says everything
itself, so there a place without a value does not hide its own member.
Rule 2: without an option, the caller passes the value from the documented place of its schema.
Rule 3: every option has an effect on the messages that its source can have. One that cannot have
any is an error at start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from statecast import names
from statecast.decoders import device_names, encodings, named_values, pointers, time_formats
from statecast.decoders.plain import MAX_ID, kind
from statecast.decoders.pointers import MISSING, Pointer
from statecast.decoders.time_formats import RFC_3339, TimeFormat
from statecast.errors import BadSetting, Malformed
from statecast.model import Change, Kind, Speaker, value_class

NAMELESS = "It names no device; the options device= or default= of its source can."
MAX_DIGITS = 64
"""Of a sequence written as hexadecimal text."""
_HEXADECIMAL = re.compile(rf"[0-9A-Fa-f]{{1,{MAX_DIGITS}}}", re.ASCII)
_NOTHING = (MISSING, None, "")


def device_name(value: str) -> str:
    """The name of a device. Raises ValueError."""
    try:
        return names.check(value)
    except Malformed as error:
        raise ValueError(f"must be the name of a device ({error})") from None


def prefix(value: str) -> str:
    """A prefix of device names, like ``floor2/``. Raises ValueError."""
    try:
        names.check(f"{value}x")
    except Malformed as error:
        raise ValueError(
            f"must be the beginning of a device's name, like floor2/ ({error})"
        ) from None
    return value


def place(value: str) -> Pointer:
    """A pointer to a member. Raises ValueError."""
    if not value:
        raise ValueError("must point to a member, like /data/id; the whole message is none")
    return pointers.parse(value)


@value_class
class TimePlace:
    """The value of ``time=``: ``/pointer``, ``optional`` or ``optional:/pointer``."""

    pointer: Pointer | None = None
    """None if the documented place counts."""
    optional: bool = False
    """A message whose time cannot be read is applied with the time of its arrival."""


def time_place(value: str) -> TimePlace:
    """Where the time is, and whether it may be unreadable. Raises ValueError."""
    if value == "optional":
        return TimePlace(None, True)
    optional = value.startswith("optional:")
    pointer = value.removeprefix("optional:")
    if not pointer.startswith("/"):
        raise ValueError(
            "must be optional, a JSON pointer like /data/time, or both: optional:/data/time"
        )
    return TimePlace(pointers.parse(pointer), optional)


def by_sequence(value: str) -> bool:
    """Whether the sequence, not the time, orders messages. Raises ValueError."""
    if value not in ("time", "sequence"):
        raise ValueError("must be time or sequence")
    return value == "sequence"


def drop_bad_fields(value: str) -> bool:
    """Whether fields that are refused are dropped. Raises ValueError."""
    if value not in ("refuse", "drop"):
        raise ValueError("must be refuse or drop")
    return value == "drop"


def devices(value: str) -> tuple[str, ...]:
    """Patterns of device names, with commas. Raises ValueError."""
    found = [one.strip() for one in value.split(",") if one.strip()]
    try:
        patterns = tuple(names.check_pattern(one) for one in found)
    except Malformed as error:
        raise ValueError(f"must hold device patterns, like pillow,floor2/* ({error})") from None
    if not patterns:
        raise ValueError("must hold a device pattern, like pillow or floor2/*")
    return patterns


# By option: the field of DecodeOptions, and the check of the value.
CHECKS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "default": ("default", device_name),
    "device": ("device", place),
    "devices": ("devices", devices),
    "id": ("id", place),
    "on_bad_field": ("drop_bad_fields", drop_bad_fields),
    "order": ("by_sequence", by_sequence),
    "prefix": ("prefix", prefix),
    "sequence": ("sequence", place),
    "state": ("state", pointers.parse),
    "time": ("time", time_place),
    "time_format": ("time_format", time_formats.parse),
}


@value_class
class DecodeOptions:
    """The options of one source. A pointer is None if the documented place counts."""

    device: Pointer | None = None
    state: Pointer | None = None
    time: TimePlace = TimePlace()
    time_format: TimeFormat = RFC_3339
    """How times are written that are not RFC 3339 with a zone."""
    sequence: Pointer | None = None
    id: Pointer | None = None
    default: str | None = None
    """The device of messages without one."""
    prefix: str = ""
    by_sequence: bool = False
    """Messages are ordered by their sequence; one without a sequence is refused."""
    drop_bad_fields: bool = False
    """A message with a bad field is applied without it; else it is refused."""
    devices: tuple[str, ...] = ()
    """Patterns of the devices for which the writers of the queue are trusted; empty: all."""

    @property
    def has_pointers(self) -> bool:
        """Whether messages of an unknown schema can be read."""
        return self.device is not None or self.state is not None

    def check_devices(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        """The changes, which concern no other devices than those of the source. Raises Malformed.

        An event that concerns others too is refused whole: it may be forged.
        """
        for change in changes if self.devices else ():
            if not names.match_any(self.devices, change.device):
                raise Malformed(
                    f"Its source may not speak for the device {names.quoted(change.device)}: the "
                    f"option devices= of the source allows {', '.join(self.devices)}."
                )
        return changes

    def device_of(self, payload: Any, named: Any = MISSING, last: Any = MISSING) -> str:
        """The device: at the pointer, else ``named``, else the default, else ``last``.

        ``named`` and ``last`` are values of the schema. Raises Malformed.
        """
        if self.device is not None:
            named, last = pointers.find(payload, self.device), MISSING
        if named not in _NOTHING:
            return device_names.name_of(text(named, "the name of a device"), self.prefix)
        if self.default is not None:
            return names.check(self.prefix + self.default)
        if last not in _NOTHING:
            return device_names.name_of(text(last, "the name of a device"), self.prefix)
        if self.device is not None:
            raise Malformed(
                f"It names no device: there is nothing at {pointers.text_of(self.device)}."
            )
        raise Malformed(NAMELESS)

    def state_of(self, payload: Any, found: Any) -> dict[str, Any]:
        """The state: at the pointer, else ``found``, from the schema. Raises Malformed."""
        where = "its data"
        if self.state is not None:
            found, where = (
                pointers.find(payload, self.state),
                f"what lies at {pointers.text_of(self.state)}",
            )
        if found is MISSING:
            raise Malformed(f"It brings no state: {where} is missing.")
        found = encodings.inner(found)
        if named_values.are_named_values(found):
            return named_values.state_of(found)
        if type(found) is not dict:
            raise Malformed(
                f"A state is a JSON object; {where} is {kind(found)}. "
                "The option state= can point to one."
            )
        return found

    def at(self, sent_at: int) -> DecodeOptions:
        """The options for a message that was put into its queue at this time."""
        if self.time_format.zone is None:
            return self
        return replace(self, time_format=self.time_format.at(sent_at))

    def time_of(self, payload: Any, found: Any = None) -> tuple[int | None, tuple[str, ...]]:
        """The event time in ms, None without one; and what was left out. Raises Malformed."""
        if self.time.pointer is not None:
            found = pointers.find(payload, self.time.pointer)
        return self.read_time(found, "Its time")

    def read_time(self, value: Any, what: str) -> tuple[int | None, tuple[str, ...]]:
        """A time in ms, and what was left out. Raises Malformed.

        A time that cannot be read is left out if it is optional.
        """
        if value in _NOTHING:
            return None, ()
        try:
            return self.time_format.read(value, what), ()
        except Malformed as error:
            if not self.time.optional:
                raise
            return None, (f"Its time was left out, and the time of arrival counts. {error}",)

    def sequence_of(self, payload: Any, found: Any = MISSING) -> int:
        """The sequence; 0 without one.

        Raises Malformed for an unreadable sequence if it orders messages or an option points to
        it. A sequence that only breaks ties is then 0.
        """
        strict = self.by_sequence or self.sequence is not None
        if self.sequence is not None:
            found = pointers.find(payload, self.sequence)
        if found in _NOTHING:
            if self.by_sequence:
                raise Malformed("It brings no sequence, and its source is ordered by sequence.")
            return 0
        try:
            return sequence_number(found)
        except Malformed:
            if strict:
                raise
            return 0

    def id_of(self, payload: Any, found: str | None = None) -> str | None:
        """The event's id, which identifies repetitions; a long one is replaced by its SHA-256.

        Raises Malformed.
        """
        if self.id is not None:
            value = pointers.find(payload, self.id)
            found = None if value in _NOTHING else text(value, "an id")
        if found is None or len(found) <= MAX_ID:
            return found
        return hashlib.sha256(found.encode()).hexdigest()

    def change(
        self,
        payload: Any,
        device: str,
        state: Mapping[str, Any],
        *,
        what: Kind = "merge",
        time: Any = None,
        sequence: Any = MISSING,
        event_id: str | None = None,
        by: Speaker = "device",
    ) -> Change:
        """The change of an event. Raises Malformed.

        ``time``, ``sequence`` and ``event_id`` are values of the schema; the options override them.
        """
        at, left_out = self.time_of(payload, time)
        number, event = self.sequence_of(payload, sequence), self.id_of(payload, event_id)
        by_sequence = self.by_sequence
        return Change(
            device, what, state, at, number, event, None, by, by_sequence, left_out=left_out
        )

    @property
    def concerns_plain(self) -> bool:
        """Whether an option changes what a plain message says."""
        return (
            self.prefix != ""
            or self.by_sequence
            or self.sequence is not None
            or self.id is not None
            or self.time.pointer is not None
        )

    def plain(self, change: Change, payload: Mapping[str, Any], own: bool = True) -> Change:
        """The change of a plain message with what the options say. Raises Malformed.

        Without ``own`` the message is a state, whose members are not those of a plain message.
        """
        members = payload if own else {}
        written = members.get("time")
        if not self.concerns_plain and written is None:
            return change
        time, sequence, id_ = (
            MISSING if pointer is None else pointers.find(payload, pointer)
            for pointer in (self.time.pointer, self.sequence, self.id)
        )
        if self.by_sequence and sequence in _NOTHING and members.get("sequence") is None:
            raise Malformed("It brings no sequence, and its source is ordered by sequence.")
        at, left_out = (
            self.read_time(written, "“time”")
            if time in _NOTHING
            else self.read_time(time, "Its time")
        )
        return replace(
            change,
            device=names.check(self.prefix + change.device),
            time=at,
            sequence=change.sequence if sequence in _NOTHING else sequence_number(sequence),
            event_id=change.event_id if id_ in _NOTHING else self.id_of(payload),
            by_sequence=self.by_sequence,
            left_out=left_out,
        )


def from_options(options: Mapping[str, str], url: str = "") -> DecodeOptions:
    """The options of a source's URL, checked. Raises BadSetting with a sentence."""
    found: dict[str, Any] = {}
    source = url.partition("?")[0]
    for option, value in options.items():
        name, check = CHECKS[option]
        try:
            found[name] = check(value)
        except ValueError as error:
            raise BadSetting(f"The option {option!r} of the source {source!r} {error}.") from None
    return DecodeOptions(**found)


def text(value: Any, what: str) -> str:
    """A text, or a whole number as text. ``what`` is for the sentence. Raises Malformed."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise Malformed(
        f"{what[:1].upper()}{what[1:]} must be text or a whole number; here it is {kind(value)}."
    )


def required(payload: Mapping[str, Any], member: str, what: str) -> str:
    """A member that must be a text, not empty. Raises Malformed."""
    value = payload.get(member)
    if type(value) is str and value:
        return value
    raise Malformed(
        f"“{member}” of {what} must be a text that is not empty; here it is {kind(value)}."
    )


def sequence_number(value: Any) -> int:
    """The number of a vendor's sequence: an integer, or hexadecimal text. Raises Malformed.

    Azure's ``sequencer`` (48 hexadecimal digits) and ``sequenceNumber`` (64) are compared as texts.
    For texts of one width the order of the numbers is the same. Where widths differ (decimal
    counters, a vendor that widens its field) only the numbers are ordered correctly. A decimal text
    that is read as hexadecimal keeps its order too.
    """
    if type(value) is int and value >= 0:
        return value
    if type(value) is str and _HEXADECIMAL.fullmatch(value):
        return int(value, 16)
    raise Malformed(
        "Its sequence must be a whole number, 0 or above, or a text of at most "
        f"{MAX_DIGITS} hexadecimal digits."
    )
