"""How the messages of one source are read: what its URL says about names, states and order, as checked values.

Rule 1: what an option points to is what counts; nothing is looked for elsewhere.
Rule 2: without options every event has a documented place for each thing, which the caller names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from statecast import names, timestamps
from statecast.decoders import device_names, pointers, sequences
from statecast.decoders.plain import MOST_ID, kind
from statecast.decoders.pointers import MISSING, Pointer
from statecast.errors import BadSetting, Malformed
from statecast.model import Change, Kind, Speaker

NAMELESS = "It names no device; the options device= or default= of its source can."
_NOTHING = (MISSING, None, "")


def device_name(value: str) -> str:
    try:
        return names.check(value)
    except Malformed as error:
        raise ValueError(f"must be the name of a device ({error})") from None


def prefix(value: str) -> str:
    """Text before every name, like ``floor2/``."""
    try:
        names.check(f"{value}x")
    except Malformed as error:
        raise ValueError(
            f"must be the beginning of a device's name, like floor2/ ({error})"
        ) from None
    return value


def order(value: str) -> bool:
    if value not in ("time", "sequence"):
        raise ValueError("must be time or sequence")
    return value == "sequence"


CHECKS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "default": ("default", device_name),
    "device": ("device", pointers.parse),
    "id": ("id", pointers.parse),
    "order": ("by_sequence", order),
    "prefix": ("prefix", prefix),
    "sequence": ("sequence", pointers.parse),
    "state": ("state", pointers.parse),
    "time": ("time", pointers.parse),
}


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """The options of one source; each pointer is None where the documented place counts."""

    device: Pointer | None = None
    state: Pointer | None = None
    time: Pointer | None = None
    sequence: Pointer | None = None
    id: Pointer | None = None
    default: str | None = None
    """The device of messages that name none."""
    prefix: str = ""
    by_sequence: bool = False
    """The sequence is the order; a message without one is refused."""

    @property
    def has_pointers(self) -> bool:
        """Whether messages of an unknown kind can be read, by where their device or state lies."""
        return self.device is not None or self.state is not None

    def device_of(self, payload: Any, named: Any = MISSING, last: Any = MISSING) -> str:
        """The device: at the pointer, else what the kind of event ``named``; then the default; ``last`` the last.

        Raises Malformed.
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
                f"It names no device: there is nothing at {pointers.written(self.device)}."
            )
        raise Malformed(NAMELESS)

    def state_of(self, payload: Any, found: Any) -> dict[str, Any]:
        """The state: at the pointer, else what the kind of event ``found``. Raises Malformed."""
        where = "its data"
        if self.state is not None:
            found, where = (
                pointers.find(payload, self.state),
                f"what lies at {pointers.written(self.state)}",
            )
        if found is MISSING:
            raise Malformed(f"It brings no state: {where} is missing.")
        if type(found) is not dict:
            raise Malformed(
                f"A state is a JSON object; {where} is {kind(found)}. The option state= can point to one."
            )
        return found

    def time_of(self, payload: Any, found: Any = None) -> int | None:
        """When it happened, in ms; None if it does not say. Raises Malformed."""
        if self.time is not None:
            found = pointers.find(payload, self.time)
        if found in _NOTHING:
            return None
        if type(found) is not str:
            raise Malformed(
                f"Its time must be text, like 2026-01-31T12:00:00Z; it is {kind(found)}."
            )
        return timestamps.parse_time(found)

    def sequence_of(self, payload: Any, found: Any = MISSING) -> int:
        """Its sequence; 0 if it has none. What only breaks ties may be unreadable, what is the order may not.

        Raises Malformed.
        """
        strict = self.by_sequence or self.sequence is not None
        if self.sequence is not None:
            found = pointers.find(payload, self.sequence)
        if found in _NOTHING:
            if self.by_sequence:
                raise Malformed("It brings no sequence, and its source is ordered by sequence.")
            return 0
        try:
            return sequences.number_of(found)
        except Malformed:
            if strict:
                raise
            return 0

    def id_of(self, payload: Any, found: str | None = None) -> str | None:
        """The event's own id, by which a repetition is known; a long one by its digest. Raises Malformed."""
        if self.id is not None:
            value = pointers.find(payload, self.id)
            found = None if value in _NOTHING else text(value, "an id")
        if found is None or len(found) <= MOST_ID:
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
        """What an event says, stamped; the options win over the places that the caller names. Raises Malformed."""
        at, number, event = (
            self.time_of(payload, time),
            self.sequence_of(payload, sequence),
            self.id_of(payload, event_id),
        )
        return Change(device, what, state, at, number, event, None, by, self.by_sequence)

    def plain(self, change: Change, sequenced: bool) -> Change:
        """A plain message, which says everything itself, in the light of the options. Raises Malformed."""
        if self.by_sequence and not sequenced:
            raise Malformed("It brings no sequence, and its source is ordered by sequence.")
        if not self.prefix and not self.by_sequence:
            return change
        return replace(
            change, device=names.check(self.prefix + change.device), by_sequence=self.by_sequence
        )


def from_options(options: Mapping[str, str], url: str = "") -> DecodeOptions:
    """Raises BadSetting with a sentence."""
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
    """A text or a whole number, as text. Raises Malformed."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise Malformed(
        f"{what[:1].upper()}{what[1:]} must be text or a whole number; here it is {kind(value)}."
    )


def required(payload: Mapping[str, Any], member: str, what: str) -> str:
    """A member that must be text with something in it. Raises Malformed."""
    value = payload.get(member)
    if type(value) is str and value:
        return value
    raise Malformed(
        f"“{member}” of {what} must be a text that is not empty; here it is {kind(value)}."
    )
