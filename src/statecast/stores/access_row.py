"""A user, key, share link or session as a row: kind, id, change, body, and the store's own."""

from __future__ import annotations

from typing import Any

from statecast import strict_json
from statecast.access.records import AccessRecord


def record_of(row: tuple[Any, ...]) -> AccessRecord:
    kind, id_, change, body = row[:4]
    return AccessRecord(kind, id_, None if body is None else strict_json.decode(body), change)
