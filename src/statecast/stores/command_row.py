"""A command as a row, in the order of columns that all stores in databases share."""

from __future__ import annotations

from typing import Any

from statecast.commands.life import Command

COLUMNS = (
    "number",
    "change",
    "id",
    "device",
    "name",
    "arguments",
    "by",
    "key",
    "status",
    "created_at",
    "expires_at",
    "delivered_at",
    "ended_at",
    "reason",
    "attempted_at",
    "asker",
)


def values_of(one: Command) -> tuple[Any, ...]:
    """All columns."""
    return (
        one.number,
        one.change,
        one.id,
        one.device,
        one.name,
        one.arguments,
        one.by,
        one.key,
        one.status,
        one.created_at,
        one.expires_at,
        one.delivered_at,
        one.ended_at,
        one.reason,
        one.attempted_at,
        one.asker,
    )
