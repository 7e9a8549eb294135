"""How a store that is shared by processes keeps an application's event: as one JSON object."""

from __future__ import annotations

import base64
from typing import get_args

from statecast import strict_json
from statecast.errors import Malformed
from statecast.model import Event, EventKind

KINDS = get_args(EventKind)


def encode(event: Event) -> bytes:
    """All but the origin, which has a column of its own."""
    return strict_json.encode(
        {
            "kind": event.kind,
            "namespace": event.namespace,
            "name": event.name,
            "rooms": list(event.rooms),
            "skip": list(event.skip),
            "data": event.data.decode(),
            "attachments": [base64.b64encode(one).decode() for one in event.attachments],
        }
    )


def decode(row: bytes, origin: str) -> Event | None:
    """The event; None if the row is damaged: an event is delivered at most once."""
    try:
        fields = strict_json.decode(row)
        if fields["kind"] not in KINDS:  # of a newer build
            return None
        return Event(
            _text(fields["namespace"]),
            _text(fields["name"]),
            fields["data"].encode(),
            _texts(fields["rooms"]),
            _texts(fields["skip"]),
            tuple(base64.b64decode(one, validate=True) for one in fields["attachments"]),
            fields["kind"],
            origin,
        )
    except (Malformed, KeyError, TypeError, ValueError, AttributeError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(map(_text, values))
