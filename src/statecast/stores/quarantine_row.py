"""A row of the quarantine, in the order of columns that all stores in databases share."""

from __future__ import annotations

from typing import Any

from statecast.model import Quarantined


def values_of(one: Quarantined) -> tuple[Any, ...]:
    """The columns from the source on: the store gives the number."""
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
