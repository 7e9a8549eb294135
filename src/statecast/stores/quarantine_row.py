"""A row of the quarantine, in the order of columns that all stores in databases share."""

from __future__ import annotations

from typing import Any

from statecast.model import Quarantined

COLUMNS = (
    "source",
    "id",
    "item",
    "reason",
    "body",
    "sent_at",
    "arrival",
    "attempts",
    "at",
    "device",
    "sender",
)
"""From the source on: the store gives the number."""


def values_of(one: Quarantined) -> tuple[Any, ...]:
    """The columns of a row, without its number."""
    return (
        one.source,
        one.id,
        one.item,
        one.reason,
        one.body,
        one.sent_at,
        one.order,
        one.attempts,
        one.at,
        one.device,
        one.sender,
    )
